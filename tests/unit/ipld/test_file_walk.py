from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidDagPb
from libp2p.ipld import dag_pb, file_walk, unixfs
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.file_node import read_file_node
from libp2p.ipld.file_walk import FileWalk, InvalidUnixFS, Kind, NotAFile, kind_of
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.measure import Measure
from libp2p.ipld.profiles import resolve_options
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData
from tests.support.strategies import octets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Dag:
    """Blocks by their CID, with the files that they are."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}

    def add(self, data: bytes, codec: str = "dag-pb", *, inline: bool = False) -> CID:
        cid = CID.for_block(data, codec, hash="identity" if inline else "sha2-256")
        if not inline:
            self.blocks[cid] = data
        return cid

    def raw(self, data: bytes) -> CID:
        return self.add(data, "raw")

    def node(
        self,
        children: Iterable[tuple[CID, int]] = (),
        data: bytes | None = None,
        filesize: int | None = None,
        kind: DataType = DataType.FILE,
    ) -> CID:
        children = list(children)
        message = UnixFSData(kind, data, filesize, tuple(size for _, size in children))
        links = [PBLink(cid) for cid, _ in children]
        return self.add(dag_pb.encode(links, unixfs.encode(message)))

    def silent(
        self, cids: Iterable[CID], data: bytes | None = None, filesize: int | None = None
    ) -> CID:
        """A node that does not say how long its parts are, as old js-ipfs wrote them."""
        message = UnixFSData(DataType.FILE, data, filesize)
        return self.add(dag_pb.encode(map(PBLink, cids), unixfs.encode(message)))


class Reader:
    """Drives a walk the way a driver does, supplying blocks in a random order."""

    def __init__(self, walk: FileWalk, dag: Dag, seed: int = 0, limit: int = 1000) -> None:
        self.walk = walk
        self.dag = dag
        self.random = random.Random(seed)
        self.limit = limit
        self.asked: list[CID] = []
        self.pending: list[CID] = []

    def read(self) -> bytes:
        pieces: list[bytes] = []
        while not self.walk.done:
            wanted = self.walk.wanted(self.limit)
            assert len(wanted) <= self.limit
            self.asked += wanted
            self.pending += wanted
            assert self.walk.waiting == len(self.pending)
            taken = self.walk.take()
            pieces += map(bytes, taken)
            if self.pending:
                cid = self.pending.pop(self.random.randrange(len(self.pending)))
                self.walk.supply(cid, self.dag.blocks[cid])
            else:
                assert taken or self.walk.done, "nothing to wait for and nothing to take"
        assert self.walk.wanted() == []
        assert self.walk.take() == []
        return b"".join(pieces)


def import_file(dag: Dag, data: bytes, chunk: int, links: int, raw: bool = True) -> CID:
    importer = FileImporter(
        resolve_options(chunker=f"size-{chunk}", max_file_links=links, raw_leaves=raw)
    )
    dag.blocks.update(importer.feed([data]) + importer.finish())
    return importer.root


# -- any DAG, any order, any range -----------------------------------------------------------------


@given(
    octets(300),
    st.integers(1, 40),
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 99),
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 100), st.integers(0, 30)),
)
def test_an_imported_file_is_read_back(
    data: bytes, chunk: int, links: int, raw: bool, seed: int, limits: tuple[int, int, int, int]
) -> None:
    dag = Dag()
    root = import_file(dag, data, chunk, links, raw)
    limit, window_blocks, window_bytes, open_links = limits
    walk = FileWalk(root, window_blocks=window_blocks, window_bytes=window_bytes)
    assert walk.size is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_walk, "MAX_OPEN_LINKS", open_links)
        assert Reader(walk, dag, seed, limit).read() == data
    assert walk.size == walk.position == len(data)


trees = st.recursive(
    octets(6),
    lambda children: st.tuples(octets(4), st.lists(children, max_size=4)),
    max_leaves=20,
)


def build(dag: Dag, tree: object, pick: random.Random) -> tuple[CID, bytes]:
    if isinstance(tree, bytes):
        if pick.random() < 0.4:
            return dag.raw(tree), tree
        if pick.random() < 0.3:
            return dag.add(tree, "raw", inline=True), tree
        kind = pick.choice([DataType.FILE, DataType.RAW])
        return dag.node(data=tree, filesize=pick.choice([None, 0, len(tree)]), kind=kind), tree
    assert isinstance(tree, tuple)
    inline, subtrees = tree
    built = [build(dag, subtree, pick) for subtree in subtrees]
    data = inline + b"".join(part for _, part in built)
    children = [(cid, len(part)) for cid, part in built]
    filesize = pick.choice([None, 0, len(data)])
    if pick.random() < 0.3:
        return dag.silent((cid for cid, _ in built), inline, filesize), data
    return dag.node(children, inline, filesize), data


@given(trees, st.integers(0, 2**32), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_any_range_of_a_dag_of_any_shape_is_read(
    tree: object, seed: int, start: int, length: int | None
) -> None:
    dag = Dag()
    pick = random.Random(seed)
    root, data = build(dag, tree, pick)
    end = None if length is None else start + length
    walk = FileWalk(
        root, start, end, window_blocks=pick.randint(1, 9), window_bytes=pick.randint(1, 30)
    )
    reader = Reader(walk, dag, seed, pick.randint(1, 5))
    assert reader.read() == data[start:end]


def test_seeking_asks_for_the_blocks_on_the_way_alone() -> None:
    dag = Dag()
    data = bytes(range(256)) * 4
    root = import_file(dag, data, chunk=8, links=4)
    reader = Reader(FileWalk(root, 500, 510), dag)
    assert reader.read() == data[500:510]
    assert len(reader.asked) == 1 + 3 + 2  # the root, a node on each level, two leaves


# -- the window ------------------------------------------------------------------------------------


def test_blocks_are_wanted_in_the_order_of_the_file_and_once() -> None:
    dag = Dag()
    leaves = [dag.raw(bytes((index,)) * 10) for index in range(10)]
    root = dag.node((leaf, 10) for leaf in leaves)
    walk = FileWalk(root, window_blocks=4)
    assert walk.wanted() == [root]
    assert walk.wanted() == []
    walk.supply(root, dag.blocks[root])
    assert walk.wanted(3) == leaves[:3]
    assert walk.wanted(3) == leaves[3:4]
    walk.supply(leaves[1], dag.blocks[leaves[1]])
    assert walk.take() == []
    assert walk.wanted() == []  # a block that waits for its turn takes room, too
    walk.supply(leaves[0], dag.blocks[leaves[0]])
    assert walk.take() == [dag.blocks[leaves[0]], dag.blocks[leaves[1]]]
    assert walk.wanted() == leaves[4:6]


def test_the_window_ends_after_its_bytes() -> None:
    dag = Dag()
    leaves = [dag.raw(bytes((index,)) * 10) for index in range(10)]
    root = dag.node((leaf, 10) for leaf in leaves)
    walk = FileWalk(root, window_bytes=25)
    walk.supply(walk.wanted()[0], dag.blocks[root])
    assert walk.wanted() == leaves[:3]
    walk.supply(leaves[0], dag.blocks[leaves[0]])
    walk.take()
    assert walk.wanted() == leaves[3:4]


def test_the_window_may_change_and_what_is_taken_may_be_limited() -> None:
    dag = Dag()
    leaves = [dag.raw(bytes((index,)) * 10) for index in range(10)]
    root = dag.node((leaf, 10) for leaf in leaves)
    walk = FileWalk(root)
    walk.supply(walk.wanted()[0], dag.blocks[root])
    walk.set_window(0)
    assert walk.wanted() == []
    walk.set_window(35)
    assert walk.wanted() == leaves[:4]
    assert walk.waiting_bytes == 40
    for leaf in leaves[:4]:
        walk.supply(leaf, dag.blocks[leaf])
    assert walk.waiting_bytes == 0
    assert walk.ready == 40
    assert walk.take(11) == [dag.blocks[leaf] for leaf in leaves[:2]]
    assert walk.ready == 20
    walk.set_window(-5)
    assert walk.wanted() == []
    assert walk.take() == [dag.blocks[leaf] for leaf in leaves[2:4]]


def test_blocks_that_are_kept_are_a_part_of_the_window() -> None:
    dag = Dag()
    zero, *others = [dag.raw(bytes((index,)) * 10) for index in range(8)]
    root = dag.node((leaf, 10) for leaf in (zero, zero, *others))
    walk = FileWalk(root, window_bytes=40)
    walk.supply(walk.wanted()[0], dag.blocks[root])
    assert walk.wanted() == [zero, *others[:2]]
    walk.supply(zero, dag.blocks[zero])
    assert len(walk.take()) == 2
    assert walk.wanted() == others[2:3]  # one less than the window has room for
    walk.set_window(0)
    walk.supply(others[0], dag.blocks[others[0]])
    walk.set_window(40)
    walk.take()
    assert walk.wanted() == others[3:4]


def test_a_distant_node_is_not_fetched_before_its_time() -> None:
    dag = Dag()
    data = random.Random(1).randbytes(10_000)
    root = import_file(dag, data, chunk=10, links=10)  # four levels
    walk = FileWalk(root, window_bytes=100)
    reader = Reader(walk, dag)
    most_open = 0
    while not walk.done:
        for cid in walk.wanted():
            walk.supply(cid, dag.blocks[cid])
        walk.take()
        most_open = max(most_open, walk._open_links)
    assert most_open <= 5 * 10
    assert reader.asked == []


def test_data_is_handed_on_as_views() -> None:
    dag = Dag()
    leaf = unixfs.file_leaf(b"abc")
    root = dag.add(leaf)
    walk = FileWalk(root)
    block = bytearray(leaf)
    walk.wanted()
    walk.supply(root, block)
    (view,) = walk.take()
    block[block.index(b"abc")] = ord("A")
    assert view == b"Abc"


def test_a_block_that_is_not_waited_for_is_ignored() -> None:
    dag = Dag()
    root, other = dag.raw(b"abc"), dag.raw(b"other")
    walk = FileWalk(root)
    walk.supply(root, b"abc")
    assert walk.wanted() == [root]
    walk.supply(other, b"other")
    walk.supply(root, b"abc")
    walk.supply(root, b"abc")
    assert walk.take() == [b"abc"]
    assert walk.done


# -- blocks that repeat ----------------------------------------------------------------------------


def test_what_is_waited_for_has_its_places() -> None:
    dag = Dag()
    root = import_file(dag, b"onetwoone", 3, 174)
    walk = FileWalk(root)
    assert walk.wanted() == [root]
    assert walk.places(root) == []  # its length is not known before it comes
    walk.supply(root, dag.blocks[root])
    one, two = walk.wanted()
    assert walk.places(one) == [(0, 3), (6, 3)]
    assert walk.places(two) == [(3, 3)]
    walk.supply(two, b"two")
    assert walk.places(two) == []


@pytest.mark.parametrize("links", [5, 1000])
def test_a_block_that_repeats_is_fetched_once(links: int) -> None:
    dag = Dag()
    root = import_file(dag, bytes(5000), chunk=10, links=links)
    reader = Reader(FileWalk(root, window_blocks=7), dag, limit=3)
    assert reader.read() == bytes(5000)
    assert sorted(reader.asked) == sorted(set(reader.asked))


def test_blocks_that_repeat_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_walk, "MAX_KEPT_BYTES", 25)
    dag = Dag()
    parts = [bytes((index,)) * 10 for index in range(3)]
    leaves = [dag.raw(part) for part in parts]
    order = [0, 1, 0, 2, 0, 2, 1]
    root = dag.node((leaves[index], 10) for index in order)
    reader = Reader(FileWalk(root, window_blocks=1), dag)
    assert reader.read() == b"".join(parts[index] for index in order)
    asked = [leaves.index(cid) for cid in reader.asked[1:]]
    assert asked == [0, 1, 2, 1]  # 1 was the longest unused when 2 came
    assert reader.walk._kept.bytes <= 25


# -- what old js-ipfs wrote ------------------------------------------------------------------------


def test_sizes_that_were_found_out_are_of_use_to_the_next_walk() -> None:
    dag = Dag()
    leaves = [dag.raw(bytes((index,)) * 10) for index in range(20)]
    root = dag.silent(leaves)
    sizes: dict[bytes, Sequence[int]] = {}
    first = Reader(FileWalk(root, sizes=sizes), dag)
    assert first.read() == b"".join(dag.blocks[leaf] for leaf in leaves)
    assert first.walk.size == 200
    second = Reader(FileWalk(root, 15, 25, sizes=sizes), dag)
    assert second.read() == bytes((1,)) * 5 + bytes((2,)) * 5
    assert second.asked == [root, *leaves[1:3]]


def test_few_blocks_are_measured_at_once() -> None:
    dag = Dag()
    leaves = [dag.raw(bytes((index,)) * 10) for index in range(100)]
    root = dag.silent(leaves)
    walk = FileWalk(root)
    walk.supply(walk.wanted()[0], dag.blocks[root])
    assert walk.size is None
    wanted = walk.wanted()
    assert len(wanted) == walk.waiting == file_walk.MEASURED_AT_ONCE
    assert walk.wanted() == []
    walk.supply(wanted[0], dag.blocks[wanted[0]])
    walk.supply(wanted[0], dag.blocks[wanted[0]])
    assert len(walk.wanted()) == 1


def test_a_part_that_its_cid_carries_is_measured_without_being_asked_for() -> None:
    dag = Dag()
    inline, fetched = dag.add(b"inline", "raw", inline=True), dag.raw(b"fetched")
    reader = Reader(FileWalk(dag.silent([inline, fetched]), 0), dag)
    assert reader.read() == b"inlinefetched"
    assert inline not in reader.asked


def test_what_is_waited_for_is_not_asked_for_again_to_be_measured() -> None:
    dag = Dag()
    x, y, z = (dag.raw(letter * 10) for letter in (b"x", b"y", b"z"))
    first, second = dag.silent([x, y]), dag.silent([z, x])
    root = dag.node([(x, 10), (first, 20), (second, 20)])
    walk = FileWalk(root)
    walk.supply(walk.wanted()[0], dag.blocks[root])
    assert walk.wanted() == [x, first, second]
    walk.supply(first, dag.blocks[first])
    assert walk.wanted() == [y]
    walk.supply(second, dag.blocks[second])
    walk.supply(y, dag.blocks[y])
    assert walk.wanted() == []
    walk.supply(x, dag.blocks[x])
    assert b"".join(walk.take()) == b"x" * 10
    assert Reader(walk, dag).read() == b"x" * 10 + b"y" * 10 + b"z" * 10 + b"x" * 10
    assert walk.waiting == 0


def test_nodes_are_measured_whichever_is_known_first() -> None:
    dag = Dag()
    leaf = dag.raw(b"abc")
    inner = dag.silent([leaf])
    outer = dag.silent([inner, inner, leaf])
    nodes = {cid: read_file_node(cid, dag.blocks[cid]) for cid in (leaf, inner, outer)}
    root = read_file_node(outer, dag.blocks[dag.silent([inner, outer])])
    for order in ([inner, outer], [outer, inner]):
        measure = Measure(b"root", root, 9, 9)
        measure.next(), measure.next()
        for cid in order:
            measure.supply(cid.buffer, nodes[cid])
        assert measure.next() == leaf
        states = [measure.done]
        measure.supply(leaf.buffer, nodes[leaf])
        assert [*states, measure.done] == [False, True]
        assert measure.found() == {
            b"root": (3, 9), inner.buffer: (3,), outer.buffer: (3, 3, 3)
        }  # fmt: skip


def test_silent_nodes_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = Dag()
    root = dag.raw(b"x")
    for _ in range(file_walk.MAX_DEPTH + 1):
        root = dag.silent([root, root])
    with pytest.raises(InvalidUnixFS, match="too many nodes"):
        Reader(FileWalk(root), dag).read()
    monkeypatch.setattr(file_walk, "MAX_PATH_LINKS", 25)
    wide = dag.silent(dag.raw(bytes((index,))) for index in range(26))
    with pytest.raises(InvalidUnixFS, match="too many nodes"):
        Reader(FileWalk(wide), dag).read()


# -- what is not a file ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (DataType.DIRECTORY, Kind.DIRECTORY),
        (DataType.SYMLINK, Kind.SYMLINK),
        (DataType.HAMT_SHARD, Kind.HAMT),
        (DataType.METADATA, Kind.OTHER),
        (DataType.FILE, Kind.FILE),
        (DataType.RAW, Kind.FILE),
    ],
)
def test_kinds_of_unixfs(kind: DataType, name: Kind) -> None:
    dag = Dag()
    root = dag.node(kind=kind, data=b"x")
    assert kind_of(Block(root, dag.blocks[root])) is name
    walk = FileWalk(root)
    walk.wanted()
    if name is Kind.FILE:
        walk.supply(root, dag.blocks[root])
        return
    with pytest.raises(NotAFile, match=name) as caught:
        walk.supply(root, dag.blocks[root])
    assert caught.value.kind == name


@pytest.mark.parametrize(
    ("codec", "data", "name"),
    [
        ("dag-pb", b"", Kind.OTHER),
        ("dag-pb", b"\x0a\x01x", Kind.OTHER),
        ("dag-cbor", b"\xa0", Kind.OTHER),
        ("raw", b"", Kind.RAW),
    ],
)
def test_kinds_of_other_blocks(codec: str, data: bytes, name: Kind) -> None:
    root = CID.for_block(data, codec)
    assert kind_of(Block(root, data)) is name
    walk = FileWalk(root)
    walk.wanted()
    if name is Kind.RAW:
        walk.supply(root, data)
        assert walk.done
        return
    with pytest.raises(NotAFile):
        walk.supply(root, data)


def test_a_root_in_its_cid_is_judged_at_once() -> None:
    dag = Dag()
    directory = unixfs.encode(UnixFSData(DataType.DIRECTORY))
    with pytest.raises(NotAFile):
        FileWalk(dag.add(dag_pb.encode((), directory), inline=True)).wanted()
    walk = FileWalk(CID.parse("bafkqaaa"))
    assert walk.wanted() == []
    assert walk.done


def test_a_malformed_node_is_refused() -> None:
    root = CID.for_block(b"\xff", "dag-pb")
    walk = FileWalk(root)
    walk.wanted()
    with pytest.raises(InvalidDagPb):
        walk.supply(root, b"\xff")


def test_the_roots_metadata_is_at_hand() -> None:
    leaf = unixfs.file_leaf(b"x", 0o600, Mtime(1, 2))
    root = CID.for_block(leaf, "dag-pb")
    walk = FileWalk(root)
    walk.wanted()
    walk.supply(root, leaf)
    assert walk.node is not None
    assert (walk.node.mode, walk.node.mtime) == (0o600, Mtime(1, 2))


# -- nodes that lie --------------------------------------------------------------------------------


def lying_roots() -> dict[str, tuple[Dag, CID, str]]:
    dag = Dag()
    leaf = dag.raw(b"abcde")
    inner = dag.node([(leaf, 5)])
    directory = dag.node(kind=DataType.DIRECTORY)
    cbor = dag.add(b"\xa0", "dag-cbor")
    bad_inner = dag.node([(leaf, 5)], filesize=6)
    two_sizes = UnixFSData(DataType.FILE, None, 5, (5, 0))
    return {
        "larger than said": (dag, dag.node([(leaf, 4)]), "has 5 bytes .* says 4"),
        "smaller than said": (dag, dag.node([(leaf, 6)]), "has 5 bytes .* says 6"),
        "larger node": (dag, dag.node([(inner, 4)]), "has 5 bytes .* says 4"),
        "said twice, differently": (dag, dag.node([(leaf, 5), (leaf, 4)]), "says 4"),
        "wrong sum": (dag, dag.node([(leaf, 5)], filesize=4), "states 4 bytes and has 5"),
        "wrong sum below": (dag, dag.node([(bad_inner, 5)]), "states 6 bytes and has 5"),
        "wrong sum of data": (dag, dag.node(data=b"x", filesize=2), "states 2 bytes and has 1"),
        "wrong sum of silent parts": (
            dag,
            dag.silent([leaf], filesize=4),
            "states 4 bytes and has 5",
        ),
        "wrong sum of silent parts below": (
            dag,
            dag.node([(dag.silent([leaf]), 4)]),
            "has 5 bytes .* says 4",
        ),
        "directory in a silent node": (
            dag,
            dag.silent([directory]),
            "inside the file .* directory",
        ),
        "sizes without links": (
            dag,
            dag.add(dag_pb.encode([PBLink(leaf)], unixfs.encode(two_sizes))),
            "1 links, 2 sizes",
        ),
        "directory inside": (dag, dag.node([(directory, 5)]), "inside the file .* directory"),
        "cbor inside": (dag, dag.node([(cbor, 5)]), "inside the file .* dag-cbor"),
    }


@pytest.mark.parametrize("name", lying_roots())
def test_a_node_that_lies_is_found_out(name: str) -> None:
    dag, root, reason = lying_roots()[name]
    with pytest.raises(InvalidUnixFS, match=reason):
        Reader(FileWalk(root), dag).read()


def test_blocks_said_to_be_empty_are_never_fetched() -> None:
    dag = Dag()
    leaf = dag.raw(b"abc")
    empty = dag.node()
    for _ in range(100):  # in any depth: 2^100 of them
        empty = dag.node([(empty, 0), (empty, 0)])
    root = dag.node([(empty, 0), (leaf, 3), (empty, 0)])
    reader = Reader(FileWalk(root), dag)
    assert reader.read() == b"abc"
    assert reader.asked == [root, leaf]


def chain(dag: Dag, depth: int) -> CID:
    root = dag.raw(b"x")
    for _ in range(depth):
        root = dag.node([(root, 1)])
    return root


def test_a_chain_of_nodes_is_followed_so_far_and_no_further() -> None:
    dag = Dag()
    assert Reader(FileWalk(chain(dag, file_walk.MAX_DEPTH)), dag).read() == b"x"
    with pytest.raises(InvalidUnixFS, match="deeper than 64"):
        Reader(FileWalk(chain(dag, file_walk.MAX_DEPTH + 1)), dag).read()


def test_a_tree_that_unfolds_without_end_stays_in_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_walk, "MAX_OPEN_LINKS", 200)
    dag = Dag()
    root, size = dag.raw(b"x"), 1
    for _ in range(40):  # 3^40 bytes in 41 blocks
        root, size = dag.node([(root, size)] * 3), size * 3
    walk = FileWalk(root, window_blocks=50)
    for _ in range(200):
        for cid in walk.wanted():
            walk.supply(cid, dag.blocks[cid])
        assert walk._waiting_slots + len(walk._ready) <= 50
        assert walk._open_links <= 200 + 3 * 41 + 50
        walk.take()
    assert walk.size == size
    assert walk.position > 100


def test_nodes_of_many_links_are_dropped_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_walk, "MAX_OPEN_LINKS", 25)
    dag = Dag()
    data = random.Random(2).randbytes(1000)
    root = import_file(dag, data, chunk=1, links=10)
    walk = FileWalk(root, window_blocks=20)
    reader = Reader(walk, dag, seed=3)
    open_links = []
    push = walk._push

    def watched_push(open_node: file_walk._OpenNode) -> None:
        push(open_node)
        open_links.append(walk._open_links)

    monkeypatch.setattr(walk, "_push", watched_push)
    assert reader.read() == data
    assert len(reader.asked) > len(set(reader.asked))
    assert max(open_links) <= 25 + 10 + 20 + 3 * 10


def test_a_chain_of_wide_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_walk, "MAX_PATH_LINKS", 25)
    dag = Dag()
    leaf = dag.raw(b"x")
    root, size = leaf, 1
    for _ in range(3):
        root, size = dag.node([(root, size)] + [(leaf, 1)] * 9), size + 9
    with pytest.raises(InvalidUnixFS, match="too many links"):
        Reader(FileWalk(root, window_blocks=1), dag).read()


# -- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4)])
def test_an_impossible_range_is_refused(start: int, end: int | None) -> None:
    with pytest.raises(ValueError, match="range"):
        FileWalk(CID.parse("bafkqaaa"), start, end)


@pytest.mark.parametrize(("blocks", "size"), [(0, 1), (1, 0)])
def test_a_window_without_room_is_refused(blocks: int, size: int) -> None:
    with pytest.raises(ValueError, match="window"):
        FileWalk(CID.parse("bafkqaaa"), window_blocks=blocks, window_bytes=size)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (5, None), (7, 9), (0, 0)])
def test_a_range_without_bytes_needs_the_root_alone(start: int, end: int | None) -> None:
    dag = Dag()
    root = dag.node([(dag.raw(b"abcde"), 5)])
    reader = Reader(FileWalk(root, start, end), dag)
    assert reader.read() == b""
    assert reader.asked == [root]
