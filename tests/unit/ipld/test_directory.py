"""Directories: the CIDs that others publish, and reading back what was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import (
    InvalidImportOptions,
    InvalidUnixFS,
    LocalProtocolError,
    NameNotInDirectory,
    NotADirectory,
)
from libp2p.ipld import dag_pb, directory, hamt, unixfs
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink
from libp2p.ipld.directory import (
    DirectoryEntry,
    DirectoryImporter,
    DirectoryWalk,
    NameLookup,
    symlink_block,
)
from libp2p.ipld.hamt import HashedEntry, ShardWriter, hash_of
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, Mtime, UnixFSData
from tests.support.content import chacha20
from tests.unit.ipld.test_cid_vectors import VECTORS, expected_cid, options_of

Tree = dict[str, Any]
"""Folders are dicts, files text or bytes, links ``["symlink", target]``."""

LETTERS = b"abcdefghijklmnopqrstuvwxyz01234567890-_"


def import_tree(tree: Tree, options: ImportOptions) -> tuple[DirectoryEntry, list[Block]]:
    """Return the directory, without a name, and its blocks."""
    importer = DirectoryImporter(options)
    blocks: list[Block] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            entry, below = import_tree(value, options)
        elif isinstance(value, list):
            link = symlink_block(value[1], options)
            entry, below = DirectoryEntry("", link.cid, len(link.data)), [link]
        else:
            file = FileImporter(options)
            data = value if isinstance(value, bytes) else value.encode()
            below = [*file.feed([data]), *file.finish()]
            entry = DirectoryEntry("", file.root, file.dag_size)
        blocks += below
        importer.add(entry._replace(name=name))
    own = list(importer.finish())
    assert importer.root == own[-1].cid
    return DirectoryEntry("", importer.root, importer.dag_size), blocks + own


def tree_of(recipe: Tree) -> Tree:
    if recipe["type"] == "tree":
        return dict(recipe["value"])
    if recipe["type"] == "numbered-files":
        numbers = range(recipe["from"], recipe["to"] + 1)
        name, text = recipe["name"].format, recipe["content"].format
        return {name(number): text(number) for number in numbers}
    letters = iter(b"".join(chacha20(recipe["seed"], 1 << 20)))
    lengths = [recipe["name_len"]] * (recipe["files"] - 1) + [recipe["last_name_len"]]
    return {
        "".join(chr(LETTERS[next(letters) % 39]) for _ in range(length)): "x" for length in lengths
    }


def full_options(params: Tree, **more: Any) -> ImportOptions:
    """Translate a vector's parameters, those of directories too."""
    options = options_of(params)
    values = {name: getattr(options, name) for name in ImportOptions.__slots__}
    values["hamt_threshold"] = params.get("hamt_threshold", 262144)
    estimate = {"block": "block-bytes", "links": "links-bytes"}
    values["hamt_estimation"] = estimate[params.get("hamt_estimation", "links")]
    return ImportOptions(**(values | more))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, vector in VECTORS.items()
        if vector["kind"] == "unixfs-tree"
        and vector["input"]["type"] != "described"
        and "trickle" not in str(vector["params"])
    ],
)
def test_a_tree_gets_its_published_cid(name: str) -> None:
    vector = VECTORS[name]
    entry, blocks = import_tree(tree_of(vector["input"]), full_options(vector["params"]))
    assert entry.cid == expected_cid(vector)
    distinct = {block.cid: len(block.data) for block in blocks}
    assert entry.dag_size >= sum(distinct.values())


@pytest.mark.parametrize("name", [n for n, v in VECTORS.items() if v["kind"] == "unixfs-symlink"])
def test_a_link_gets_its_published_cid(name: str) -> None:
    vector = VECTORS[name]
    block = symlink_block(vector["input"]["target"], options_of(vector["params"]))
    assert block.cid == expected_cid(vector)


def test_shards_of_empty_directories() -> None:
    options = full_options({"hamt_threshold": 1})
    tree: Tree = {f"DIRNAME{number}": {} for number in range(200)}
    assert import_tree(tree, options)[0].cid == expected_cid(VECTORS["boxo-hamt-200-emptydirs"])


# -- reading --------------------------------------------------------------------------------------


def listed(root: CID, blocks: dict[CID, bytes], count: int = 3) -> Iterator[DirectoryEntry]:
    walk = DirectoryWalk(root)
    while not walk.is_over:
        [first, *_] = walk.next(count)
        yield from walk.take(blocks[first])


def looked_up(root: CID, name: str, blocks: dict[CID, bytes]) -> tuple[DirectoryEntry, int]:
    lookup = NameLookup(root, name)
    for read in range(1, 20):
        if (entry := lookup.take(blocks[lookup.wanted])) is not None:
            return entry, read
    raise AssertionError("it goes on for ever")


NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=6)


@given(
    names=st.sets(NAMES.filter(lambda name: name not in (".", "..")), max_size=60),
    fanout=st.sampled_from([8, 16, 256, 1024]),
    threshold=st.sampled_from([0, 1, 262144]),
)
def test_what_is_written_is_listed_and_found(names: set[str], fanout: int, threshold: int) -> None:
    names = {name for name in names if _is_name(name)}
    options = ImportOptions(hamt_fanout=fanout, hamt_threshold=threshold)
    leaf = CID.for_block(b"leaf")
    importer = DirectoryImporter(options)
    for name in names:
        importer.add(DirectoryEntry(name, leaf, 4))
    blocks = {cid: data for cid, data in importer.finish()}
    found = list(listed(importer.root, blocks))
    assert sorted(entry.name for entry in found) == sorted(names)
    assert all(entry == (entry.name, leaf, 4) for entry in found)
    for name in names:
        assert looked_up(importer.root, name, blocks)[0] == (name, leaf, 4)
    for missing in ("another name", ""):
        with pytest.raises(NameNotInDirectory):
            looked_up(importer.root, missing, blocks)


def _is_name(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def test_names_that_are_not_utf_8() -> None:
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    for threshold in (0, 1):
        entry, blocks = import_tree({name: "x"}, ImportOptions(hamt_threshold=threshold))
        held = dict(blocks)
        assert [found.name for found in listed(entry.cid, held)] == [name]
        assert looked_up(entry.cid, name, held)[0].name == name


def test_blocks_of_shards_are_asked_for_together() -> None:
    tree: Tree = {str(number): "x" for number in range(300)}
    entry, blocks = import_tree(tree, ImportOptions(hamt_threshold=1, hamt_fanout=8))
    walk = DirectoryWalk(entry.cid)
    assert walk.next(5) == [entry.cid]
    assert walk.take(dict(blocks)[entry.cid]) == []
    assert len(walk.next(5)) == 5
    assert looked_up(entry.cid, "7", dict(blocks))[1] > 1


def test_only_a_large_directory_is_sharded() -> None:
    def is_sharded(count: int, **choices: Any) -> bool:
        tree: Tree = {f"{number:03}": "x" for number in range(count)}
        entry, blocks = import_tree(tree, ImportOptions(**choices))
        node = dag_pb.decode(dict(blocks)[entry.cid])
        return unixfs.decode(node.data or b"").type is DataType.HAMT_SHARD

    link = 2 + (2 + 36) + (2 + 3) + 2  # the CID, the name and the size, each with its tag
    assert is_sharded(10, hamt_threshold=4 + 10 * link - 1)
    assert not is_sharded(10, hamt_threshold=4 + 10 * link)
    assert is_sharded(10, hamt_threshold=10 * 39 - 1, hamt_estimation="links-bytes")
    assert not is_sharded(10, hamt_threshold=10 * 39, hamt_estimation="links-bytes")
    assert is_sharded(3, max_directory_links=2)
    assert not is_sharded(2, max_directory_links=2)
    assert not is_sharded(3, max_directory_links=2, hamt_threshold=0)
    assert is_sharded(3, max_directory_links=2, hamt_threshold=0, hamt_estimation="disabled")
    assert not is_sharded(99, hamt_threshold=1, hamt_estimation="disabled")
    assert not is_sharded(0, hamt_threshold=1, max_directory_links=1)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "\ud800"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidUnixFS, match="cannot be a name"):
        DirectoryImporter(ImportOptions()).add(DirectoryEntry(name, CID.for_block(b""), 0))


def test_a_target_that_is_neither_text_nor_bytes_is_refused() -> None:
    with pytest.raises(InvalidUnixFS, match="cannot be the target of a link"):
        symlink_block("\ud800", ImportOptions())


def test_a_name_is_there_once() -> None:
    importer = DirectoryImporter(ImportOptions())
    importer.add(DirectoryEntry("a", CID.for_block(b""), 0))
    with pytest.raises(InvalidUnixFS, match="twice"):
        importer.add(DirectoryEntry("a", CID.for_block(b""), 0))
    with pytest.raises(LocalProtocolError):
        _ = importer.root


def test_the_first_of_two_entries_of_one_name_counts() -> None:
    links = [dag_pb.PBLink(CID.for_block(bytes([number])), "a", 1) for number in range(2)]
    message = unixfs.encode(UnixFSData(DataType.DIRECTORY))
    block = dag_pb.encode(links, message)
    root = CID.for_block(block, "dag-pb")
    assert [entry.cid for entry in listed(root, {root: block})] == [links[0].cid]
    assert looked_up(root, "a", {root: block})[0].cid == links[0].cid


@pytest.mark.parametrize("codec", ["raw", "dag-pb"])
def test_a_file_is_no_directory(codec: str) -> None:
    data = b"content" if codec == "raw" else unixfs.file_leaf(b"content")
    cid = CID.for_block(data, codec)
    with pytest.raises(NotADirectory):
        DirectoryWalk(cid).take(data)
    with pytest.raises(NotADirectory):
        NameLookup(cid, "a").take(data)


def shard(links: list[dag_pb.PBLink], fanout: int = 8, hash_type: int = 0x22) -> bytes:
    message = UnixFSData(DataType.HAMT_SHARD, b"", hash_type=hash_type, fanout=fanout)
    return dag_pb.encode(links, unixfs.encode(message))


EMPTY = dag_pb.encode((), unixfs.encode(UnixFSData(DataType.DIRECTORY)))


@pytest.mark.parametrize(
    "block",
    [
        shard([], fanout=0),
        shard([], fanout=4),
        shard([], fanout=24),
        shard([], fanout=2048),
        shard([], hash_type=0x12),
        shard([dag_pb.PBLink(CID.for_block(b""), "", 0)]),
        dag_pb.encode(()),
    ],
)
def test_a_malformed_shard_is_refused(block: bytes) -> None:
    root = CID.for_block(block, "dag-pb")
    with pytest.raises(InvalidUnixFS):
        DirectoryWalk(root).take(block)
    with pytest.raises(InvalidUnixFS):
        NameLookup(root, "a").take(block)


def test_shards_that_lead_elsewhere_are_refused() -> None:
    empty = CID.for_block(EMPTY, "dag-pb")
    block = shard([dag_pb.PBLink(empty, f"{place}", 0) for place in range(8)])
    walk = DirectoryWalk(CID.for_block(block, "dag-pb"))
    assert walk.take(block) == []
    with pytest.raises(InvalidUnixFS, match="no shard"):
        walk.take(EMPTY)
    lookup = NameLookup(CID.for_block(block, "dag-pb"), "a")
    assert lookup.take(block) is None
    with pytest.raises(NameNotInDirectory):
        lookup.take(EMPTY)


def test_a_tower_of_shards_ends() -> None:
    block = shard([])
    for _ in range(30):
        below = CID.for_block(block, "dag-pb")
        block = shard([dag_pb.PBLink(below, f"{place}", 0) for place in range(8)])
    lookup = NameLookup(CID.for_block(block, "dag-pb"), "a")
    for _ in range(21):  # 64 bits, three for each level
        assert lookup.take(block) is None
    with pytest.raises(InvalidUnixFS, match="deeper than"):
        lookup.take(block)


def test_the_number_of_shards_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_WAITING", 7)
    block = shard([dag_pb.PBLink(CID.for_block(EMPTY), f"{place}", 0) for place in range(8)])
    with pytest.raises(InvalidUnixFS, match="more than 7"):
        DirectoryWalk(CID.for_block(block, "dag-pb")).take(block)


def test_names_of_one_hash_are_told_of() -> None:
    cid = CID.for_block(b"").buffer
    records = [HashedEntry(5, name, cid, 0).pack() for name in (b"a", b"b")]
    writer = ShardWriter(records, 256, lambda data: Block(CID.for_block(data, "dag-pb"), data))
    with pytest.raises(InvalidUnixFS, match="same hash"):
        list(writer.blocks())


def test_the_root_alone_has_mode_and_time() -> None:
    mtime = Mtime(7, 8)
    options = ImportOptions(
        raw_leaves=False, mode=0o755, mtime=mtime, hamt_threshold=1, hamt_fanout=8
    )
    importer = DirectoryImporter(options)
    for number in range(30):
        importer.add(DirectoryEntry(str(number), CID.for_block(b""), 0))
    *below, root = (
        unixfs.decode(dag_pb.decode(block).data or b"") for _, block in importer.finish()
    )
    assert (root.mode, root.mtime) == (0o755, mtime)
    assert below
    assert {(message.mode, message.mtime) for message in below} == {(None, None)}


@pytest.mark.parametrize(
    "choice",
    [
        {"hamt_estimation": "guess"},
        {"hamt_estimation": 1},
        {"hamt_fanout": 12},
        {"hamt_fanout": 2048},
        {"hamt_threshold": -1},
        {"max_directory_links": -1},
    ],
)
def test_impossible_choices_are_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(InvalidImportOptions):
        ImportOptions(**choice)


def test_the_hash_is_the_one_of_others() -> None:
    assert hamt.hash_of(b"a") == 0x85555565F6597889


def test_another_name_at_the_place_is_not_the_one() -> None:
    entry, blocks = import_tree({"a": "x"}, ImportOptions(hamt_threshold=1, hamt_fanout=8))
    place = hamt.hash_of(b"a") >> 61
    other = next(name for name in map(str, range(99)) if hamt.hash_of(name.encode()) >> 61 == place)
    with pytest.raises(NameNotInDirectory):
        NameLookup(entry.cid, other).take(dict(blocks)[entry.cid])


def shard_of(*links: PBLink) -> tuple[CID, bytes]:
    message = UnixFSData(DataType.HAMT_SHARD, b"", hash_type=0x22, fanout=8)
    block = dag_pb.encode(links, unixfs.encode(message))
    return CID.for_block(block, "dag-pb"), block


def list_below(blocks: dict[CID, bytes], root: CID, steps: int) -> None:
    walk = DirectoryWalk(root)
    for _ in range(steps):
        walk.take(blocks[walk.next(1)[0]])


def test_a_listing_cannot_be_made_to_go_on_for_ever() -> None:
    """Eight links to one shard, at each of many levels, are billions of shards to visit."""
    blocks = dict([shard_of()])
    [cid] = blocks
    for _ in range(25):
        cid, block = shard_of(*[PBLink(cid, f"{place}") for place in range(8)])
        blocks[cid] = block
    empty = list(blocks)[4]
    a_file = CID.for_block(b"", "raw")
    misplaced = [f"{place}a" for place in range(8) if place != hash_of(b"a") >> 61]
    wrong = shard_of(*[PBLink(a_file, name) for name in misplaced])
    for root, message in [(cid, "deeper"), (empty, "no entries"), (wrong[0], "not where")]:
        with pytest.raises(InvalidUnixFS, match=message):
            list_below(blocks | dict([wrong]), root, 100)


def test_a_shard_over_a_plain_directory_is_refused() -> None:
    plain = dag_pb.encode((), unixfs.encode(UnixFSData(DataType.DIRECTORY)))
    root, block = shard_of(PBLink(CID.for_block(plain, "dag-pb"), "1"))
    walk = DirectoryWalk(root)
    walk.take(block)
    with pytest.raises(InvalidUnixFS, match="no shard"):
        walk.take(plain)


def test_what_a_large_directory_cannot_have() -> None:
    importer = DirectoryImporter(ImportOptions(max_directory_links=2))
    cid = CID.for_block(b"", "raw")
    for name in "abcd":
        importer.add(DirectoryEntry(name, cid, 1))
    for size in (-1, 2**64):
        with pytest.raises(InvalidUnixFS, match="cannot have"):
            importer.add(DirectoryEntry("e", cid, size))
    importer.add(DirectoryEntry("c", cid, 2**64 - 1))
    with pytest.raises(InvalidUnixFS, match="'c' is in the directory twice"):
        list(importer.finish())


def test_names_of_the_same_hash_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "hash_of", lambda name: len(name))
    importer = DirectoryImporter(ImportOptions(max_directory_links=1))
    for name in ("a", "b"):
        importer.add(DirectoryEntry(name, CID.for_block(b"", "raw"), 1))
    with pytest.raises(InvalidUnixFS, match="the same hash"):
        list(importer.finish())
