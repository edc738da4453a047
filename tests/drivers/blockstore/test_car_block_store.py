"""Blocks of a CAR file, found by its index or by reading it through."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore, car, read_blocks
from libp2p.blockstore.car import CarBlockStore
from libp2p.exceptions import BlockStoreError, InvalidCar
from libp2p.ipfs_lite import Peer
from libp2p.ipld.car.header import V2_DATA_OFFSET, V2Header, encode_header
from libp2p.ipld.car.index import IndexBuilder
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.cid import CID

BLOCKS = {CID.for_block(data): data for data in (b"", b"small", b"x" * 20_000, b"y" * 1_000_000)}
IDENTITY = CID.for_block(b"held by the CID", hash="identity")
MISSING = CID.for_block(b"not in the file")
ROOT = next(iter(BLOCKS))
VERSION_1 = encode_header([ROOT]) + b"".join(
    encode_block_start(cid, len(data)) + data for cid, data in BLOCKS.items()
)


def version_2(*, indexed: bool = True, padding: int = 7) -> bytes:
    builder = IndexBuilder()
    for block in CarReader().receive(VERSION_1):
        builder.add(block.cid.multihash, block.offset)
    start = V2_DATA_OFFSET + padding
    index_offset = start + len(VERSION_1) if indexed else 0
    header = V2Header(start, len(VERSION_1), index_offset)
    return header.encode() + bytes(padding) + VERSION_1 + (builder.encode() if indexed else b"")


FILES = {"1": VERSION_1, "2": version_2(), "2 without an index": version_2(indexed=False)}


@pytest.fixture(params=list(FILES))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file.car"
    path.write_bytes(FILES[request.param])
    return path


async def test_each_block_is_found(path: Path) -> None:
    store = await CarBlockStore.open(path)
    assert store.roots == (ROOT,)
    cids = [*BLOCKS, MISSING, IDENTITY]
    expected = [*BLOCKS.values(), None, IDENTITY.digest]
    assert await store.get_blocks(cids) == expected
    assert [await store.get_block(cid) for cid in cids] == expected
    assert await store.get_sizes([*BLOCKS, MISSING]) == [*map(len, BLOCKS.values()), None]
    assert [await store.has_block(cid) for cid in cids] == [data is not None for data in expected]
    assert sorted(store.get_all_cids()) == sorted(cid.buffer for cid in BLOCKS)
    assert repr(store) == f"<CarBlockStore of 4 blocks in {path}>"


async def test_nothing_can_be_put_into_it(path: Path) -> None:
    store = await CarBlockStore.open(path)
    with pytest.raises(BlockStoreError, match="put into"):
        await store.put_block(ROOT, b"")
    with pytest.raises(BlockStoreError, match="taken out"):
        await store.delete_block(ROOT)


async def test_a_damaged_block_is_noticed(path: Path) -> None:
    store = await CarBlockStore.open(path)
    file = trio.Path(path)
    await file.write_bytes((await file.read_bytes()).replace(b"small", b"smell"))
    [_, cid, *_] = BLOCKS
    assert await read_blocks(store, [cid]) == ([None], {cid})


async def test_a_file_that_has_changed_gives_nothing_wrong(path: Path) -> None:
    store = await CarBlockStore.open(path)
    file = trio.Path(path)
    content = await file.read_bytes()
    [*_, large] = BLOCKS
    for changed in (content[:-1_100_000], b"\xff" * len(content), content[:V2_DATA_OFFSET], b""):
        await file.write_bytes(changed)
        assert await store.get_block(large) is None
    await file.unlink()
    with pytest.raises(BlockStoreError, match="cannot be read"):
        await store.get_block(large)


async def test_an_index_that_is_wrong_finds_nothing(tmp_path: Path) -> None:
    builder = IndexBuilder()
    builder.add(ROOT.multihash, 3)
    builder.add(ROOT.multihash, 10**9)
    header = V2Header(V2_DATA_OFFSET, len(VERSION_1), V2_DATA_OFFSET + len(VERSION_1))
    (tmp_path / "file").write_bytes(header.encode() + VERSION_1 + builder.encode())
    store = await CarBlockStore.open(tmp_path / "file")
    assert await store.get_block(ROOT) is None


async def test_what_is_no_car_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    with pytest.raises(BlockStoreError, match="No such file"):
        await CarBlockStore.open(path)
    for content in (b"", b"text", VERSION_1[:-1], version_2()[:-1]):
        path.write_bytes(content)
        with pytest.raises(InvalidCar):
            await CarBlockStore.open(path)
    path.write_bytes(version_2())
    monkeypatch.setattr(car, "MAX_INDEX_BYTES", 10)
    with pytest.raises(InvalidCar, match="more than 10"):
        await CarBlockStore.open(path)


async def test_a_peer_reads_a_file_out_of_a_car(tmp_path: Path) -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root = (await peer.add_file(b"content" * 100_000, chunker="size-10000")).cid
        await peer.export_car(root, tmp_path / "file.car")
    store = await CarBlockStore.open(tmp_path / "file.car")
    async with (
        Peer.open(block_store=store, online=False) as peer,
        await peer.get_file(root) as reader,
    ):
        assert await reader.read() == b"content" * 100_000
