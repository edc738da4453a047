"""
A random walk over a real host (`tests.support.random_walk`): it lives at the end, and is no larger.

``make walk STEPS=10000`` walks further, ``SEED=7`` another way. A walk that fails names its seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from secrets import randbelow

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS = int(os.environ.get("STEPS") or 500)
SEED = int(os.environ.get("SEED") or randbelow(10**6))


@pytest.mark.slow
@pytest.mark.timeout(120 + STEPS)
def test_a_host_survives_whatever_is_done_to_it() -> None:
    walk = ["-m", "tests.support.random_walk", f"--steps={STEPS}", f"--seed={SEED}"]
    ended = subprocess.run(
        [sys.executable, "-bb", *walk],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100 + STEPS,
        check=False,
    )
    assert ended.stdout, ended.stderr
    found = json.loads(ended.stdout)
    print(f"STEPS={STEPS} SEED={SEED}", found["marks"], found["tally"])
    faults = "\n\n".join(found["faults"])
    assert not faults, f"make walk STEPS={STEPS} SEED={SEED}"
    assert ended.returncode == 0, ended.stderr
