"""CAR files and codecs beside Kubo's: the same bytes out, and each reads what the other wrote."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer
from libp2p.ipld import dag_cbor, dag_json
from libp2p.ipld.cid import CID

from .files import random_bytes
from .kubo import Kubo
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libp2p.ipld.dag_cbor import DagCborValue

NODES = 200
"""Random nodes that are put into Kubo, by one command."""


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    need("kubo")
    with Kubo(daemon=False) as kubo:
        yield kubo


@pytest.fixture(params=["unixfs-v0-2015", "unixfs-v1-2025"])
def root(request: pytest.FixtureRequest, kubo: Kubo, tmp_path: Path) -> CID:
    """A folder in Kubo with nested folders, a file that is there twice, one of many blocks."""
    folder = tmp_path / "folder"
    for name, size in (("a", 3_000_000), ("b/a", 3_000_000), ("b/c/empty", 0), ("b/large", 9**8)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random_bytes(f"car {size}", min(size, 12_000_000)))
    kubo.run("config", "profile", "apply", request.param)
    return CID.of(kubo.add(folder))


async def test_the_same_bytes(kubo: Kubo, root: CID, tmp_path: Path) -> None:
    theirs = kubo.run("dag", "export", str(root)).stdout
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        read = await peer.import_car(theirs)
        assert read.roots == (root,)
        await peer.export_car(root, tmp_path / "ours.car")
    assert await trio.Path(tmp_path / "ours.car").read_bytes() == theirs


async def test_ours_is_imported(kubo: Kubo, tmp_path: Path) -> None:
    content = random_bytes("ours", 5_000_000)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        root = (await peer.add_file(content)).cid
        await peer.export_car(root, tmp_path / "ours.car")
    said = kubo.text("dag", "import", tmp_path / "ours.car")
    assert said == f"Pinned root\t{root}\tsuccess"
    assert kubo.cat(str(root)) == content


async def test_identity_cids_and_one_block_in_two_codecs(kubo: Kubo, tmp_path: Path) -> None:
    """Both walk into what an identity CID holds, and into a node that was raw before."""
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        leaves = [await peer.dag.put(text) for text in (b"one", b"two", b"three")]
        values: list[DagCborValue] = [[leaves[0]], {}]
        held = [await peer.dag.put(value, hash="identity") for value in values]
        inner = await peer.dag.put([leaves[1]])
        as_raw = CID.for_block(await peer.dag.get_block(inner))
        root = await peer.dag.put([*held, as_raw, [inner, held[0]], leaves[2], as_raw])
        await peer.export_car(root, tmp_path / "ours.car")
        kubo.run("dag", "import", tmp_path / "ours.car")
        theirs = kubo.run("dag", "export", str(root)).stdout
        assert await trio.Path(tmp_path / "ours.car").read_bytes() == theirs
        stat = json.loads(kubo.text("dag", "stat", "--progress=false", "--enc=json", str(root)))
        ours = await peer.dag.stat(root)
        assert (ours.blocks, ours.size) == (stat["UniqueBlocks"], stat["TotalSize"]) == (8, ANY)


def random_value(source: random.Random, depth: int = 0) -> DagCborValue:
    kind = source.randrange(6 if depth == 4 else 8)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.choice([0, 23, 24, 255, 256, -1, -25, 2**31, 2**53, -(2**53)])
    if kind == 2:
        return source.choice([0.5, -1.25, 1e-9, 3.5e300])
    if kind == 3:
        return "".join(source.choices('aß"\\\n\t\x01\u2028€😀', k=source.randrange(6)))
    if kind == 4:
        return source.randbytes(source.randrange(40))
    if kind == 5:
        codec = source.choice(["raw", "dag-pb", "dag-cbor"])
        return CID.for_block(
            source.randbytes(4), codec, source.choice([0, 1]) if codec == "dag-pb" else 1
        )
    size = source.randrange(5)
    if kind == 6:
        return [random_value(source, depth + 1) for _ in range(size)]
    keys = ["".join(source.choices("abÄ€z", k=source.randrange(4))) for _ in range(size)]
    return {key: random_value(source, depth + 1) for key in keys}


@pytest.mark.parametrize("codec", ["dag-cbor", "dag-json"])
def test_nodes_are_written_as_kubo_does(kubo: Kubo, codec: str, tmp_path: Path) -> None:
    source = random.Random(codec)
    encode = {"dag-cbor": dag_cbor.encode, "dag-json": dag_json.encode}[codec]
    values = [random_value(source) for _ in range(NODES)]
    files = [tmp_path / str(number) for number in range(NODES)]
    for file, value in zip(files, values, strict=True):
        file.write_bytes(dag_json.encode(value))
    put = kubo.text("dag", "put", "--store-codec", codec, "--input-codec", "dag-json", *files)
    expected = {str(CID.for_block(encode(value), codec)) for value in values}
    assert set(put.split()) == expected  # their order is any


def test_a_node_of_kubo_is_read(kubo: Kubo) -> None:
    link = CID.for_block(b"linked")
    text = {"list": [1, -1, 1.5, None], "link": {"/": str(link)}, "bytes": {"/": {"bytes": "AAE"}}}
    cid = CID.of(kubo.text("dag", "put", input=json.dumps(text).encode()))
    value = {"list": [1, -1, 1.5, None], "link": link, "bytes": b"\0\1"}
    assert dag_cbor.decode(kubo.run("block", "get", str(cid)).stdout) == value
    assert dag_json.decode(kubo.run("dag", "get", str(cid)).stdout) == value
