"""Peers to stay connected to, over loopback."""

from __future__ import annotations

from typing import Any, Final

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.discovery.peering import schedule
from libp2p.discovery.peering.keeper import TAG, Peering
from libp2p.events import PeerConnected
from libp2p.exceptions import InvalidAddrError, InvalidArgument, WrongArgumentType
from libp2p.host.basic_host import BasicHost
from libp2p.ipfs_lite import Config, OfflineError, Peer, RepoError
from libp2p.peer.id import ID

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
ALONE: Final[dict[str, Any]] = {"bootstrap": [], "dht": "off"}


def connected_to(peer: Peer, other: object) -> trio.Event:
    """Set when a connection to ``other`` begins from now on."""
    event = trio.Event()

    def note(happened: object) -> None:
        assert isinstance(happened, PeerConnected)
        if happened.peer_id == other:
            event.set()

    peer.host.get_network().events.subscribe(note, PeerConnected)
    return event


async def test_a_lost_peer_is_dialled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "FIRST_DELAY", 0.05)
    key = create_new_key_pair().private_key
    async with Peer.open(block_store=MemoryBlockStore(), **ALONE) as peer:
        async with Peer.open(
            block_store=MemoryBlockStore(), listen=LOOPBACK, private_key=key, **ALONE
        ) as other:
            began, address, other_id = (
                connected_to(peer, other.peer_id),
                other.addrs[0],
                other.peer_id,
            )
            assert peer.peering.add(address) == other_id
            await began.wait()
            assert peer.peers() == [other_id]
            manager = peer.host.get_network().connection_manager  # type: ignore[attr-defined]
            assert manager.is_protected(other_id, TAG)
            again = connected_to(peer, other_id)
            await peer.disconnect(other_id)
            await again.wait()
        again = connected_to(peer, other_id)
        listen = str(address).split("/p2p/", maxsplit=1)[0]
        async with Peer.open(
            block_store=MemoryBlockStore(), listen=listen, private_key=key, **ALONE
        ):
            await again.wait()
            [info] = peer.peering.peers()
            assert peer.peering.remove(info.peer_id)
            assert not manager.is_protected(other_id, TAG)
            assert not peer.peering.remove(info.peer_id)
            assert len(peer.peering) == 0


async def test_peers_are_named_when_it_is_opened() -> None:
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=LOOPBACK, **ALONE) as other,
        Peer.open(block_store=MemoryBlockStore(), peering=[other.addrs[0]], **ALONE) as peer,
    ):
        with trio.fail_after(20):
            while other.peer_id not in peer.peers():
                await connected_to(peer, other.peer_id).wait()
        assert [info.peer_id for info in peer.peering.peers()] == [other.peer_id]


@pytest.mark.parametrize("way", ["connected by others", "removed"])
async def test_nobody_waits_for_a_peer_that_is_not_dialled(way: str) -> None:
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=LOOPBACK, **ALONE) as other,
        Peer.open(block_store=MemoryBlockStore(), **ALONE) as peer,
        trio.open_nursery() as nursery,
    ):
        assert isinstance(peer.host, BasicHost)
        peering = Peering(peer.host, [other.addrs[0]])
        if way == "removed":
            peering.remove(other.peer_id)
        else:
            await peer.connect(other.addrs[0])
        nursery.start_soon(peering.run)
        with trio.fail_after(5):
            await peering.until_met()
        nursery.cancel_scope.cancel()


async def test_who_can_be_no_peer_is_refused() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), **ALONE) as peer:
        with pytest.raises(InvalidAddrError, match="itself"):
            peer.peering.add(peer.peer_id)
        with pytest.raises(InvalidAddrError):
            peer.peering.add("/ip4/127.0.0.1/tcp/1")
    with pytest.raises(InvalidAddrError):
        Config(peering=("/ip4/127.0.0.1/tcp/1",))
    with pytest.raises(RepoError):
        Config.from_json({"peering": ["nobody"]})
    too_many = [create_new_key_pair().public_key for _ in range(schedule.MAX_PEERS + 1)]
    with pytest.raises(InvalidArgument, match="256 or less"):
        async with Peer.open(peering=list(map(ID.from_pubkey, too_many))):
            pass


async def test_options_of_the_network_need_one() -> None:
    wrong_options: list[dict[str, Any]] = [
        {"listen": LOOPBACK}, {"dht": "off"}, {"tracer": object()}, {"provide": True},
    ]  # fmt: skip
    for options in wrong_options:
        with pytest.raises(OfflineError):
            async with Peer.open(block_store=MemoryBlockStore(), online=False, **options):
                pass
    with pytest.raises(WrongArgumentType, match="unknown"):
        async with Peer.open(block_store=MemoryBlockStore(), unknown=1):  # type: ignore[call-arg]
            pass
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        for wrong in (peer.peers, lambda: peer.peering, peer.block_service):
            with pytest.raises(OfflineError):
                wrong()
        with pytest.raises(OfflineError):
            await peer.bootstrap([])
        assert peer.exchange() is None
