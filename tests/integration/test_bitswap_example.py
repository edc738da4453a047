"""examples/bitswap: the demo, and a provider and a client as two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(ROOT / "examples" / "bitswap" / "bitswap.py"), "--mode"]
NOWHERE = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

pytestmark = pytest.mark.slow


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@contextmanager
def provider(*arguments: str) -> Iterator[list[str]]:
    """Run a provider; give the arguments that it tells clients to use."""
    with subprocess.Popen(
        [*PROGRAM, "provider", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = next((line for line in process.stdout if line.startswith("Fetch it: ")), "")
        try:
            yield told.removeprefix("Fetch it: --mode ").split()
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


def test_the_demo_moves_blocks_and_a_file() -> None:
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hello, Bitswap!" in done.stdout
    assert "The files are identical." in done.stdout


def test_a_client_fetches_the_file_of_a_provider(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(os.urandom(700_000))
    with provider("--file", str(original), "--seed", "a seed") as arguments:
        done = run(*arguments, "--output", str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        copy = tmp_path / arguments[arguments.index("--cid") + 1]
        assert copy.read_bytes() == original.read_bytes()


def test_without_a_file_three_blocks_are_traded(tmp_path: Path) -> None:
    with provider() as arguments:
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Hello, Bitswap!" in done.stdout
        missing = run(*arguments, "--cid", NOWHERE, "--output", str(tmp_path))
        assert missing.returncode == 1
        assert "does not have it" in missing.stderr
        assert "Traceback" not in missing.stderr
        assert not (tmp_path / NOWHERE).exists()


def test_a_client_needs_a_provider() -> None:
    assert run("client").returncode == 2
    assert "invalid Multiaddr" in run("client", "--provider", "no address").stderr
