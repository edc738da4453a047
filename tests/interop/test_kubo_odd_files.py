"""Files as old js-ipfs wrote them: whatever Kubo reads, Python reads, and the same bytes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.unixfs import DataType, UnixFSData

from .kubo import Kubo
from .need import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PARTS = [bytes((letter,)) * (1000 + letter) for letter in b"abcdefgh"]
DATA = b"".join(PARTS)


class Dag:
    """Blocks of one file."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}

    def add(self, data: bytes, codec: str = "dag-pb") -> CID:
        cid = CID.for_block(data, codec)
        self.blocks[cid] = data
        return cid

    def leaf(self, data: bytes, filesize: int | None = None, kind: DataType = DataType.FILE) -> CID:
        return self.add(dag_pb.encode((), unixfs.encode(UnixFSData(kind, data, filesize))))

    def node(
        self,
        cids: Sequence[CID],
        sizes: Sequence[int] = (),
        filesize: int | None = None,
    ) -> CID:
        message = UnixFSData(DataType.FILE, None, filesize, tuple(sizes))
        return self.add(dag_pb.encode(map(PBLink, cids), unixfs.encode(message)))


def leaves(dag: Dag) -> list[CID]:
    return [dag.add(part, "raw") for part in PARTS]


# Data in a node that has links is left out: Kubo passes over it, js-ipfs and the specification
# have it before what the links lead to, and so have we.
SIZES = [len(part) for part in PARTS]
SHAPES: dict[str, Callable[[Dag], CID]] = {
    "a leaf of size 0": lambda dag: dag.leaf(DATA, 0),
    "a leaf without size": lambda dag: dag.leaf(DATA),
    "a leaf of type Raw, of size 0": lambda dag: dag.leaf(DATA, 0, DataType.RAW),
    "leaves of size 0": lambda dag: dag.node([dag.leaf(part, 0) for part in PARTS], SIZES),
    "a root of size 0": lambda dag: dag.node(leaves(dag), SIZES, 0),
    "a root without sizes": lambda dag: dag.node(leaves(dag)),
    "a root without sizes of its parts": lambda dag: dag.node(leaves(dag), (), len(DATA)),
    "nothing states a size": lambda dag: dag.node(
        [dag.node([dag.leaf(part) for part in PARTS[:3]]), dag.node(leaves(dag)[3:])]
    ),
    "raw and other leaves": lambda dag: dag.node([dag.leaf(PARTS[0], 0), *leaves(dag)[1:]]),
    "a part twice": lambda dag: dag.node([*leaves(dag), leaves(dag)[0]]),
}


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    """A repository without a daemon."""
    need("kubo")
    with Kubo(daemon=False) as node:
        yield node


@pytest.mark.parametrize("shape", SHAPES)
async def test_python_reads_what_kubo_reads(kubo: Kubo, shape: str) -> None:
    """`ipfs block put` and `ipfs cat`, beside `Peer.get_file` of the same blocks."""
    dag = Dag()
    root = SHAPES[shape](dag)
    store = MemoryBlockStore()
    for cid, data in dag.blocks.items():
        put = ["block", "put", "--cid-codec", cid.codec]
        said = await trio.to_thread.run_sync(partial(kubo.text, *put, input=data))
        assert said == str(cid)
        await store.put_block(cid, data)
    expected = await trio.to_thread.run_sync(kubo.cat, str(root))
    assert expected.startswith(DATA)
    async with Peer.open(block_store=store, online=False) as peer:
        reader = await peer.get_file(root)
        assert reader.size == len(expected)
        assert await reader.read() == expected
        reader.seek(1500)
        assert await reader.read(2000) == expected[1500:3500]
