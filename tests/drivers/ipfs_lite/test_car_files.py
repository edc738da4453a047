"""CAR files in and out of peers: the same bytes each time, nothing that is not verified."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import trio

from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.blockstore.car import CarBlockStore
from libp2p.exceptions import InvalidArgument, InvalidCar, NameNotInDirectory, UnknownCodec
from libp2p.ipfs_lite import OutputError, Peer, car_files, dag_reader
from libp2p.ipfs_lite.car_files import CarExport, CarResult, import_car
from libp2p.ipfs_lite.file_fetch import BlockSource
from libp2p.ipfs_lite.output import save
from libp2p.ipld import dag_cbor
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.car.header import V2_DATA_OFFSET, V2_PRAGMA, V2Header, encode_header
from libp2p.ipld.car.index import CarIndex
from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.car.writer import encode_block_start
from libp2p.ipld.cid import CID
from libp2p.ipld.entity_walk import ByteRange

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
    monkeypatch.setattr(dag_reader, "MAX_AHEAD_BYTES", 5000)
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
        CarExport([CID.for_block(b"")], BlockSource(MemoryBlockStore(), None, 30)).seek(1)


# -- versions, and parts of DAGs ------------------------------------------------------------------


async def car_of(peer: Peer, root: CID, **knobs: Any) -> bytes:
    car = peer.open_car(root, **knobs)
    content = b""
    try:
        while buffers := await car.receive():
            content += b"".join(buffers)
            assert car.tell() == len(content)
    finally:
        car.close()
    return content


def cids_in(content: bytes) -> list[CID]:
    return [block.cid for block in CarReader().receive(content)]


async def tree(peer: Peer) -> tuple[CID, CID]:
    """Return a folder with a file in a folder of shards, and the file."""
    file = (await peer.add_file(CONTENT, chunker="size-100000")).cid
    entries = [(f"{number}", file, 1) for number in range(60)]
    many = (await peer.add_folder(entries, max_directory_links=10, hamt_fanout=8)).cid
    return (await peer.add_folder([("many", many, 1), ("file", file, 1)])).cid, file


@pytest.mark.parametrize("batch_bytes", [1, car_files.BATCH_BYTES])
async def test_version_2_has_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    monkeypatch.setattr(car_files, "BATCH_BYTES", batch_bytes)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root, file = await tree(peer)
        inlined = await peer.dag.put({"file": file, "inline": CID.for_block(b"1", hash="identity")})
        for top in (root, inlined):
            first = await car_of(peer, top)
            path = tmp_path / f"{top}.car"
            written = await peer.export_car(top, path, version=2)
            second = path.read_bytes()
            header = V2Header.decode(second[len(V2_PRAGMA) : V2_DATA_OFFSET])
            assert second[header.data_offset :][: header.data_size] == first
            index = CarIndex.decode(second[header.index_offset :])
            found = [block for block in CarReader().receive(first) if not block.cid.is_identity]
            assert len(index) == len(found) > 30
            for block in found:
                assert index.find(block.cid.multihash) == [block.offset]
            assert written.blocks == len(cids_in(first))
            store = await CarBlockStore.open(path)
            for block in found:
                assert await store.get_block(block.cid) == bytes(block.data)


async def test_a_store_that_changes_under_version_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(car_files, "BATCH_BYTES", 1)
    monkeypatch.setattr(dag_reader, "BLOCKS_AHEAD", 1)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root, file = await tree(peer)
        car = peer.open_car(root, version=2, local_only=True)
        await car.receive()
        for cid in cids_in(await car_of(peer, file))[-5:]:
            await peer.store.delete_block(cid)
        with pytest.raises(OutputError, match="has changed"):
            await save(car, tmp_path / "out.car")
        assert not os.listdir(tmp_path)
        car.close()


async def test_parts_of_a_dag() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root, file = await tree(peer)
        whole = cids_in(await car_of(peer, file))
        assert cids_in(await car_of(peer, file, scope="entity")) == whole
        assert cids_in(await car_of(peer, file, scope="block")) == [file]
        part = await car_of(peer, file, scope="entity", entity_bytes="100000:199999")
        assert cids_in(part) == [file, CID.for_block(CONTENT[100_000:200_000])]
        assert cids_in(await car_of(peer, root, scope="entity")) == [root]
        many = await peer.resolve(root, "many")
        listing = cids_in(await car_of(peer, many, scope="entity"))
        assert listing[0] == many
        assert file not in listing
        assert len(listing) > 10
        way = await car_of(peer, root, path="many/7", scope="entity", entity_bytes=ByteRange(0, 0))
        reader = CarReader()
        order = [block.cid for block in reader.receive(way)]
        assert reader.roots == (file,)
        assert order[:2] == [root, many]
        assert order[-2:] == [file, CID.for_block(CONTENT[:100_000])]
        assert set(order[1:-2]) <= set(listing)
        with pytest.raises(NameNotInDirectory):
            await car_of(peer, root, path="many/none")


async def test_what_is_not_here_may_be_left_out() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root, file = await tree(peer)
        whole = cids_in(await car_of(peer, root))
        leaf = CID.for_block(CONTENT[:100_000])
        await peer.store.delete_block(leaf)
        for knobs in ({}, {"version": 2}):
            with pytest.raises(BlockUnavailableError):
                await car_of(peer, root, **knobs)
            part = cids_in(await car_of(peer, root, local_only=True, **knobs))
            assert part == [cid for cid in whole if cid != leaf]
        await peer.store.delete_block(file)
        part = cids_in(await car_of(peer, root, local_only=True))
        assert not set(part) & {file, leaf, CID.for_block(CONTENT[100_000:200_000])}
        assert await car_of(peer, file, local_only=True) == encode_header([file])


@pytest.mark.parametrize(
    ("roots", "knobs", "reason"),
    [
        (1, {"version": 3}, "version 1 or 2"),
        (1, {"scope": "some"}, "scope is one of"),
        (1, {"entity_bytes": "0:1"}, "needs the scope"),
        (1, {"scope": "entity", "entity_bytes": "x"}, "range of bytes"),
        (2, {"path": "x"}, "need one root"),
        (0, {"scope": "entity"}, "need one root"),
        (0, {}, "no root"),
    ],
)
async def test_knobs_that_make_no_sense(roots: int, knobs: dict[str, Any], reason: str) -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        with pytest.raises(InvalidArgument, match=reason):
            peer.open_car([CID.for_block(bytes([number])) for number in range(roots)], **knobs)
