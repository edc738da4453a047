"""The wheel py-ipfs-lite 0.1.1, installed without its libp2p, runs on this one."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.architecture.source_tree import ROOT

from .files import write_file
from .kubo import Kubo
from .need import REQUIRE_VARIABLE, need

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = ROOT / "tests/interop/py_ipfs_lite_program.py"
PACKAGES = ("py-ipfs-lite==0.1.1", "cbor2")
"""What it imports besides is installed for other tests: prometheus-client, varint, multihash."""

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target")
    done = subprocess.run([*pip, folder, *PACKAGES], check=False, capture_output=True, text=True)
    if done.returncode:
        reason = f"the wheel cannot be had: {done.stderr[-500:]}"
        pytest.fail(reason) if os.environ.get(REQUIRE_VARIABLE) else pytest.skip(reason)
    return folder


def test_its_peers_add_and_fetch_from_each_other_and_from_kubo(wheel: Path, tmp_path: Path) -> None:
    need("kubo")
    ours = write_file(tmp_path / "ours", "ours", 3_000_000)
    foreign = write_file(tmp_path / "foreign", "foreign", 2_000_000)
    with Kubo() as kubo:
        arguments = [str(ours), kubo.add(foreign), kubo.addr]
        done = subprocess.run(
            [sys.executable, PROGRAM, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(wheel)])},
        )
        expected = kubo.run("add", "-nQ", "--cid-version=1", str(ours)).stdout.decode().strip()
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert said == {
        "libp2p": str(ROOT / "libp2p"),
        "added": expected,
        "fetched": sha256(ours.read_bytes()).hexdigest(),
        "foreign": sha256(foreign.read_bytes()).hexdigest(),
        "node": "{'title': 'Hello'}",
        "closed": "True",
    }
