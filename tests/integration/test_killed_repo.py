"""A repo whose processes are killed at any moment opens again, and has all that was pinned."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.block_check import verify_blocks

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID

WORKER = Path(__file__).with_name("killed_worker.py")
ROOT = WORKER.parents[2]
KILLS = int(os.environ.get("KILLS", 1000 if os.environ.get("NIGHTLY") else 15))


def started(repo: Path, seed: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(repo), str(seed), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def killed(repo: Path, chance: random.Random) -> list[tuple[list[str], str]]:
    """Run two workers at once and kill each; return what they have said, and their last words."""
    children = [started(repo, chance.getrandbits(32), name) for name in ("a", "b")]
    first = [child.stdout.readline().strip() for child in children if child.stdout is not None]
    for child in children:
        time.sleep(chance.uniform(0, 0.5))
        child.kill()
    said = []
    for child, line in zip(children, first, strict=True):
        with child:  # `communicate` would leave out what was read with the first line
            assert child.stdout is not None
            assert child.stderr is not None
            said.append(([line, *child.stdout.read().splitlines()], child.stderr.read()))
    return said


def note(lines: list[str], pinned: set[str], files: dict[str, str]) -> None:
    for line in lines:
        if line.startswith("+ "):
            pinned.add(line[2:])
        elif line.startswith("- "):
            pinned.discard(line[2:])
        elif line.startswith("? "):
            files.pop(line[2:], None)
        elif line.startswith("= "):
            _, path, cid = line.split()
            files[path] = cid


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
async def test_what_was_pinned_outlives_any_kill(tmp_path: Path) -> None:
    chance = random.Random()
    repo, pinned, files = tmp_path / "repo", set[str](), dict[str, str]()

    async def damaged(cid: CID, reason: str) -> None:
        raise AssertionError(f"{cid} is damaged: {reason}")

    for round_number in range(KILLS):
        for lines, errors in killed(repo, chance):
            assert lines[0] == "ready", errors
            assert errors == ""
            note(lines, pinned, files)
        async with Peer.open(repo=repo, online=False) as peer:
            found = {str(pin.cid) async for pin in peer.pins.ls("recursive")}
            assert pinned <= found, f"round {round_number}"
            async for pin, bad in peer.pins.verify():
                assert bad == [], f"round {round_number}: {pin}"
            for path, cid in files.items():
                assert str((await peer.files.stat(path)).cid) == cid, f"round {round_number}"
            root = await peer.files.root()
            await peer.pins.add(root)  # fails if anything below is missing
            await peer.pins.rm(root)
            await verify_blocks(peer.store, damaged)
            while len(pinned) > 100:  # or each round would take longer than the one before
                await peer.pins.rm(pinned.pop())
