"""The verbs of ``block``: what they print, read and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite.cli.block_commands import block
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.cid import CID
from tests.integration.test_cli import Terminal, terminal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["terminal"]

#: Of "hi" and a newline, as Kubo 0.43 prints them.
RAW = "bafkreiey5jxe6ilpf62lnh77tm5ejbbmhbugzjuf6p2v3remlu73ced34q"
DAG_PB = "bafybeiey5jxe6ilpf62lnh77tm5ejbbmhbugzjuf6p2v3remlu73ced34q"
V0 = "QmYda1cqUPQuG16zUhQ13rkjm8D5CNnhhNWXRoSKZm3wnB"


@pytest.fixture
def source(terminal: Terminal) -> Path:
    return terminal.file("source", b"hi\n")


def lines(terminal: Terminal, *args: object) -> list[str]:
    assert terminal("block", *args) == 0, terminal.error
    return terminal.out.splitlines()


def test_every_verb_is_kubos() -> None:
    assert set(block.commands) == {"put", "get", "stat", "rm"}


@pytest.mark.parametrize(
    ("flags", "cid"),
    [
        ([], RAW),
        (["--cid-codec=dag-pb"], DAG_PB),
        (["--format=v0"], V0),
        (["-f", "protobuf"], DAG_PB),
        (["-f", "raw"], RAW),
    ],
)
def test_put_prints_kubos_cids(
    terminal: Terminal, source: Path, flags: list[str], cid: str
) -> None:
    assert lines(terminal, "put", *flags, source) == [cid]
    assert lines(terminal, "stat", cid) == [f"Key: {cid}", "Size: 3"]
    assert lines(terminal, "get", cid) == ["hi"]


def test_a_hash_may_be_cut(terminal: Terminal, source: Path) -> None:
    [cid] = lines(terminal, "put", "--mhtype=blake3", "--mhlen=20", source)
    assert (CID.parse(cid).hash_name, len(CID.parse(cid).digest)) == ("blake3", 20)
    assert terminal("block", "put", "--mhtype=sha2-255", source) != 0
    assert "sha2-255" in terminal.error


def test_large_blocks_are_stored_when_that_is_wanted(terminal: Terminal) -> None:
    for size, works in ((MAX_BLOCK_BYTES, True), (MAX_BLOCK_BYTES + 1, False)):
        path = terminal.file("large", bytes(size))
        assert (terminal("block", "put", path) == 0) == works
        assert lines(terminal, "put", "--allow-big-block", path) == [
            str(CID.for_block(bytes(size)))
        ]
    assert terminal("block", "put", path) == 1
    assert "--allow-big-block" in terminal.error


def test_what_is_pinned_is_not_removed(terminal: Terminal, source: Path) -> None:
    assert lines(terminal, "put", "--pin", source, terminal.file("other", b"other"))[0] == RAW
    assert terminal("block", "rm", RAW) == 1
    assert f"cannot remove {RAW}: pinned: recursive" in terminal.error
    assert terminal("pin", "rm", RAW) == 0
    assert lines(terminal, "rm", RAW) == [f"removed {RAW}"]
    assert terminal("block", "stat", RAW) == 1
    assert terminal("block", "rm", RAW) == 1
    assert f"cannot remove {RAW}: it is not here" in terminal.error
    assert lines(terminal, "rm", "-f", "-q", RAW) == []


def test_what_is_below_a_pin_is_not_removed(terminal: Terminal) -> None:
    data = bytes(range(256)) * 8
    assert terminal("add", "-Q", "-s", "size-1024", terminal.file("big", data)) == 0
    root, leaf = terminal.out.strip(), CID.for_block(data[:1024])
    assert terminal("block", "rm", leaf) == 1
    assert f"pinned: via {root}" in terminal.error
    assert lines(terminal, "stat", leaf)[1] == "Size: 1024"


def test_what_json_has(terminal: Terminal, source: Path) -> None:
    for flag in ("--json", "--enc=json"):
        for verb, what in (("put", source), ("stat", RAW)):
            [line] = lines(terminal, verb, flag, what)
            assert json.loads(line) == {"cid": RAW, "size": 3}
        [line] = lines(terminal, "rm", flag, RAW)
        assert json.loads(line) == {"cid": RAW}
    [line] = lines(terminal, "put", "--enc=text", source)
    assert line == RAW
    assert terminal("block", "put", "--enc=xml", source) == 2
