"""A hundred slow downloads in one peer."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
import trio

from libp2p.ipfs_lite import Peer

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
FILES, READERS = 8, 100
#: Fast enough that all of them come to their second block within the test, and most to a third.
RATE, SECONDS = 300_000, 5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of a process")
async def test_slow_readers_hold_little(tmp_path: Path) -> None:
    async with Peer.open(tmp_path / "provider", listen=["/ip4/127.0.0.1/tcp/0"]) as provider:
        choose = random.Random(1)
        cids = [
            str((await provider.add_file(choose.randbytes(16 * MIB))).cid) for _ in range(FILES)
        ]
        numbers = map(str, (READERS, RATE, SECONDS))
        command = [sys.executable, "-m", "tests.support.slow_readers", str(tmp_path / "readers")]
        ended = await trio.run_process(
            [*command, str(provider.addrs[0]), *numbers, *cids],
            capture_stdout=True,
            cwd=ROOT,
            check=True,
        )
    told = json.loads(ended.stdout)
    assert told["peak"] - told["start"] <= 200
    # Memory is given back when most of a burst is over, and not for a small rest again.
    assert told["end"] - told["start"] <= 0.5 * (told["peak"] - told["start"])
    assert told["most"] <= 96 + READERS  # the block that each waits for
    assert told["held"] == 0
    assert told["read"] * MIB >= 0.9 * READERS * RATE * SECONDS
