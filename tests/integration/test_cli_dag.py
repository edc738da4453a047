"""The verbs of ``dag``: nodes in and out, paths, sizes, CAR files and parts of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from libp2p.ipld.car.reader import CarReader
from libp2p.ipld.node import decode
from tests.integration.test_cli import Terminal, terminal
from tests.integration.test_cli_folders import folder, root_of

__all__ = ["folder", "terminal"]


def put(terminal: Terminal, text: bytes, *flags: str) -> str:
    path = terminal.folder / "node"
    path.write_bytes(text)
    assert terminal("dag", "put", *flags, path) == 0
    return terminal.out.strip()


def test_nodes_go_in_and_out(terminal: Terminal) -> None:
    inner = put(terminal, b' { "x": {"y": [1, {"z": 1.5}]} } ')
    assert inner.startswith("bafyrei")
    root = put(terminal, b'{"l":{"/":"%s"}}' % inner.encode(), "--pin")
    assert terminal("dag", "get", f"{root}/l/x/y") == 0
    assert terminal.out == '[1,{"z":1.5}]'
    assert terminal("dag", "get", f"/ipfs/{root}/l", "--output-codec", "json") == 0
    assert decode(terminal.out.encode(), "json") == {"x": {"y": [1, {"z": 1.5}]}}
    assert terminal("dag", "resolve", f"{root}/l/x/y/0") == 0
    assert terminal.out == f"{inner}/x/y/0\n"
    assert terminal("dag", "resolve", "--json", f"{root}/l") == 0
    assert json.loads(terminal.out) == {"cid": inner, "rest": ""}
    assert terminal("pin", "ls", "-q", "--type=recursive") == 0
    assert terminal.out.split() == [root]
    assert put(terminal, b"hi", "--input-codec=raw", "--store-codec=raw").startswith("bafkrei")
    assert put(terminal, b"1", "--hash", "sha2-512", "--json").startswith('{"cid": "bafyrg')


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["put", "--input-codec", "cbor", "NODE"], 1, "tag|ends|bytes after|CBOR|number"),
        (["put", "--store-codec", "nonsense", "NODE"], 1, "unknown codec 'nonsense'"),
        (["put", "--store-codec", "git-raw", "NODE"], 1, "cannot be written in git-raw"),
        (["put", "--store-codec", "dag-pb", "NODE"], 1, "no Links"),
        (["put", "--hash", "nonsense", "NODE"], 2, "nonsense"),
        (["get", "ROOT/none"], 1, "is not a key of the map"),
        (["get", "ROOT/a/b"], 1, "cannot be in a"),
        (["get", "--output-codec", "raw", "ROOT"], 1, "is bytes, not dict"),
        (["export", "--entity-bytes", "0:1", "ROOT"], 1, "needs the scope"),
        (["export", "--dag-scope", "some", "ROOT"], 2, "some"),
    ],
)
def test_what_cannot_be_done(terminal: Terminal, args: list[str], code: int, text: str) -> None:
    root = put(terminal, b'{"a":1}')
    names = {"NODE": str(terminal.folder / "node"), "ROOT": root}
    for name, value in names.items():
        args = [arg.replace(name, value) for arg in args]
    assert terminal("dag", *args) == code
    assert any(part in terminal.error for part in text.split("|"))


def test_dags_are_measured(terminal: Terminal, folder: Path) -> None:
    root = root_of(terminal, folder)
    assert terminal("dag", "stat", root, f"{root}/a") == 0
    lines = [line.split() for line in terminal.out.splitlines()]
    assert lines[0] == ["CID", "Blocks", "Size"]
    assert lines[1][:2] == [root, "10"]
    assert lines[3:5] == [[], ["Summary"]]
    assert lines[6] == ["Unique", "Blocks:", "10"]
    assert terminal("dag", "stat", "--json", root) == 0
    stats = json.loads(terminal.out)
    assert stats["dags"] == [{"cid": root, "blocks": stats["blocks"], "size": stats["size"]}]


def cids_in(path: Path) -> list[str]:
    return [str(block.cid) for block in CarReader().receive(path.read_bytes())]


def test_parts_and_versions_of_car_files(terminal: Terminal, folder: Path, tmp_path: Path) -> None:
    root = root_of(terminal, folder)
    whole = tmp_path / "whole.car"
    assert terminal("dag", "export", root, "-o", whole) == 0
    assert terminal("dag", "export", "--car-version=2", root, "-o", tmp_path / "two.car") == 0
    two = (tmp_path / "two.car").read_bytes()
    assert whole.read_bytes() in two
    assert cids_in(tmp_path / "two.car") == cids_in(whole)
    part = tmp_path / "part.car"
    flags = ["--dag-scope=entity", "--entity-bytes=0:99"]
    assert terminal("dag", "export", *flags, f"{root}/large", "-o", part) == 0
    assert len(cids_in(part)) == 2
    assert terminal("dag", "export", "--dag-scope=block", root, "-o", part) == 0
    assert cids_in(part) == [root]

    other = Terminal(tmp_path / "other", terminal._capture)
    other.folder.mkdir()
    assert other("dag", "import", part) == 1
    assert f'pinning root "{root}" FAILED' in other.error
    assert other("dag", "import", "--local-only", "--stats", part) == 0
    assert other.out.startswith("Imported 1 blocks (")
    assert other("dag", "export", "--local-only", root, "-o", tmp_path / "again.car") == 0
    assert (tmp_path / "again.car").read_bytes() == part.read_bytes()
    assert other("dag", "import", "--pin-roots=false", whole) == 0
    assert other.out == ""
    assert other("pin", "ls") == 0
    assert other.out == ""
    assert other("dag", "import", "--stats", whole, part) == 0
    assert other.out.splitlines()[0] == f"Pinned root\t{root}\tsuccess"
    assert len(other.out.splitlines()) == 2
    assert other("dag", "import", "--silent", "--stats", whole) == 0
    assert other.out == ""
    assert other("dag", "import", "--json", "--stats", whole) == 0
    pinned, stats = map(json.loads, other.out.splitlines())
    assert pinned == {"cid": root, "pinned": True, "error": ""}
    assert stats["blocks"] == 10
