"""Paths through folders, other dag-pb, maps, lists and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libp2p.exceptions import NameNotInDirectory, NotADirectory, WrongArgumentType
from libp2p.ipld import unixfs
from libp2p.ipld.cid import CID
from libp2p.ipld.dag_pb import PBLink, PBNode
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter
from libp2p.ipld.node import Node
from libp2p.ipld.paths import Place, follow, names_in
from libp2p.ipld.profiles import ImportOptions
from libp2p.ipld.unixfs import DataType, UnixFSData

if TYPE_CHECKING:
    from libp2p.ipld.block import Block

BLOCKS: dict[bytes, bytes] = {}


def store(node: Node | Block) -> CID:
    BLOCKS[node.cid.multihash] = node.data
    return node.cid


def folder(*entries: tuple[str, CID], links: int = 0) -> CID:
    importer = DirectoryImporter(ImportOptions(max_directory_links=links, hamt_fanout=8))
    for name, cid in entries:
        importer.add(DirectoryEntry(name, cid, 1))
    return [store(block) for block in importer.finish()][-1]


FILE = store(Node.of(b"a file"))
INNER = store(Node.of({"x": {"y": [1, {"z": 5}]}, "file": FILE}, "dag-json"))
OUTER = store(Node.of({"l": INNER, "m": [INNER], "": 1}))
MANY = folder(*((f"name {number}", FILE) for number in range(50)), ("cbor", OUTER), links=10)
ROOT = folder(("many", MANY), ("file", FILE))
ODD = store(Node.of(PBNode((PBLink(OUTER, "a"), PBLink(FILE, "b")))))
BARE = store(Node.of(OUTER))
DATA = store(
    Node.of(PBNode((PBLink(FILE, ""),), unixfs.encode(UnixFSData(DataType.FILE, blocksizes=(6,)))))
)


def at(root: CID, path: str, *, read: bool = True) -> Place:
    steps = follow(root, names_in(path), read=read)
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send([BLOCKS[cid.multihash] for cid in wanted])
    except StopIteration as end:
        place: Place = end.value
        return place


@pytest.mark.parametrize(
    ("root", "path", "cid", "rest", "value"),
    [
        (OUTER, "", OUTER, "", {"l": INNER, "m": [INNER], "": 1}),
        (OUTER, "l", INNER, "", {"x": {"y": [1, {"z": 5}]}, "file": FILE}),
        (OUTER, "l/x", INNER, "x", {"y": [1, {"z": 5}]}),
        (OUTER, "m/0/x/y/01/z", INNER, "x/y/01/z", 5),
        (OUTER, "l/file", FILE, "", b"a file"),
        (ROOT, "file", FILE, "", b"a file"),
        (ROOT, "many/cbor/l/x/y/0", INNER, "x/y/0", 1),
        (ROOT, "many/name 49", FILE, "", b"a file"),
        (ODD, "a/m", OUTER, "m", [INNER]),
        (ODD, "b", FILE, "", b"a file"),
        (BARE, "", BARE, "", OUTER),
    ],
)
def test_where_paths_lead(root: CID, path: str, cid: CID, rest: str, value: Any) -> None:
    names = tuple(rest.split("/")) if rest else ()
    assert at(root, path) == Place(cid, names, value)
    found = at(root, path, read=False)
    assert found[:2] == (cid, names)
    assert found.value == (value if names else None)


def test_the_last_block_is_not_read_for_nothing() -> None:
    absent = CID.for_block(b"absent")
    assert at(absent, "", read=False) == Place(absent, (), None)
    assert at(folder(("absent", absent)), "absent", read=False) == Place(absent, (), None)


def test_names_in_a_path() -> None:
    assert names_in("/a//b c/.") == ["a", "b c", "."]
    assert names_in("/") == names_in("") == []
    with pytest.raises(WrongArgumentType, match="the path must be a str"):
        names_in(b"a")  # type: ignore[arg-type]


def test_dag_pb_is_shown_as_a_map() -> None:
    assert at(ODD, "").value["Links"][1] == {"Hash": FILE, "Name": "b", "Tsize": 0}


@pytest.mark.parametrize(
    ("root", "path", "error", "reason"),
    [
        (OUTER, "q", NameNotInDirectory, "no key of the map|not a key of the map"),
        (OUTER, "m/1", NameNotInDirectory, "no place in the list of 1"),
        (OUTER, "m/-1", NameNotInDirectory, "no place"),
        (OUTER, "m/a", NameNotInDirectory, "no place"),
        (OUTER, "m/\u0661", NameNotInDirectory, "no place"),
        (OUTER, f"m/{'0' * 5000}", NameNotInDirectory, "no place"),
        (OUTER, "l/x/y/0/w", NotADirectory, "cannot be in a int"),
        (ROOT, "none", NameNotInDirectory, "not in the directory"),
        (ROOT, "many/none", NameNotInDirectory, "not in the directory"),
        (ROOT, "many/\ud800", NameNotInDirectory, "not in the directory"),
        (ROOT, "\ud800", NameNotInDirectory, "not in the directory"),
        (ODD, "\ud800", NameNotInDirectory, "no link"),
        (ROOT, "file/x", NotADirectory, "codec is raw"),
        (DATA, "x", NotADirectory, "but a file"),
        (ODD, "c", NameNotInDirectory, "no link"),
        (BARE, "l", NotADirectory, "nothing but a link"),
    ],
)
def test_where_none_lead(root: CID, path: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        at(root, path)
