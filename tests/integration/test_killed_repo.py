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


def killed(repo: Path, seed: int, chance: random.Random) -> tuple[list[str], str]:
    """Run a worker and kill it; return what it has said, and its last words."""
    child = subprocess.Popen(
        [sys.executable, str(WORKER), str(repo), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(chance.uniform(0, 0.6))
    child.kill()
    rest, errors = child.communicate()
    return [first.strip(), *rest.splitlines()], errors


def note(lines: list[str], pinned: set[str]) -> None:
    for line in lines:
        if line.startswith("+ "):
            pinned.add(line[2:])
        elif line.startswith("- "):
            pinned.discard(line[2:])


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
async def test_what_was_pinned_outlives_any_kill(tmp_path: Path) -> None:
    chance = random.Random()
    repo, pinned = tmp_path / "repo", set[str]()

    async def damaged(cid: CID, reason: str) -> None:
        raise AssertionError(f"{cid} is damaged: {reason}")

    for round_number in range(KILLS):
        lines, errors = killed(repo, chance.getrandbits(32), chance)
        assert lines[0] == "ready", errors
        assert errors == ""
        note(lines, pinned)
        async with Peer.open(repo=repo, online=False) as peer:
            found = {str(pin.cid) async for pin in peer.pins.ls("recursive")}
            assert pinned <= found, f"round {round_number}"
            async for pin, bad in peer.pins.verify():
                assert bad == [], f"round {round_number}: {pin}"
            await verify_blocks(peer.store, damaged)
            while len(pinned) > 100:  # or each round would take longer than the one before
                await peer.pins.rm(pinned.pop())
