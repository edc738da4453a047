"""Where the keys come from: stores, pins, and the names of strategies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libp2p.blockstore.base import LISTED_AT_ONCE, BlockStore
from libp2p.blockstore.filesystem import FilesystemBlockStore
from libp2p.blockstore.memory import MemoryBlockStore
from libp2p.exceptions import InvalidArgument, WrongArgumentType
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB, RAW
from libp2p.provide.sources import JoinedKeys, NoKeys, PinnedKeys, RootKeys, StoredKeys, key_source

if TYPE_CHECKING:
    from libp2p.provide.abc import KeySource


class SomePins:
    """Pins in batches of two."""

    def __init__(self, recursive: Sequence[CID] = (), direct: Sequence[CID] = ()) -> None:
        self._recursive = recursive
        self._direct = direct

    def recursive(self) -> AsyncIterator[Sequence[bytes]]:
        return _in_twos(self._recursive)

    def direct(self) -> AsyncIterator[Sequence[bytes]]:
        return _in_twos(self._direct)


async def _in_twos(cids: Sequence[CID]) -> AsyncIterator[Sequence[bytes]]:
    for start in range(0, len(cids), 2):
        yield [cid.buffer for cid in cids[start : start + 2]]


class CountingStore(MemoryBlockStore):
    """Counts the blocks that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def get_blocks(self, cids: Sequence[object]) -> list[bytes | None]:
        self.reads += len(cids)
        return await super().get_blocks(cids)


async def put(store: BlockStore, data: bytes, codec: int = RAW) -> CID:
    cid = CID.for_block(data, codec=codec)
    await store.put_block(cid, data)
    return cid


async def node(store: BlockStore, children: Sequence[CID], data: bytes = b"") -> CID:
    links = [dag_pb.PBLink(cid, str(at), 1) for at, cid in enumerate(children)]
    return await put(store, dag_pb.encode(links, data or None), DAG_PB)


async def all_of(source: KeySource) -> list[bytes]:
    return [one async for batch in source.multihashes() for one in batch]


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    return MemoryBlockStore() if request.param == "memory" else FilesystemBlockStore(tmp_path)


async def test_all_blocks_of_a_store_are_listed_in_batches(store: BlockStore) -> None:
    cids = [await put(store, b"block %d" % n) for n in range(LISTED_AT_ONCE + 200)]
    batches = [batch async for batch in store.multihash_batches()]
    assert sorted(one for batch in batches for one in batch) == sorted(c.multihash for c in cids)
    assert max(map(len, batches)) <= LISTED_AT_ONCE
    assert sorted(await all_of(StoredKeys(store))) == sorted(c.multihash for c in cids)
    await store.close()


async def test_an_empty_store_has_no_keys(store: BlockStore) -> None:
    assert await all_of(key_source("all", store)) == []
    assert await all_of(key_source("", store)) == []
    assert await all_of(NoKeys()) == []


async def test_roots_are_those_of_pins_of_both_kinds() -> None:
    store = MemoryBlockStore()
    leaves = [await put(store, b"leaf %d" % n) for n in range(5)]
    root = await node(store, leaves[:2])
    pins = SomePins([root, leaves[2]], leaves[3:])
    assert set(await all_of(RootKeys(pins))) == {cid.multihash for cid in [root, *leaves[2:]]}
    assert isinstance(key_source("roots", store), NoKeys)


async def test_what_is_pinned_is_walked_and_common_parts_once_if_asked_for() -> None:
    store = CountingStore()
    leaves = [await put(store, b"leaf %d" % n) for n in range(100)]
    common = await node(store, leaves)
    roots = [await node(store, [common, common], b"root %d" % n) for n in range(3)]
    pinned = {cid.multihash for cid in [*leaves, common, *roots]}
    pins = SomePins(roots, [leaves[0]])
    assert set(await all_of(PinnedKeys(pins, store))) == pinned
    assert store.reads == 3 * 102
    store.reads = 0
    found = await all_of(key_source("pinned+unique", store, pins))
    assert set(found) == pinned
    assert len(found) == len(pinned) + 1  # the direct pin
    assert store.reads == 104


async def test_blocks_that_are_missing_or_damaged_end_their_branch_only() -> None:
    store = MemoryBlockStore()
    leaf = await put(store, b"leaf")
    missing = CID.for_block(b"elsewhere")
    damaged = await put(store, b"\xff not dag-pb", DAG_PB)
    root = await node(store, [missing, damaged, leaf])
    found = await all_of(PinnedKeys(SomePins([root]), store))
    assert sorted(found) == sorted(cid.multihash for cid in (root, damaged, leaf))


async def test_entities_are_files_and_directories_but_not_their_parts() -> None:
    store = MemoryBlockStore()
    leaves = [await put(store, b"part %d" % n) for n in range(3)]
    links = [dag_pb.PBLink(cid, "", 6) for cid in leaves]
    message = unixfs.encode(unixfs.UnixFSData(unixfs.DataType.FILE, blocksizes=(6, 6, 6)))
    file = await put(store, dag_pb.encode(links, message), DAG_PB)
    folder_message = unixfs.encode(unixfs.UnixFSData(unixfs.DataType.DIRECTORY))
    folder = await put(
        store, dag_pb.encode([dag_pb.PBLink(file, "file", 18)], folder_message), DAG_PB
    )
    found = await all_of(key_source("pinned+entities", store, SomePins([folder])))
    assert sorted(found) == sorted([file.multihash, folder.multihash])
    assert len(await all_of(key_source("pinned", store, SomePins([folder])))) == 5


async def test_strategies_are_joined() -> None:
    store = MemoryBlockStore()
    leaf = await put(store, b"leaf")
    source = key_source("roots+pinned", store, SomePins([leaf]))
    assert isinstance(source, JoinedKeys)
    assert await all_of(source) == [leaf.multihash] * 2


async def test_the_mutable_tree_is_announced_with_pins_or_without() -> None:
    store = MemoryBlockStore()
    leaves = [await put(store, b"leaf %d" % n) for n in range(3)]
    pinned, tree = await node(store, leaves[:2], b"pinned"), await node(store, leaves[1:], b"tree")
    pins, files = SomePins([pinned]), SomePins([tree])
    below_tree = {cid.multihash for cid in (tree, *leaves[1:])}
    assert set(await all_of(key_source("mfs", store, pins, files))) == below_tree
    both = below_tree | {cid.multihash for cid in (pinned, *leaves)}
    found = await all_of(key_source("pinned+mfs", store, pins, files))
    assert (set(found), len(found)) == (both, len(both) + 1)
    assert sorted(await all_of(key_source("pinned+mfs+unique", store, pins, files))) == sorted(both)


@pytest.mark.parametrize(
    "name",
    [
        "some",
        "mfs",
        "mfs+all",
        "all+roots",
        "all+unique",
        "roots+unique",
        "unique",
        "pinned",
        "roots+roots",
        "all+",
        " ",
    ],
)
def test_strategies_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        key_source(name, MemoryBlockStore())


def test_a_strategy_is_a_name() -> None:
    with pytest.raises(WrongArgumentType):
        key_source(7, MemoryBlockStore())  # type: ignore[arg-type]
