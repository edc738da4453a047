"""py-libp2p's `MerkleDag` and its chunking: files as blocks, from one client to another."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from libp2p.bitswap import chunker
from libp2p.bitswap.block_service import BlockService
from libp2p.bitswap.dag import MerkleDag, decode_node, encode_node, get_codec_from_cid
from libp2p.bitswap.dag_pb import create_directory_node, create_leaf_node, decode_dag_pb
from libp2p.bitswap.errors import BlockNotFoundError, BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import InvalidImportOptions, NotAFile
from libp2p.ipld.cid import CID
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import ImportOptions
from tests.support.bitswap_peers import host_of, running_client
from tests.support.fake_host import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import trio

DATA = os.urandom(700_000)


class Trickle(BytesIO):
    """A pipe: it gives less at a time than asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1000))


@asynccontextmanager
async def two_dags(nursery: trio.Nursery) -> AsyncIterator[tuple[MerkleDag, MerkleDag]]:
    async with running_client(nursery, "ann") as ann, running_client(nursery, "bob") as bob:
        await connect(host_of(ann), host_of(bob))
        yield MerkleDag(ann), MerkleDag(bob)


def expected(data: bytes, chunk_size: int) -> bytes:
    importer = FileImporter(ImportOptions(chunker=f"size-{chunk_size}", max_file_links=174))
    importer.feed([data])
    importer.finish()
    return importer.root.buffer


@pytest.mark.parametrize(
    ("data", "chunk_size"),
    [(b"", None), (b"small", None), (DATA, None), (DATA[:100_000], 100)],
    ids=["empty", "one block", "three blocks", "two levels"],
)
async def test_what_one_adds_the_other_fetches(
    nursery: trio.Nursery, data: bytes, chunk_size: int | None
) -> None:
    async with two_dags(nursery) as (here, there):
        root = await there.add_bytes(data, chunk_size)
        assert root == expected(data, chunk_size or 262_144)
        assert await here.fetch_file(root) == (data, None)
        assert await here.fetch_file(CID.of(root), host_of(there.bitswap).get_id()) == (data, None)


async def test_files_streams_and_bytes_are_the_same(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(DATA)
    async with two_dags(nursery) as (here, there):
        root = await there.add_bytes(DATA)
        assert await there.add_file(str(path)) == root
        assert await there.add_stream(BytesIO(DATA)) == root
        assert await there.add_stream(Trickle(DATA)) == root
        wrapped = await there.add_file(str(path), wrap_with_directory=True)
        assert await here.fetch_file(wrapped) == (DATA, "a file")
        ((link,), _) = decode_dag_pb(await here.block_store.get_block(wrapped) or b"")
        assert link.size > len(DATA)  # all blocks count, as in Kubo
        with pytest.raises(FileNotFoundError):
            await there.add_file(str(tmp_path / "no file"))
        with pytest.raises(InvalidImportOptions):
            await there.add_bytes(DATA, chunk_size=4 * 1024 * 1024)


async def test_leaves_that_look_like_nodes_are_what_their_cid_says(nursery: trio.Nursery) -> None:
    looks_like_a_node = create_leaf_node(b"inside")
    async with two_dags(nursery) as (here, there):
        root = await there.add_bytes(looks_like_a_node)
        assert await here.fetch_file(root) == (looks_like_a_node, None)


async def test_progress_is_told_to_functions_and_coroutines(nursery: trio.Nursery) -> None:
    told: list[tuple[int, int, str]] = []

    async def tell(done: int, total: int, status: str) -> None:
        told.append((done, total, status))

    async with two_dags(nursery) as (here, there):
        root = await there.add_bytes(DATA, progress_callback=tell)
        assert told[-1] == (len(DATA), len(DATA), "completed")
        await there.add_stream(BytesIO(DATA), progress_callback=lambda *what: told.append(what))
        assert told[-1] == (len(DATA), len(DATA), "completed")
        await here.fetch_file(root, progress_callback=lambda *what: told.append(what))
        assert told[-2:] == [
            (len(DATA), len(DATA), "downloading"),
            (len(DATA), len(DATA), "completed"),
        ]


async def test_the_root_tells_of_a_file(nursery: trio.Nursery) -> None:
    async with two_dags(nursery) as (here, there):
        root = await there.add_bytes(DATA)
        sizes = [262_144, 262_144, len(DATA) - 2 * 262_144]
        assert await here.get_file_info(root) == {
            "size": len(DATA),
            "chunks": 3,
            "chunk_sizes": sizes,
        }
        assert here.bitswap.stat().blocks_received == 1
        small = await there.add_bytes(b"small")
        assert await here.get_file_info(small) == {"size": 5, "chunks": 1, "chunk_sizes": [5]}
        inline = await there.add_encoded_block(create_leaf_node(b"inline"), "dag-pb")
        assert await here.get_file_info(inline) == {"size": 6, "chunks": 0, "chunk_sizes": []}
        assert await here.fetch_file(inline) == (b"inline", None)


async def test_what_is_no_file_is_an_error(nursery: trio.Nursery) -> None:
    async with two_dags(nursery) as (here, there):
        empty = await there.add_encoded_block(create_directory_node([]), "dag-pb")
        with pytest.raises(NotAFile, match="without files"):
            await here.fetch_file(empty)
        with pytest.raises(BlockUnavailableError):
            await here.fetch_file(CID.for_block(b"nowhere"))


async def test_a_file_in_its_cid_needs_no_block(nursery: trio.Nursery) -> None:
    async with two_dags(nursery) as (here, _):
        assert await here.fetch_file(CID.for_block(b"tiny", hash="identity")) == (b"tiny", None)


async def test_a_block_service_keeps_what_is_fetched(nursery: trio.Nursery) -> None:
    async with two_dags(nursery) as (here, there):
        own = MemoryBlockStore()
        service = BlockService(own, here.bitswap)
        dag = MerkleDag(here.bitswap, own, service)
        root = await there.add_bytes(DATA)
        assert await dag.fetch_file(root) == (DATA, None)
        assert own.size() == 4
        assert await own.has_block(await dag.add_bytes(b"more"))
        assert await here.block_store.has_block(CID.for_block(b"more"))
        with pytest.raises(BlockNotFoundError):
            await dag.fetch_file(CID.for_block(b"nowhere"))
        node = await there.add_node([1])
        assert await dag.get_node(node) == [1]


async def test_nodes_of_json_are_added_and_fetched(nursery: trio.Nursery) -> None:
    async with two_dags(nursery) as (here, there):
        cid = await there.add_node({"b": [1, "ü"], "a": None})
        assert get_codec_from_cid(cid) == "dag-json"
        assert await there.block_store.get_block(cid) == '{"a":null,"b":[1,"ü"]}'.encode()
        assert await here.get_node(cid) == {"a": None, "b": [1, "ü"]}
        assert await there.get_node(cid) == {"a": None, "b": [1, "ü"]}
        raw = await there.add_encoded_block(b"", "raw")
        assert await there.get_node(raw) == b""


@pytest.mark.parametrize(
    "use", [lambda: encode_node({}, "git-raw"), lambda: decode_node(b"", "git-raw")]
)
def test_other_codecs_have_no_nodes(use: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="dag-json"):
        use()


def test_nodes_of_cbor() -> None:
    node = {"b": [1, b"x"], "a": None}
    encoded = encode_node(node, "dag-cbor")
    assert encoded == bytes.fromhex("a26161f6616282014178")
    assert decode_node(encoded, "dag-cbor") == node
    with pytest.raises(ValueError, match="nan"):
        encode_node(float("nan"), "dag-cbor")


async def test_removing_a_node_removes_what_is_below(nursery: trio.Nursery) -> None:
    async with two_dags(nursery) as (_, there):
        root = await there.add_bytes(DATA)
        kept = await there.add_bytes(b"kept")
        await there.remove_node(root)
        assert there.block_store.get_all_cids() == [kept]
        await there.remove_node(root)  # it is no error if it is not here


# -- chunks ---------------------------------------------------------------------------------------


def test_chunks_are_cut_the_same_from_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    chunks = chunker.chunk_bytes(DATA, 100_000)
    assert [len(chunk) for chunk in chunks] == [100_000] * 7
    assert list(chunker.chunk_file(str(path), 100_000)) == chunks
    assert list(chunker.chunk_stream(Trickle(DATA), 100_000)) == chunks
    told: list[tuple[int, int, int]] = []
    with_progress = chunker.chunk_file_with_progress(
        str(path), 100_000, lambda *what: told.append(what)
    )
    assert list(with_progress) == chunks
    assert told[-1] == (700_000, 700_000, 7)
    assert list(chunker.chunk_file_with_progress(str(path), 700_000)) == [DATA]


def test_chunks_are_counted() -> None:
    assert [chunker.estimate_chunk_count(size, 10) for size in (0, 1, 10, 11)] == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="-1"):
        chunker.estimate_chunk_count(-1)
