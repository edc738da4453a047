from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import HashNotSupported, LocalProtocolError
from libp2p.ipld import chunker
from libp2p.ipld.cid import CID
from libp2p.ipld.importer import FileImporter, leaf_block
from libp2p.ipld.layout import BalancedLayout
from libp2p.ipld.profiles import ImportOptions, resolve_options
from libp2p.ipld.unixfs import Mtime
from tests.support.fragments import cut, piece_sizes
from tests.support.strategies import octets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.base_types import Buffer
    from libp2p.ipld.block import Block

options_of_small_files = st.builds(
    resolve_options,
    cid_version=st.sampled_from([0, 1]),
    raw_leaves=st.booleans(),
    chunker=st.integers(1, 60).map(lambda size: f"size-{size}"),
    max_file_links=st.integers(2, 6),
    inline_limit=st.none() | st.integers(0, 128),
)


def run(importer: FileImporter, pieces: Iterable[Buffer]) -> list[Block]:
    blocks: list[Block] = []
    for piece in pieces:
        blocks += importer.feed([piece])
    return blocks + importer.finish()


@given(octets(500), piece_sizes, options_of_small_files)
def test_any_split_gives_the_same_blocks(
    data: bytes, sizes: list[int], options: ImportOptions
) -> None:
    whole = FileImporter(options)
    blocks = run(whole, [data])
    pieces = FileImporter(options)
    assert run(pieces, cut(data, sizes)) == blocks
    assert pieces.root == whole.root == blocks[-1].cid
    assert whole.file_size == len(data)
    assert whole.dag_size == sum(len(block.data) for block in blocks)
    for block in blocks:
        assert type(block.data) is bytes
        block.verify()


@given(octets(300), options_of_small_files)
def test_leaves_may_be_hashed_elsewhere(data: bytes, options: ImportOptions) -> None:
    importer = FileImporter(options)
    chunks = importer.split([data]) + importer.split_end()
    leaves = [(leaf_block(chunk, options), len(chunk)) for chunk in chunks]
    blocks = [block for leaf in leaves for block in importer.add_leaf(*leaf)]
    assert blocks + importer.finish() == run(FileImporter(options), [data])


def test_raw_leaves_have_version_1_under_a_root_of_version_0() -> None:
    options = resolve_options(cid_version=0, raw_leaves=True, chunker="size-2")
    *leaves, root = run(FileImporter(options), [b"abc"])
    assert [leaf.cid for leaf in leaves] == [CID.for_block(b"ab"), CID.for_block(b"c")]
    assert root.cid.version == 0


def test_a_chunk_that_fits_is_not_copied() -> None:
    data = bytes(1_048_576)
    (block,) = run(FileImporter(), [data])
    assert block.data is data


@pytest.mark.parametrize(
    ("raw_leaves", "root"),
    [
        (True, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (False, "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y"),
    ],
)
def test_an_empty_file_is_an_empty_leaf(raw_leaves: bool, root: str) -> None:
    importer = FileImporter(resolve_options(raw_leaves=raw_leaves))
    (block,) = run(importer, [])
    assert str(block.cid) == root
    assert importer.dag_size == len(block.data)


def test_only_the_root_of_several_blocks_carries_the_metadata() -> None:
    plain = resolve_options(raw_leaves=False, chunker="size-4")
    dated = resolve_options(chunker="size-4", mode=0o640, mtime=Mtime(1, 2))
    plain_blocks = run(FileImporter(plain), [b"abcdefgh"])
    dated_blocks = run(FileImporter(dated), [b"abcdefgh"])
    assert plain_blocks[:-1] == dated_blocks[:-1]
    assert plain_blocks[-1] != dated_blocks[-1]


def test_a_lone_leaf_carries_the_metadata_and_leaves_no_other_block() -> None:
    (block,) = run(FileImporter(resolve_options(mode=0o640)), [b"abc"])
    assert block.data.hex() == "0a0c080212036162631803" + "38a003"


def test_a_block_too_large_for_its_cid_is_refused() -> None:
    importer = FileImporter(resolve_options(hash="identity"))
    importer.feed([bytes(129)])
    with pytest.raises(HashNotSupported, match="at most 128"):
        importer.finish()


@pytest.mark.parametrize(
    ("chunk", "read"),
    [(262_144, 1_048_576), (1_048_576, 1_048_576), (2_000_000, 2_000_000), (300_000, 900_000)],
)
def test_whole_chunks_are_asked_for(chunk: int, read: int) -> None:
    assert FileImporter(resolve_options(chunker=f"size-{chunk}")).read_bytes == read


def test_any_chunker_gets_something_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class WholeFile:
        def feed(self, buffers: Iterable[Buffer]) -> list[Buffer]:
            return list(buffers)

        def finish(self) -> list[Buffer]:
            return []

    monkeypatch.setattr(chunker, "_FACTORIES", {"whole": lambda arguments: WholeFile()})
    importer = FileImporter(resolve_options(chunker="whole"))
    assert importer.read_bytes == 1_048_576
    assert run(importer, [b"abc"])[0].data == b"abc"


def test_there_is_no_root_before_the_end_and_no_file_after_it() -> None:
    importer = FileImporter()
    with pytest.raises(LocalProtocolError, match="not finished"):
        importer.root  # noqa: B018 - asking is what fails
    importer.finish()
    leaf = leaf_block(b"", importer.options)
    with pytest.raises(LocalProtocolError, match="is finished"):
        importer.feed([b"x"])
    with pytest.raises(LocalProtocolError, match="is finished"):
        importer.finish()
    with pytest.raises(LocalProtocolError, match="is finished"):
        importer.add_leaf(leaf, 0)


def test_memory_is_a_chunk_and_the_open_nodes() -> None:
    importer = FileImporter(resolve_options(chunker="size-4", max_file_links=3))
    for _ in range(1000):
        importer.feed([b"abcdefgh"])
    assert isinstance(importer._layout, BalancedLayout)
    assert sum(map(len, importer._layout._levels)) <= 3 * len(importer._layout._levels) < 30
    assert importer._first is None
