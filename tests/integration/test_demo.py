"""``make demo``, with a small file and with the docs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from libp2p.ipfs_lite.demo import pack


@pytest.mark.slow
def test_the_demo_ends_with_identical(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 10_000)
    demo = [sys.executable, "-m", "libp2p.ipfs_lite.demo", str(path)]
    done = subprocess.run(demo, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "identical"
    assert "size   2,560,000 bytes" in done.stdout
    assert "CID    bafybei" in done.stdout
    assert "MB/s" in done.stdout


def test_a_folder_packs_to_the_same_bytes_whenever(tmp_path: Path) -> None:
    tars: list[bytes] = []
    for copy in ("one", "two"):
        folder = tmp_path / copy / "docs"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "b").write_text("b")
        (folder / "a").write_text("a")
        (folder / "a").chmod(0o600 if copy == "one" else 0o644)
        pack(folder, tmp_path / f"{copy}.tar")
        tars.append((tmp_path / f"{copy}.tar").read_bytes())
    assert tars[0] == tars[1]
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getnames() == ["docs/a", "docs/sub", "docs/sub/b"]
