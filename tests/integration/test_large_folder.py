"""
A folder of very many entries, on a disk: built, looked up and listed, in a process of its own.

``NIGHTLY=1`` takes a million entries and prints the figures: a minute, 300 MiB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID
from libp2p.ipld.directory import NameLookup

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = 1_000_000 if os.environ.get("NIGHTLY") else 20_000
MEBIBYTES = 300 if os.environ.get("NIGHTLY") else 150


def entries(count: int) -> Iterator[tuple[str, CID, int]]:
    for number in range(count):
        digest = sha256(b"%d" % number).digest()
        yield f"entry {number:07}", CID.decode(b"\x01\x55\x12\x20" + digest), number


def peak() -> int:
    """Return the most memory this process has had, in MiB; getrusage counts its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@contextmanager
def counted_blocks() -> Iterator[list[object]]:
    """Note the blocks of which a name is looked for."""
    asked: list[object] = []
    take = NameLookup.take

    def counted(self: NameLookup, block: Any) -> Any:
        asked.append(self.wanted)
        return take(self, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NameLookup, "take", counted)
        yield asked


async def work(repo: str, count: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with Peer.open(repo, online=False) as peer:
        started, cpu = perf_counter(), process_time()
        added = await peer.add_folder(entries(count))
        figures |= {"build s": perf_counter() - started, "build cpu s": process_time() - cpu}
        figures |= {"build MiB": peak(), "size": added.size, "dag_size": added.dag_size}
        with counted_blocks() as asked:
            cid = await peer.resolve(added.cid, f"entry {count // 2:07}")
        figures |= {"resolved": str(cid), "blocks": len(asked)}
        started, cpu, listed, total = perf_counter(), process_time(), 0, 0
        async for entry in peer.ls(added.cid):
            listed += 1
            total += entry.dag_size
        figures |= {"list s": perf_counter() - started, "list cpu s": process_time() - cpu}
        figures |= {"list MiB": peak(), "listed": listed, "total": total}
    return figures


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.timeout(300)
def test_a_large_folder(tmp_path: Path) -> None:
    code = (
        "import sys, trio, json; from tests.integration.test_large_folder import work;"
        "print(json.dumps(trio.run(work, sys.argv[1], int(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "repo"), str(ENTRIES)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    print(figures)
    total = sum(range(ENTRIES))
    assert figures["size"] == figures["total"] == total
    assert figures["listed"] == ENTRIES
    wanted = next(cid for _, cid, size in entries(ENTRIES) if size == ENTRIES // 2)
    assert figures["resolved"] == str(wanted)
    assert 1 <= figures["blocks"] <= 4
    assert figures["build MiB"] <= MEBIBYTES
    assert figures["list MiB"] <= MEBIBYTES
    assert figures["build cpu s"] <= 60


async def test_entries_may_come_by_and_by() -> None:
    async def slowly() -> Any:
        for entry in entries(2500):
            await trio.lowlevel.checkpoint()
            yield entry

    from libp2p.blockstore import MemoryBlockStore

    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        added = await peer.add_folder(slowly())
        assert added == await peer.add_folder(entries(2500), only_hash=True)
        assert len([entry async for entry in peer.ls(added.cid)]) == 2500
        with pytest.raises(TypeError):
            await peer.add_folder([(1, added.cid, 1)])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="size of an entry"):
            await peer.add_folder([("a", added.cid, -1)])
