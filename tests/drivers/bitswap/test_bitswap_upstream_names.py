"""py-libp2p's attributes of a client: they show what is known here, under the old names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.bitswap.cid import parse_cid
from libp2p.bitswap.extension import IBitswapExtension
from libp2p.bitswap.message_queue import BitswapMessageQueue
from libp2p.bitswap.peer_manager import BitswapPeerManager
from libp2p.bitswap.presence import BlockPresenceManager
from libp2p.bitswap.sim import SessionInterestManager
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.bitswap.wire.message import Message
from tests.support.bitswap_peers import ScriptedPeer, host_of, running_client
from tests.support.blocks import block
from tests.support.fake_host import connect, peer_id

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.bitswap.client import BitswapClient
    from libp2p.peer.id import ID

HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave

ANN, BOB = peer_id("ann"), peer_id("bob")
X, X_DATA = block(1)
Y, Y_DATA = block(2)


# -- presence_manager -----------------------------------------------------------------------------


async def test_presences_are_what_peers_have_said(nursery: trio.Nursery) -> None:
    bob, cee = ScriptedPeer(nursery, "bob"), ScriptedPeer(nursery, "cee")
    async with running_client(nursery, "ann") as ann:
        for peer in (bob, cee):
            await connect(host_of(ann), peer.host)
        await ann.want_block(X)
        for peer, said in ((bob, HAVE), (cee, DONT_HAVE)):
            await peer.wait_for(1)
            await peer.send(host_of(ann).get_id(), Message(presences=[(X, said)]))
        await trio.testing.wait_all_tasks_blocked()
        presences = ann.presence_manager
        assert presences is ann.presence_manager
        assert presences.get_expected_peers(X) == {BOB}
        assert presences.get_dont_have_peers(X) == {cee.host.get_id()}
        assert presences.get_expected_cids_for_peer(BOB) == {parse_cid(X)}
        assert presences.get_expected_for_peer(cee.host.get_id()) == set()
        await ann.cancel_want(X)
        assert presences.get_expected_peers(X) == set()


def test_presences_may_be_entered_and_removed() -> None:
    presences = BlockPresenceManager()
    presences.add_have(BOB, X)
    presences.add_have(ANN, X.buffer)
    presences.add_dont_have(BOB, Y)
    assert presences.get_expected_peers(str(X)) == {ANN, BOB}
    assert presences.get_expected_cids_for_peer(BOB) == {parse_cid(X)}
    presences.remove_have(ANN, X)
    assert presences.get_expected_peers(X) == {BOB}
    presences.remove_have_from_all(X)
    assert presences.get_expected_peers(X) == set()
    presences.remove_dont_have(Y)
    assert presences.get_dont_have_peers(Y) == set()
    presences.add_have(BOB, X)
    presences.remove_peer(BOB)
    assert presences.get_expected_peers(X) == set()


def test_entered_presences_expire() -> None:
    presences = BlockPresenceManager(ttl_seconds=-1)
    presences.add_have(BOB, X)
    presences.cleanup_expired()
    assert presences.get_expected_peers(X) == set()
    lasting = BlockPresenceManager()
    lasting.add_have(BOB, X)
    lasting.cleanup_expired()
    assert lasting.get_expected_peers(X) == {BOB}


# -- sim ------------------------------------------------------------------------------------------


async def test_sessions_that_wait_for_a_block_are_shown(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann, trio.open_nursery() as fetches:
        session = ann.new_session(wait=True)
        fetches.start_soon(session.get_block, X)
        await trio.testing.wait_all_tasks_blocked()
        assert ann.sim.get_interested_sessions(X) == {session}
        assert ann.sim.get_interested_sessions(Y) == set()
        fetches.cancel_scope.cancel()


async def test_sessions_may_be_entered(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann:
        one, two = ann.new_session(), ann.new_session()
        sim = SessionInterestManager()
        sim.record_session_interest(one, X)
        sim.record_session_interest(two, X.buffer)
        sim.remove_session_interest(one, X)
        sim.remove_session_interest(one, Y)
        assert sim.get_interested_sessions(X) == {two}
        assert sim.split_wanted_blocks(X) == {two}
        assert sim.get_interested_sessions(X) == set()


# -- peer_manager ---------------------------------------------------------------------------------


async def test_deliveries_of_peers_are_shown(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        await bob.get_block(X)
        assert bob.peer_manager.peers[ANN].bytes_delivered == len(X_DATA)
        assert bob.peer_manager.get_best_peers({BOB, ANN}, 1) == [ANN]


def test_peers_are_ranked_by_what_is_entered() -> None:
    manager = BitswapPeerManager()
    for peer in (ANN, BOB):
        manager.record_request(peer, X)
    manager.record_delivery(BOB, X, 100)
    manager.record_timeout(ANN, X)
    assert manager.get_best_peers([ANN, BOB], 5) == [BOB, ANN]
    assert manager.peers[ANN].timeouts == 1
    assert manager.peers[BOB].bytes_delivered == 100
    assert manager.peers[BOB].ema_latency < 1
    manager.remove_peer(ANN)
    assert ANN not in manager.peers


# -- message queue --------------------------------------------------------------------------------


async def wants_at(ann: BitswapClient, peer: ScriptedPeer) -> list[tuple[object, ...]]:
    await trio.testing.wait_all_tasks_blocked()
    return [(entry.cid, entry.cancel, entry.want_type) for entry in peer.entries]


async def test_wants_of_a_message_queue_bring_blocks_into_the_store(nursery: trio.Nursery) -> None:
    bob, cee = ScriptedPeer(nursery, "bob"), ScriptedPeer(nursery, "cee")
    async with running_client(nursery, "ann") as ann:
        for peer in (bob, cee):
            await connect(host_of(ann), peer.host)
        queue = ann.get_or_create_message_queue(BOB)
        assert queue is ann.get_or_create_message_queue(BOB)
        queue.add_wants([X, Y.buffer], {Y.buffer: {"priority": 3, "want_type": 1}})
        assert await wants_at(ann, bob) == [(X, False, WantType.Block), (Y, False, WantType.Have)]
        assert cee.entries == []
        await bob.send(host_of(ann).get_id(), Message(blocks=[(X, X_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
        assert await ann.block_store.get_block(X) == X_DATA
        queue.add_cancels([X, Y])
        assert (Y, True, WantType.Block) in await wants_at(ann, bob)


async def test_presences_and_blocks_of_a_message_queue_are_sent(nursery: trio.Nursery) -> None:
    bob = ScriptedPeer(nursery, "bob")
    async with running_client(nursery, "ann") as ann:
        await connect(host_of(ann), bob.host)
        queue = ann.get_or_create_message_queue(BOB)
        queue.add_presences([(X, True), (Y, False)])
        queue.add_blocks_v110([(Y.prefix, b"one")])
        queue.add_blocks_v100([b"two"])
        (message,) = await bob.wait_for(1)
        assert message.presences == {X: HAVE, Y: DONT_HAVE}
        assert list(message.blocks.values()) == [b"one", b"two"]
        assert queue.negotiated_protocol == ann.supported_protocols[0]
        await queue.flush()  # nothing is queued
        queue.add_presences([(X, True)])
        await queue.stop()
        await trio.testing.wait_all_tasks_blocked()
        assert len(bob.messages) == 1


async def test_a_message_queue_survives_a_peer_that_is_gone(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann:
        queue = BitswapMessageQueue(ann._engine, BOB)
        queue.add_presences([(X, True)])
        queue.start(nursery)
        await trio.testing.wait_all_tasks_blocked()
        assert queue.negotiated_protocol is None


# -- extensions -----------------------------------------------------------------------------------


class Watcher(IBitswapExtension):
    """Lets the client do its work, and notes that it was asked."""

    def __init__(self) -> None:
        self.seen = 0

    async def process_message(self, peer_id: ID, msg_bytes: bytes, stream: INetStream) -> bool:
        self.seen += 1
        return False

    async def process_wantlist(self, wantlist: object, peer_id: ID, stream: INetStream) -> bool:
        return False


async def test_clients_with_the_same_extension_speak_its_protocol(nursery: trio.Nursery) -> None:
    protocol, watchers = TProtocol("/ipfs/bitswap/1.3.0"), (Watcher(), Watcher())
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        for client, watcher in zip((ann, bob), watchers, strict=True):
            client.register_extension(protocol, watcher)
            client.register_extension(protocol, watcher)  # once more changes nothing
            assert client.protocol_handlers == {protocol: watcher}
            assert client.supported_protocols.index(protocol) == 0
            assert client.supported_protocols.count(protocol) == 1
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        opened = host_of(ann).opened + host_of(bob).opened
        assert {stream.get_protocol() for stream in opened} == {protocol}
    assert all(watcher.seen for watcher in watchers)


@pytest.mark.parametrize("version", ["1.2.0", "1.1.0", "1.0.0"])
async def test_the_version_can_be_read_back(nursery: trio.Nursery, version: str) -> None:
    protocol = f"/ipfs/bitswap/{version}"
    async with running_client(nursery, "ann", protocol_version=protocol) as ann:
        assert ann.protocol_version == protocol
        assert ann.supported_protocols[0] == protocol
