"""What every block store promises; a new store only adds a line to `STORES`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.ipld.cid import CID, InvalidCID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    "a user's": lambda _: FiveMethodStore(),
}


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    return STORES[request.param](tmp_path)


def blocks(*contents: bytes) -> list[tuple[CIDInput, bytes]]:
    return [(CID.for_block(data), data) for data in contents]


async def test_gives_back_what_was_put(store: BlockStore) -> None:
    for cid, data in blocks(b"", b"x", b"some bytes", bytes(300_000)):
        assert not await store.has_block(cid)
        await store.put_block(cid, data)
        assert await store.has_block(cid)
        assert await store.get_block(cid) == data
        assert await store.get_size(cid) == len(data)


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


async def test_many_tasks_may_write_the_same_block(store: BlockStore) -> None:
    batch = blocks(*(bytes([n]) * 1000 for n in range(8)))
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(store.put_blocks, batch)
    assert await store.get_blocks([cid for cid, _ in batch]) == [data for _, data in batch]


@pytest.mark.parametrize("name", [name for name in STORES if name.startswith("files")])
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
    await store.close()
    await store.close()
    assert list(store.get_all_cids()) == []
