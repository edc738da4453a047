"""The examples of routing that need extras of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.test_examples import EXAMPLES


@pytest.mark.slow
def test_the_routing_server_runs() -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "routing_server.py")]
    done = subprocess.run(
        command,
        cwd=EXAMPLES.parent,
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "found over HTTP\n"
