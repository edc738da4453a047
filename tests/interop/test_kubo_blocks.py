"""``block`` beside Kubo's, and ``swarm`` and ``bitswap`` of running peers: the same lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from .kubo import Kubo, KuboError
from .lite import Lite
from .need import need
from .our_command import OurCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Kubo, OurCommand]]:
    need("kubo")
    with Kubo(daemon=False) as kubo:
        yield kubo, OurCommand(tmp_path / "ours")


def same(both: tuple[Kubo, OurCommand], *args: str) -> str:
    """Run a verb in both; return what they print when it is the same."""
    theirs, ours = (peer.text(*args) for peer in both)
    assert ours == theirs
    return ours


def refused(both: tuple[Kubo, OurCommand], text: str, *args: str) -> None:
    for peer in both:
        with pytest.raises(KuboError, match=text):
            peer.text(*args)


def test_blocks_have_the_same_cids_and_lines(both: tuple[Kubo, OurCommand], tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a", "b")]
    for number, name in enumerate(files):
        (tmp_path / name).write_bytes(os.urandom(1000 * number + 3))
    for flags in (
        [], ["--cid-codec=dag-pb"], ["--cid-codec=dag-cbor"], ["--format=v0"], ["-f", "protobuf"],
        ["--mhtype=sha2-512"], ["--mhtype=blake2b-256"], ["--mhtype=blake3", "--mhlen=32"],
        ["--pin"],
    ):  # fmt: skip
        cids = same(both, "block", "put", *flags, *files).splitlines()
        assert len(cids) == 2
        same(both, "block", "stat", cids[1])
        theirs, ours = (peer.run("block", "get", cids[1]) for peer in both)
        assert ours == getattr(theirs, "stdout", theirs) == (tmp_path / "b").read_bytes()
    pinned, loose = same(both, "block", "put", "--pin", files[0]), cids[1]
    refused(both, "pinned: recursive", "block", "rm", pinned)
    same(both, "pin", "rm", pinned, loose)
    assert same(both, "block", "rm", pinned, loose) == f"removed {pinned}\nremoved {loose}"
    refused(both, f"cannot remove {loose}", "block", "rm", loose)
    refused(both, loose, "block", "stat", loose)
    assert same(both, "block", "rm", "-f", "-q", loose) == ""
    large = tmp_path / "large"
    large.write_bytes(bytes(2 * 1024 * 1024 + 1))
    refused(both, "allow-big-block", "block", "put", str(large))
    same(both, "block", "put", "--allow-big-block", str(large))


def test_a_running_peer_is_asked_with_the_same_lines(tmp_path: Path) -> None:
    need("kubo")
    other, asked = Lite(tmp_path / "other"), Lite(tmp_path / "asked")
    with (
        Kubo() as kubo,
        other.serve("/ip4/127.0.0.1/tcp/0") as goal,
        asked.serve("/ip4/127.0.0.1/tcp/0"),
    ):
        peer = goal.addr.rpartition("/")[2]
        for words in (
            ["swarm", "peers"],
            ["swarm", "connect", goal.addr],
            ["swarm", "peers"],
            ["swarm", "peering", "add", goal.addr],
            ["swarm", "peering", "ls"],
            ["swarm", "peering", "rm", peer],
            ["swarm", "peering", "ls"],
            ["bitswap", "wantlist"],
            ["swarm", "disconnect", goal.addr],
            ["swarm", "peers"],
        ):
            assert asked.text(*words) == kubo.text(*words), words
        theirs, ours = (each.text("bitswap", "stat") for each in (kubo, asked))
        assert [line.split(":")[0].split("[")[0] for line in ours.splitlines()] == [
            line.split(":")[0].split("[")[0] for line in theirs.splitlines()
        ]
