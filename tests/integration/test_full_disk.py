"""On a disk without any room left, what is kept can be read, and the rest can be removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: A namespace of its own, in which anybody may mount a small disk.
APART = ("unshare", "--map-root-user", "--mount")
PROGRAM = """
import os, sys
from pathlib import Path
import pytest
import trio
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import Config, Peer
from libp2p.ipfs_lite.state import SPARE_BYTES

disk, blocks = Path(sys.argv[1]), sys.argv[2]
repo, spare = disk / "repo", disk / "repo" / "state.sqlite.spare"

async def main():
    async with Peer.open(repo, online=False, config=Config(blocks=blocks)) as peer:
        kept = (await peer.add_file(os.urandom(300_000))).cid
        gone = (await peer.add_file(os.urandom(2_000_000))).cid
    assert spare.stat().st_size == SPARE_BYTES
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, bytes(4096))
    except OSError:
        os.close(filler)
    async with Peer.open(repo, online=False) as peer:
        with pytest.raises(BlockStoreError):
            await peer.add_file(os.urandom(300_000))
        async with await peer.get_file(kept) as file:
            assert len(await file.read()) == 300_000
    async with Peer.open(repo, online=False) as peer:
        await peer.pins.rm(gone)
    await trio.sleep(0.1)  # time: a block must be older than the margin
    async with Peer.open(repo, online=False) as peer:
        removed = [cid async for batch in peer.gc() for cid, _ in batch]
        assert len(removed) >= 3, removed
        assert [pin.cid async for pin in peer.pins.ls("recursive")] == [kept]
        if blocks == "flatfs":  # the file of LMDB does not shrink
            await peer.add_file(os.urandom(300_000))
    assert blocks != "flatfs" or spare.stat().st_size == SPARE_BYTES

trio.run(main)
"""


@pytest.fixture
def apart(tmp_path: Path) -> list[str]:
    """Return what a program is started with that has a small disk at ``tmp_path``."""
    mount = f"mount -t tmpfs -o size=6m tmpfs {tmp_path}"
    command = [*APART, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    if shutil.which(APART[0]) is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return command


@pytest.mark.slow
@pytest.mark.parametrize("blocks", ["flatfs", "lmdb"])
def test_a_full_disk_can_be_cleared(tmp_path: Path, apart: list[str], blocks: str) -> None:
    ended = subprocess.run(
        [*apart, sys.executable, "-c", PROGRAM, str(tmp_path), blocks],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
