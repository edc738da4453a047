"""CAR files in and out of peers: the same bytes each time, nothing that is not verified."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio

from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import InvalidCar, UnknownCodec
from libp2p.ipfs_lite import Peer, car_files
from libp2p.ipfs_lite.car_files import CarExport, CarResult, import_car
from libp2p.ipfs_lite.file_fetch import BlockSource
from libp2p.ipld import dag_cbor
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.car.header import encode_header
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.cid import CID

CONTENT = random.Random(5).randbytes(3_000_000) * 2
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
VECTORS = Path(__file__).parents[2] / "data/car"


async def exported(store: MemoryBlockStore, *roots: CID, duplicates: bool = False) -> bytes:
    export = CarExport(roots, BlockSource(store, None, 30), duplicates=duplicates)
    parts = []
    while buffers := await export.receive():
        parts += buffers
    content = b"".join(parts)
    assert export.tell() == len(content)
    return content


async def test_a_file_goes_through_a_car(tmp_path: Path) -> None:
    car = tmp_path / "file.car"
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root = (await peer.add_file(CONTENT, chunker="size-100000")).cid
        seen: list[int] = []
        written = await peer.export_car(root, car, progress=lambda done, _: seen.append(done))
        assert written == CarResult((root,), 31, written.size)
        assert seen[-1] == car.stat().st_size > written.size > len(CONTENT) / 2
        first = car.read_bytes()
        assert (await peer.export_car(root, car)) == written
        assert car.read_bytes() == first
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        assert await peer.import_car(car) == written
        async with await peer.get_file(root) as reader:
            assert await reader.read() == CONTENT


async def test_what_is_not_here_is_fetched(tmp_path: Path) -> None:
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=LOOPBACK) as provider,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        root = (await provider.add_file(CONTENT)).cid
        await peer.connect(provider.addrs[0])
        await peer.export_car(root, tmp_path / "ours", peers=[provider.peer_id])
        await provider.export_car([str(root)], tmp_path / "theirs")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
        assert await peer.has_block(root)


async def test_an_imported_block_is_served_at_once() -> None:
    data = b"wanted before it is here"
    cid = CID.for_block(data)
    async with (
        Peer.open(block_store=MemoryBlockStore(), listen=LOOPBACK) as provider,
        Peer.open(block_store=MemoryBlockStore()) as peer,
    ):
        await peer.connect(provider.addrs[0])
        await provider.import_car(encode_header([cid]) + encode_block_start(cid, len(data)) + data)
        assert await peer.get_block(cid, timeout=5) == data


async def test_duplicates_are_written_if_asked_for() -> None:
    store = MemoryBlockStore()
    leaf = CID.for_block(b"leaf")
    links = dag_cbor.encode([leaf, leaf])
    root = CID.for_block(links, "dag-cbor")
    await store.put_blocks([(leaf, b"leaf"), (root, links)])
    for duplicates, order in ((False, [root, leaf]), (True, [root, leaf, leaf])):
        content = await exported(store, root, duplicates=duplicates)
        assert [block.cid for block in CarReader().receive(content)] == order
    twice = await exported(store, root, leaf)
    assert [block.cid for block in CarReader().receive(twice)] == [root, leaf]


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.car")), ids=lambda path: path.stem)
async def test_files_of_others_come_out_as_they_went_in(path: Path) -> None:
    store = MemoryBlockStore()
    read = await import_car(path, store)
    content = await trio.Path(path).read_bytes()
    blocks = {block.cid: bytes(block.data) for block in CarReader().receive(content)}
    assert store.size() == len({cid.multihash for cid in blocks})
    try:
        content = await exported(store, *read.roots)
    except BlockUnavailableError:
        assert "missing" in path.stem or read.roots[0] not in blocks
        return
    again = {block.cid: bytes(block.data) for block in CarReader().receive(content)}
    assert again.items() <= blocks.items()


async def test_little_is_held_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryBlockStore()
    cids = []
    for number in range(100):
        data = bytes([number]) * 1000
        cids.append(CID.for_block(data))
        await store.put_block(cids[-1], data)
    below: CID = cids[-1]
    for start in range(0, 99, 3):
        data = dag_cbor.encode([below, *cids[start : start + 3]])
        below = CID.for_block(data, "dag-cbor")
        await store.put_block(below, data)
    whole = await exported(store, below)
    monkeypatch.setattr(car_files, "MAX_AHEAD_BYTES", 5000)
    monkeypatch.setattr(car_files, "BATCH_BYTES", 1)
    assert await exported(store, below) == whole


async def test_a_missing_block_ends_an_export(tmp_path: Path) -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root = (await peer.add_file(CONTENT)).cid
        (tmp_path / "out").write_bytes(b"as it was")
        await peer.store.delete_block(CID.for_block(CONTENT[: 1024 * 1024]))
        with pytest.raises(BlockUnavailableError):
            await peer.export_car(root, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"as it was"
        assert os.listdir(tmp_path) == ["out"]
        odd = CID.for_block(b"", "git-raw")
        await peer.store.put_block(odd, b"")
        with pytest.raises(UnknownCodec):
            await peer.export_car(odd, tmp_path / "out")


def one_block(cid: CID, data: bytes) -> bytes:
    return encode_header([cid]) + encode_block_start(cid, len(data)) + data


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut off"),
        (one_block(CID.for_block(b"right"), b"wrong"), "are not those of"),
        (one_block(CID.for_block(b"right"), b"right")[:-1], "cut off"),
        (one_block(CID.for_block(bytes(MAX_BLOCK_BYTES + 1)), bytes(MAX_BLOCK_BYTES + 1)), "more"),
    ],
)
async def test_what_is_wrong_is_not_stored(content: bytes, reason: str) -> None:
    store = MemoryBlockStore()
    with pytest.raises(InvalidCar, match=reason):
        await import_car(content, store)
    assert store.size() == 0


def test_an_export_has_no_middle() -> None:
    with pytest.raises(ValueError, match="from its start"):
        CarExport([], BlockSource(MemoryBlockStore(), None, 30)).seek(1)
