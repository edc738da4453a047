"""Changing a directory gives what importing the same entries gives, by whatever way."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libp2p.exceptions import (
    InvalidUnixFS,
    LocalProtocolError,
    NameNotInDirectory,
    NotADirectory,
)
from libp2p.ipld import dag_pb, unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter
from libp2p.ipld.directory_edit import DirectoryEditor
from libp2p.ipld.hamt import MURMUR3_X64_64, hash_of
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData

if TYPE_CHECKING:
    from libp2p.ipld.hamt_edit import Steps

CIDS = [CID.for_block(bytes([n]), "raw") for n in range(3)] + [
    CID.for_block(b"0", "dag-pb", version=0),
    CID.for_block(b"x" * 100, "raw", hash="identity"),
]
NAMES = [f"{n}" * (1 + n % 7) for n in range(40)] + ["é", "\udcff", "a b"]


class Store:
    """Blocks, and how many were asked for."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}
        self.asked = 0

    def run(self, steps: Steps[Any]) -> Any:
        try:
            wanted = next(steps)
            while True:
                assert wanted
                assert len(set(wanted)) == len(wanted)
                self.asked += len(wanted)
                wanted = steps.send([self.blocks[cid] for cid in wanted])
        except StopIteration as end:
            return end.value

    def flush(self, editor: DirectoryEditor) -> CID:
        self.blocks.update(editor.blocks())
        return editor.root

    def load(self, root: CID, options: ImportOptions) -> DirectoryEditor:
        return DirectoryEditor.read(root, self.blocks[root], options)


def imported(entries: dict[str, DirectoryEntry], options: ImportOptions) -> tuple[CID, int]:
    importer = DirectoryImporter(options)
    for entry in entries.values():
        importer.add(entry)
    list(importer.finish())
    return importer.root, importer.dag_size


OPTIONS = st.builds(
    ImportOptions,
    cid_version=st.sampled_from([0, 1]),
    raw_leaves=st.just(False),
    hamt_threshold=st.sampled_from([0, 150, 400, 1000]),
    hamt_estimation=st.sampled_from(["links-bytes", "block-bytes", "disabled"]),
    hamt_fanout=st.sampled_from([8, 16, 256]),
    max_directory_links=st.sampled_from([0, 3, 10]),
    mode=st.sampled_from([None, 0o755]),
    mtime=st.sampled_from([None, Mtime(5), Mtime(5, 6)]),
    inline_limit=st.sampled_from([None, 64]),
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.none() | st.tuples(st.sampled_from(CIDS), st.sampled_from([0, 5, 2**40])),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(OPTIONS, CHANGES)
def test_a_directory_read_before_each_change_is_as_if_imported(
    options: ImportOptions, changes: list[tuple[str, tuple[CID, int] | None]]
) -> None:
    store = Store()
    entries: dict[str, DirectoryEntry] = {}
    root = store.flush(DirectoryEditor(options))
    for name, what in changes:
        editor = store.load(root, options)
        found = store.run(editor.find(name))
        assert found == entries.get(name)
        if what is not None:
            entries[name] = DirectoryEntry(name, *what)
            store.run(editor.put(entries[name]))
        elif found is None:
            with pytest.raises(NameNotInDirectory):
                store.run(editor.remove(name))
        else:
            del entries[name]
            store.run(editor.remove(name))
        root = store.flush(editor)
        assert (root, editor.dag_size) == imported(entries, options)


@settings(deadline=None)
@given(OPTIONS, CHANGES)
def test_an_editor_that_is_kept_has_the_entries_too(
    options: ImportOptions, changes: list[tuple[str, tuple[CID, int] | None]]
) -> None:
    store = Store()
    entries: dict[str, DirectoryEntry] = {}
    editor = DirectoryEditor(options)
    for number, (name, what) in enumerate(changes):
        if what is not None:
            entries[name] = DirectoryEntry(name, *what)
            store.run(editor.put(entries[name]))
        elif entries.pop(name, None):
            store.run(editor.remove(name))
        if number % 3 == 0:
            store.flush(editor)
    for name in NAMES:
        assert store.run(editor.find(name)) == entries.get(name)


@pytest.mark.parametrize("estimation", ["links-bytes", "block-bytes", "disabled"])
@pytest.mark.parametrize("most", [0, 3])
def test_a_directory_that_shrinks_is_as_if_imported(estimation: str, most: int) -> None:
    options = ImportOptions(
        hamt_threshold=150, hamt_estimation=estimation, max_directory_links=most
    )
    store, entries = Store(), {name: DirectoryEntry(name, CIDS[0], 5) for name in NAMES[:8]}
    editor = DirectoryEditor(options)
    for entry in entries.values():
        store.run(editor.put(entry))
    root = store.flush(editor)
    while entries:
        name, _ = entries.popitem()
        editor = store.load(root, options)
        store.run(editor.remove(name))
        root = store.flush(editor)
        assert root == imported(entries, options)[0]


def test_a_change_of_a_large_directory_reads_a_few_shards() -> None:
    options = ImportOptions()
    importer = DirectoryImporter(options)
    for number in range(20_000):
        importer.add(DirectoryEntry(f"{number:040}", CIDS[0], 1))
    store = Store()
    store.blocks.update(importer.finish())
    editor = store.load(importer.root, options)
    store.run(editor.put(DirectoryEntry("new", CIDS[1], 1)))
    assert store.asked <= 3
    store.run(editor.remove("new"))
    assert store.asked <= 80, "it is known to be large once the threshold has been passed"
    assert store.flush(editor) == importer.root
    assert editor.dag_size == importer.dag_size
    store.run(editor.put(DirectoryEntry("new", CIDS[1], 1)))
    assert store.asked <= 85


def test_kubo_leaves_a_directory_sharded_if_it_is_as_before_it_was() -> None:
    options = ImportOptions(hamt_threshold=100, hamt_estimation="links-bytes")
    store = Store()
    editor = DirectoryEditor(options)
    for name in ("a", "b", "c"):
        store.run(editor.put(DirectoryEntry(name, CIDS[0], 1)))
    store.run(editor.remove("c"))
    kept = store.blocks
    kept.update(editor.blocks())
    data = dag_pb.decode(kept[editor.root]).data
    assert data is not None
    assert unixfs.decode(data).type is DataType.HAMT_SHARD
    store.run(editor.remove("b"))
    data = dag_pb.decode(store.blocks[store.flush(editor)]).data
    assert data is not None
    assert unixfs.decode(data).type is DataType.DIRECTORY


def test_what_is_no_directory() -> None:
    for cid, block in [
        (CIDS[0], b"\0"),
        (
            CID.for_block(b"", "dag-pb"),
            dag_pb.encode((), unixfs.encode(UnixFSData(DataType.FILE))),
        ),
    ]:
        with pytest.raises(NotADirectory):
            DirectoryEditor.read(cid, block, ImportOptions())


def test_a_root_is_known_once_it_is_written() -> None:
    editor = DirectoryEditor(ImportOptions())
    with pytest.raises(LocalProtocolError):
        _ = editor.root
    with pytest.raises(InvalidUnixFS, match="cannot be a name"):
        next(editor.put(DirectoryEntry("a/b", CIDS[0], 1)))


def shard(links: list[PBLink], fanout: int = 8) -> tuple[CID, bytes]:
    message = UnixFSData(DataType.HAMT_SHARD, b"", hash_type=MURMUR3_X64_64, fanout=fanout)
    block = dag_pb.encode(links, unixfs.encode(message))
    return CID.for_block(block, "dag-pb"), block


def place(name: str, level: int = 0) -> int:
    return hash_of(name.encode()) >> (61 - 3 * level) & 7


def test_shards_that_are_malformed() -> None:
    store = Store()
    options = ImportOptions()
    twice, block = shard([PBLink(CIDS[0], "1a"), PBLink(CIDS[0], "1b")])
    with pytest.raises(InvalidUnixFS, match="two links"):
        DirectoryEditor.read(twice, block, options)
    empty, store.blocks[empty] = shard([])
    file = CID.for_block(b"f", "raw")
    store.blocks[file] = b"f"
    plain = dag_pb.encode((), unixfs.encode(UnixFSData(DataType.DIRECTORY)))
    basic = CID.for_block(plain, "dag-pb")
    store.blocks[basic] = plain
    a = f"{place('a')}a"
    for below, message in [(empty, "no entries"), (file, "no shard"), (basic, "no shard")]:
        other = f"{(place('a') + 1) % 8}"
        root, store.blocks[root] = shard([PBLink(CIDS[0], a), PBLink(below, other)])
        with pytest.raises(InvalidUnixFS, match=message):
            store.run(store.load(root, options).remove("a"))


def test_a_chain_of_shards_is_followed_as_long_as_a_hash_has_bits() -> None:
    store = Store()
    options = ImportOptions()
    root = CIDS[0]
    for level in reversed(range(22)):
        new, block = shard([PBLink(root, f"{place('a', level) if level < 21 else 0}")])
        store.blocks[new] = block
        root = new
    editor = store.load(root, options)
    with pytest.raises(InvalidUnixFS, match="same hash"):
        store.run(editor.find("a"))
    with pytest.raises(InvalidUnixFS, match="same hash"):
        store.run(editor.put(DirectoryEntry("a", CIDS[0], 1)))


def test_a_shard_that_is_alone_in_another_stays_there() -> None:
    """As in Kubo: only an entry takes the place of the shard above it."""
    names = sorted(NAMES[:40], key=lambda name: hash_of(name.encode()))
    pairs = [(one, other) for one, other in itertools.pairwise(names) if place(one) == place(other)]
    assert pairs
    options = ImportOptions(hamt_threshold=1, hamt_fanout=8)
    store = Store()
    for one, other in pairs:
        editor = DirectoryEditor(options)
        rest = [name for name in names if place(name) == place(one)]
        for name in rest:
            store.run(editor.put(DirectoryEntry(name, CIDS[0], 1)))
        for name in rest:
            if name not in (one, other):
                store.run(editor.remove(name))
        both = {name: DirectoryEntry(name, CIDS[0], 1) for name in (one, other)}
        assert store.flush(editor) == imported(both, options)[0]


def test_what_others_have_written_is_put_right() -> None:
    """A shard for a single entry, a name that is there twice, a fan-out of another's choice."""
    store = Store()
    single, store.blocks[single] = shard([PBLink(CIDS[0], f"{place('a', 1)}a")])
    root, store.blocks[root] = shard([PBLink(single, f"{place('a')}")])
    for options in (ImportOptions(), ImportOptions(hamt_estimation="disabled")):
        editor = store.load(root, options)
        assert store.run(editor.find("a")) == DirectoryEntry("a", CIDS[0], 0)
        store.run(editor.remove("a"))
        message = unixfs.decode(dag_pb.decode(store.blocks[store.flush(editor)]).data or b"")
        is_small = options.hamt_estimation != "disabled"
        assert message.type is (DataType.DIRECTORY if is_small else DataType.HAMT_SHARD)
        assert message.fanout == (None if is_small else 8)
        assert message.data is None
    data = unixfs.encode(UnixFSData(DataType.DIRECTORY))
    block = dag_pb.encode([PBLink(CIDS[0], "a"), PBLink(CIDS[1], "a")], data)
    cid = CID.for_block(block, "dag-pb")
    editor = DirectoryEditor.read(cid, block, ImportOptions())
    assert store.run(editor.find("a")) == DirectoryEntry("a", CIDS[0], 0)
    one = dag_pb.encode([PBLink(CIDS[0], "a")], data)
    assert store.flush(editor) == CID.for_block(one, "dag-pb")
    assert store.run(editor.find("a")) is not None
