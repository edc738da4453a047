"""Peers of the ipfs-lite kind over loopback."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.errors import BlockNotFoundError, BlockUnavailableError
from libp2p.bitswap.serve.server import ServerOptions
from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import ConnectionFailure, InvalidAddrError, InvalidImportOptions
from libp2p.ipfs_lite import (
    Config,
    OfflineError,
    Peer,
    SourceError,
    save,
)
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import info_from_p2p_addr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CIDInput

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
DATA = random.Random(3).randbytes(3_000_000)


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Peer]:
    async with Peer.open(tmp_path / "provider", listen=[LOOPBACK]) as peer:
        yield peer


async def test_a_file_goes_from_repo_to_repo(tmp_path: Path, provider: Peer) -> None:
    added = await provider.add_file(DATA, profile="unixfs-v0-2015")
    async with Peer.open(tmp_path / "second") as second:
        assert await second.connect(provider.addrs[0]) == provider.peer_id
        assert not await second.has_block(added.cid)
        async with await second.get_file(added.cid) as reader:
            assert reader.size == added.size == len(DATA)
            await save(reader, tmp_path / "copy")
        assert await second.has_block(added.cid)
    async with Peer.open(tmp_path / "second", online=False) as second:
        reader = await second.get_file(str(added.cid))
        assert await reader.read() == DATA
        assert await second.get_block(added.cid) == await provider.get_block(added.cid)
    assert await trio.Path(tmp_path / "copy").read_bytes() == DATA


async def test_a_file_can_be_added_from_a_file_of_another_peer(provider: Peer) -> None:
    added = await provider.add_file(DATA)
    async with Peer.open(block_store=MemoryBlockStore()) as second:
        await second.connect(info_from_p2p_addr(provider.addrs[0]))
        reader = await second.get_file(added.cid, peers=[provider.peer_id])
        assert (await second.add_file(reader, profile="unixfs-v1-2025")).cid == added.cid


async def test_a_missing_block_fails_at_once_and_names_the_peer(provider: Peer) -> None:
    missing = CID.for_block(b"nobody has this")
    async with Peer.open(block_store=MemoryBlockStore()) as second:
        await second.connect(provider.addrs[0])
        with trio.fail_after(5), pytest.raises(BlockNotFoundError) as caught:
            await second.get_file(missing)
        assert list(caught.value.peers) == [provider.peer_id]
        with pytest.raises(BlockUnavailableError):
            await second.get_block(missing)


class Mailbox(MemoryBlockStore):
    """A store that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = trio.Event()

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        await super().put_blocks(blocks)
        self.arrived.set()


async def test_who_waits_for_a_block_gets_it_when_it_is_added(provider: Peer) -> None:
    mailbox = Mailbox()
    async with Peer.open(block_store=mailbox) as second:
        await second.connect(provider.addrs[0])
        await second.bitswap.want_block(CID.for_block(b"to come"))
        await provider.add_file(b"to come")
        with trio.fail_after(5):
            await mailbox.arrived.wait()
        assert await second.get_block(CID.for_block(b"to come")) == b"to come"


async def test_the_settings_decide_unless_told_otherwise(tmp_path: Path) -> None:
    config = Config(profile="unixfs-v0-2015")
    async with Peer.open(tmp_path / "repo", online=False, config=config) as peer:
        assert (await peer.add_file(DATA, only_hash=True)).cid.version == 0
        assert (await peer.add_file(DATA, profile="unixfs-v1-2025")).cid.version == 1
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        # What is merely the default does not contradict a choice.
        assert (await peer.add_file(b"x", cid_version=0)).cid.codec == "dag-pb"
        with pytest.raises(InvalidImportOptions):
            await peer.add_file(b"x", cid_version=0, hash="sha2-512")
        with pytest.raises(SourceError):
            await peer.add_file("no such file")


async def test_the_identity_is_the_repos(tmp_path: Path) -> None:
    async with Peer.open(tmp_path / "repo") as peer:
        first = peer.peer_id
        async with Peer.open(tmp_path / "repo") as second:  # two hosts never have one peer id
            assert second.peer_id != first
            assert second.names.keystore.get("self") == peer.host.get_private_key()
    async with Peer.open(tmp_path / "repo") as peer:
        assert peer.peer_id == first
    key = create_new_key_pair().private_key
    async with Peer.open(tmp_path / "repo", private_key=key) as peer:
        assert peer.host.get_private_key() == key


async def test_without_a_network_there_is_none(tmp_path: Path) -> None:
    async with Peer.open(tmp_path / "repo", online=False) as peer:
        assert not peer.online
        with pytest.raises(OfflineError):
            await peer.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{other_id()}")
        with pytest.raises(BlockNotFoundError):
            await peer.get_block(CID.for_block(b"absent"))
        with pytest.raises(BlockNotFoundError):
            await peer.get_file(CID.for_block(b"absent"))


async def test_who_is_not_there_is_named(provider: Peer) -> None:
    with pytest.raises(InvalidAddrError):
        await provider.connect(LOOPBACK)
    with pytest.raises(ConnectionFailure, match="/tcp/1"):
        await provider.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{other_id()}")


async def test_an_error_in_the_block_comes_out_as_itself(tmp_path: Path) -> None:
    async def use() -> None:
        async with Peer.open(tmp_path / "repo") as peer:
            assert peer.online
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await use()


def other_id() -> str:
    from libp2p.peer.id import ID

    return str(ID.from_pubkey(create_new_key_pair().public_key))


async def test_what_is_served_to_whom_can_be_chosen(tmp_path: Path) -> None:
    nothing = ServerOptions(request_filter=lambda peer_id, cid, want_type: False)
    async with (
        Peer.open(tmp_path / "provider", listen=[LOOPBACK], server_options=nothing) as provider,
        Peer.open(block_store=MemoryBlockStore()) as second,
    ):
        added = await provider.add_file(b"not for everybody")
        await second.connect(provider.addrs[0])
        with pytest.raises(BlockNotFoundError):
            await second.get_block(added.cid)
