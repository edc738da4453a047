"""
What every block store promises; a new store only adds a line to `STORES`.

For a store of your own, name a function that takes an empty folder and returns an empty store:

    LIBP2P_BLOCK_STORE=my_package.my_module:make_store pytest tests/conformance/test_block_store.py
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest
import trio

from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.blockstore.cached import CachedBlockStore
from libp2p.blockstore.copying import copy_blocks
from libp2p.blockstore.fsspec import FsspecBlockStore
from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.blockstore.lmdb import LmdbBlockStore
from libp2p.blockstore.reading import read_blocks
from libp2p.blockstore.sliced import SlicedBlockStore
from libp2p.blockstore.slices import SliceBlockStore
from libp2p.blockstore.sqlite import SqliteBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite.state import State
from libp2p.ipld.cid import CID, InvalidCID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from libp2p.ipld.cid import CIDInput


class FiveMethodStore(BlockStore):
    """The least that a user's own store has; the batches are the base class's."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, bytes] = {}

    async def get_block(self, cid: CIDInput) -> bytes | None:
        cid = CID.of(cid)
        return cid.digest if cid.is_identity else self._blocks.get(cid.multihash)

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        cid = CID.of(cid)
        if not cid.is_identity:
            self._blocks[cid.multihash] = data

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_block(cid) is not None

    async def delete_block(self, cid: CIDInput) -> None:
        self._blocks.pop(CID.of(cid).multihash, None)

    def get_all_cids(self) -> list[bytes]:
        return [b"\x01\x55" + key for key in self._blocks]


STORES: dict[str, Callable[[Path], BlockStore]] = {
    "memory": lambda _: MemoryBlockStore(),
    "files": lambda folder: FilesystemBlockStore(folder / "blocks"),
    "files, synced": lambda folder: FilesystemBlockStore(folder / "blocks", sync=True),
    "files by prefix": lambda folder: FilesystemBlockStore(
        folder / "blocks", sharding="/repo/flatfs/shard/v1/prefix/4"
    ),
    "sqlite": lambda folder: SqliteBlockStore(folder / "blocks.sqlite"),
    "files and slices": lambda folder: SlicedBlockStore(
        FilesystemBlockStore(folder / "blocks"),
        SliceBlockStore(State(folder / "state.sqlite"), folder / "slices"),
    ),
    "lmdb": lambda folder: LmdbBlockStore(folder / "lmdb"),
    "fsspec memory": lambda folder: FsspecBlockStore(f"memory://{folder}"),
    "fsspec file": lambda folder: FsspecBlockStore(f"file://{folder}/blocks"),
    "fsspec dir": lambda folder: FsspecBlockStore(
        fsspec.filesystem("dir", path=str(folder), fs=fsspec.filesystem("file"))
    ),
    "layered": lambda folder: LayeredBlockStore(
        FilesystemBlockStore(folder / "near"),
        FsspecBlockStore(f"file://{folder}/far"),
        write_to="both",
    ),
    "cached": lambda folder: CachedBlockStore(SqliteBlockStore(folder / "blocks.sqlite")),
    "a user's": lambda _: FiveMethodStore(),
}

LASTING = [name for name in STORES if name.startswith(("files", "sqlite", "lmdb", "fsspec"))]

if own := os.environ.get("LIBP2P_BLOCK_STORE"):
    module, _, function = own.partition(":")
    STORES = {own: getattr(importlib.import_module(module), function)}
    LASTING = []


@pytest.fixture(params=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlockStore]:
    store = STORES[request.param](tmp_path)
    yield store
    await store.close()


def blocks(*contents: bytes) -> list[tuple[CIDInput, bytes]]:
    return [(CID.for_block(data), data) for data in contents]


async def test_gives_back_what_was_put(store: BlockStore) -> None:
    for cid, data in blocks(b"", b"x", b"some bytes", bytes(300_000)):
        assert not await store.has_block(cid)
        await store.put_block(cid, data)
        assert await store.has_block(cid)
        assert await store.get_block(cid) == data
        assert await store.get_size(cid) == len(data)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names must be Unicode")
@pytest.mark.parametrize("name", [b"no UTF-8 \xff\xfe", b"a ?b#c%41\nd", b"file:memory"])
@pytest.mark.parametrize("kind", [name for name in LASTING if not name.startswith("fsspec")])
async def test_a_folder_may_have_any_name(tmp_path: Path, kind: str, name: bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    for _ in range(2):
        store = STORES[kind](folder)
        await store.put_block(CID.for_block(b"x"), b"x")
        assert await store.get_block(CID.for_block(b"x")) == b"x"
        await store.close()
    assert os.listdir(tmp_path) == [folder.name]


async def test_an_absent_block_is_none(store: BlockStore) -> None:
    cid = CID.for_block(b"never put")
    assert await store.get_block(cid) is None
    assert await store.get_size(cid) is None
    assert await store.get_blocks([cid, cid]) == [None, None]
    assert not await store.has_block(cid)


async def test_a_block_is_found_by_every_cid_of_its_multihash(store: BlockStore) -> None:
    v0 = CID.for_block(b"data", "dag-pb", 0)
    await store.put_block(v0, b"data")
    for cid in (v0, v0.to_v1(), CID.for_block(b"data", "raw"), CID.for_block(b"data", "dag-cbor")):
        assert await store.get_block(cid) == b"data"
        assert await store.has_block(cid)


async def test_takes_cids_in_any_form(store: BlockStore) -> None:
    cid = CID.for_block(b"data")
    forms: Sequence[CIDInput] = (cid, bytes(cid), str(cid), cid.encode("base58btc"))
    await store.put_block(str(cid), b"data")
    for form in (*forms, cid.to_py_cid()):
        assert await store.get_block(form) == b"data"
        assert await store.get_size(form) == 4


async def test_refuses_what_is_no_cid(store: BlockStore) -> None:
    with pytest.raises(InvalidCID):
        await store.get_block("not a CID")
    with pytest.raises(InvalidCID):
        await store.put_block(b"\x01", b"data")


async def test_an_identity_cid_answers_itself_and_is_not_kept(store: BlockStore) -> None:
    cid = CID.for_block(b"tiny", hash="identity")
    assert await store.has_block(cid)
    assert await store.get_block(cid) == b"tiny"
    assert await store.get_size(cid) == 4
    await store.put_block(cid, b"tiny")
    await store.delete_block(cid)
    assert await store.get_blocks([cid]) == [b"tiny"]
    assert store.get_all_cids() == []


async def test_batches_keep_their_order(store: BlockStore) -> None:
    batch = blocks(*(bytes([n]) * n for n in range(1, 40)))
    await store.put_blocks(batch)
    missing = CID.for_block(b"missing")
    wanted = [cid for cid, _ in reversed(batch)]
    found = await store.get_blocks([wanted[0], missing, *wanted])
    datas = [data for _, data in reversed(batch)]
    assert found == [datas[0], None, *datas]
    assert await store.get_blocks([]) == []
    await store.put_blocks([])


@pytest.mark.parametrize("limit", [0, 1, 1000, 10_000])
async def test_blocks_or_their_lengths_are_returned_in_order(store: BlockStore, limit: int) -> None:
    content = blocks(*(bytes([number]) * 400 for number in range(10)))
    await store.put_blocks(content[1:])
    identity = CID.from_digest(b"itself", hash="identity")
    cids = [*(CID.of(cid) for cid, _ in content), identity]
    found = await store.get_blocks_or_sizes(cids, limit)
    assert found[0] is None
    read = 0
    for (_, data), answer in zip([*content[1:], (identity, b"itself")], found[1:], strict=True):
        if isinstance(answer, bytes):
            assert answer == data
            assert read < limit
            read += len(answer)
        else:
            assert answer == len(data)


async def test_takes_views_and_keeps_its_own_copy(store: BlockStore) -> None:
    buffer = bytearray(b"content")
    cid = CID.for_block(buffer)
    await store.put_blocks([(cid, memoryview(buffer))])
    buffer[:] = b"changed"
    assert await store.get_block(cid) == b"content"


async def test_putting_again_changes_nothing(store: BlockStore) -> None:
    (cid, data), *_ = blocks(b"data")
    await store.put_block(cid, data)
    await store.put_block(cid, data)
    assert await store.get_block(cid) == data
    assert len(store.get_all_cids()) == 1


async def test_a_deleted_block_is_gone(store: BlockStore) -> None:
    batch = blocks(b"one", b"two")
    await store.put_blocks(batch)
    await store.delete_block(batch[0][0])
    await store.delete_block(batch[0][0])
    assert await store.get_blocks([cid for cid, _ in batch]) == [None, b"two"]


async def test_lists_each_block_once(store: BlockStore) -> None:
    batch = blocks(*(bytes([n]) for n in range(50)))
    await store.put_blocks(batch)
    await store.put_block(CID.for_block(b"\x01", "dag-cbor"), b"\x01")
    listed = store.get_all_cids()
    assert len(listed) == len(batch)
    assert {CID.decode(cid).multihash for cid in listed} == {
        CID.of(cid).multihash for cid, _ in batch
    }


async def listed(store: BlockStore) -> dict[bytes, tuple[int, float | None]]:
    found: dict[bytes, tuple[int, float | None]] = {}
    async for batch in store.block_infos():
        for multihash, size, written in batch:
            assert multihash not in found
            found[multihash] = size, written
    return found


async def test_blocks_are_listed_with_their_lengths_and_times(store: BlockStore) -> None:
    assert await listed(store) == {}
    batch = blocks(*(bytes([n % 256]) * n for n in range(1, 1500)))
    before = time.time()
    await store.put_blocks(batch)
    found = await listed(store)
    assert {key: size for key, (size, _) in found.items()} == {
        CID.of(cid).multihash: len(data) for cid, data in batch
    }
    for _, written in found.values():
        assert written is None or before - 5 <= written <= time.time() + 5
    hashes = [key async for some in store.multihash_batches() for key in some]
    assert sorted(hashes) == sorted(found)


async def test_a_list_is_deleted_and_what_is_told_gone_is_gone(store: BlockStore) -> None:
    batch = blocks(b"one", b"two", b"three")
    await store.put_blocks(batch)
    cids = [cid for cid, _ in batch]
    missing = CID.for_block(b"never put")
    gone = await store.delete_blocks([cids[0], missing, cids[1]])
    assert set(gone) <= {cids[0], missing, cids[1]}
    assert {cids[0], cids[1]} <= set(gone)
    assert await store.get_blocks(cids) == [None, None, b"three"]
    assert await store.get_sizes(cids) == [None, None, 5]
    assert await store.delete_blocks([]) == []


async def test_what_was_written_later_is_not_deleted(store: BlockStore) -> None:
    [(cid, data)] = blocks(b"data")
    await store.put_block(cid, data)
    ((_, written),) = (await listed(store)).values()
    if written is not None:
        assert await store.delete_blocks([cid], older_than=written - 100) == []
        assert await store.get_block(cid) == data
    assert await store.delete_blocks([cid], older_than=time.time() + 100) == [cid]
    assert await store.get_block(cid) is None


async def test_putting_a_block_again_renews_its_time(store: BlockStore) -> None:
    [(cid, data)] = blocks(b"data")
    await store.put_block(cid, data)
    ((_, first),) = (await listed(store)).values()
    await trio.sleep(0.02)  # time: of the clock of files
    await store.put_block(cid, data)
    ((_, second),) = (await listed(store)).values()
    assert (first is None and second is None) or second > first  # type: ignore[operator]


async def test_everything_is_copied_into_it_and_out_of_it_once(store: BlockStore) -> None:
    batch = blocks(*(bytes([n]) * 1000 for n in range(200)))
    source, target = MemoryBlockStore(), MemoryBlockStore()
    await source.put_blocks(batch)
    assert (await copy_blocks(source, store)).copied == 200
    again = await copy_blocks(source, store)
    assert (again.copied, again.there, again.damaged) == (0, 200, 0)
    result = await copy_blocks(store, target)
    assert (result.copied, result.bytes) == (200, 200_000)
    assert await target.get_blocks([cid for cid, _ in batch]) == [data for _, data in batch]


async def test_other_bytes_are_never_read_as_a_block(store: BlockStore) -> None:
    cid = CID.for_block(b"right")
    try:
        await store.put_block(cid, b"wrong")
    except BlockStoreError:
        return  # a store may hash what it is given
    found, _ = await read_blocks(store, [cid])
    if store.verifies and isinstance(store, MemoryBlockStore | CachedBlockStore):
        return  # memory is not hashed
    assert found == [None]
    await store.put_block(cid, b"right")  # heals it
    assert (await read_blocks(store, [cid]))[0] == [b"right"]
    assert await store.has_block(cid)


async def test_many_tasks_may_write_the_same_block(store: BlockStore) -> None:
    batch = blocks(*(bytes([n]) * 1000 for n in range(8)))
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(store.put_blocks, batch)
    assert await store.get_blocks([cid for cid, _ in batch]) == [data for _, data in batch]


@pytest.mark.parametrize("name", LASTING)
async def test_what_a_store_was_given_before_it_was_closed_is_there_when_it_is_opened_again(
    name: str, tmp_path: Path
) -> None:
    [(cid, data)] = blocks(b"kept")
    store = STORES[name](tmp_path)
    await store.put_block(cid, data)
    await store.close()
    again = STORES[name](tmp_path)
    assert await again.get_block(cid) == data
    await again.close()


async def test_a_store_may_be_closed_twice_and_when_it_is_empty(store: BlockStore) -> None:
    assert list(store.get_all_cids()) == []
    await store.close()
    await store.close()
