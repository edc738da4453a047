"""The links below a block: in which order, how deep, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.bitswap.errors import BlockNotFoundError
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer, refs
from libp2p.ipld import dag_cbor
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        yield peer


async def names(peer: Peer, root: CID, max_depth: int | None = 1, unique: bool = False) -> str:
    found = [ref async for ref in peer.refs(root, max_depth=max_depth, unique=unique)]
    return " ".join(ref.name for ref in found)


async def folders(peer: Peer) -> CID:
    """Return a folder: x is in two places, at different depths."""
    x = (await peer.add_folder([("file", (await peer.add_file(b"1")).cid, 1)])).cid
    deep = (await peer.add_folder([("x", x, 1)])).cid
    a = (await peer.add_folder([("deep", deep, 1)])).cid
    return (await peer.add_folder([("a", a, 1), ("b", x, 1)])).cid


async def test_how_deep(peer: Peer) -> None:
    root = await folders(peer)
    assert await names(peer, root, 0) == ""
    assert await names(peer, root) == "a b"
    assert await names(peer, root, 2) == "a deep b file"
    assert await names(peer, root, None) == "a deep x file b file"
    assert await names(peer, root, None, unique=True) == "a deep x file"
    # x is met first where its file is too deep, and again where it is not.
    assert await names(peer, root, 3, unique=True) == "a deep x file"
    with pytest.raises(ValueError, match="max_depth"):
        await names(peer, root, -1)


async def test_other_codecs_and_what_is_not_here(peer: Peer) -> None:
    absent = CID.for_block(b"absent", "raw")
    other = CID.for_block(b"other", "dag-pb")
    data = dag_cbor.encode({"a": [absent, other]})
    cid = CID.for_block(data, "dag-cbor")
    await peer.store.put_block(cid.buffer, data)
    assert [ref async for ref in peer.refs(cid)] == [
        refs.Ref(cid, absent, ""), refs.Ref(cid, other, "")
    ]  # fmt: skip
    with pytest.raises(BlockNotFoundError):
        await names(peer, cid, None)


@pytest.mark.parametrize("limit", ["MAX_VISITED", "MAX_WAITING"])
async def test_there_is_an_end(peer: Peer, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    root = await folders(peer)
    monkeypatch.setattr(refs, limit, 1)
    with pytest.raises(ValueError, match="links"):
        await names(peer, root, None, unique=True)


async def test_a_file_of_many_blocks_is_read_ahead(peer: Peer) -> None:
    added = await peer.add_file(bytes(range(256)) * 100, chunker="size-16", max_file_links=4)
    found = [ref.target async for ref in peer.refs(added.cid, max_depth=None)]
    assert len(found) > 1600
    assert len(await peer.get_blocks(list(dict.fromkeys(found)))) == len(set(found))
