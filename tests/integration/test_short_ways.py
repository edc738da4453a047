"""How long the ways of a block and of a wantlist are, in calls into the package."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.output import save
from tests.support.call_trace import CallTrace, tracing_calls

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 256
SIZE = BLOCKS * 256 * 1024


async def fetching(folder: Path) -> CallTrace:
    source, copy = folder / "file", folder / "copy"
    source.write_bytes(random.Random(1).randbytes(SIZE))
    command = [sys.executable, "-m", "tests.support.other_end", "serve"]
    other = await trio.lowlevel.open_process(
        [*command, str(folder / "there"), str(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert other.stdout
        cid, address = (await other.stdout.receive_some()).decode().split()
        async with Peer.open(folder / "here") as peer:
            await peer.connect(address)
            with tracing_calls() as trace:
                async with await peer.get_file(cid) as reader:
                    await save(reader, copy)
    finally:
        other.kill()
        await other.wait()
    assert copy.stat().st_size == SIZE
    return trace


async def serving(folder: Path) -> CallTrace:
    command = [sys.executable, "-m", "tests.support.other_end", "fetch", str(folder / "there")]
    async with Peer.open(folder / "here", listen=["/ip4/127.0.0.1/tcp/0"]) as peer:
        data = random.Random(1).randbytes(SIZE)
        cid = (await peer.add_file(data, chunker="size-262144")).cid
        with tracing_calls() as trace:
            done = await trio.run_process(
                [*command, str(cid), str(peer.addrs[0])], capture_stdout=True, cwd=ROOT
            )
    assert int(done.stdout) == SIZE
    return trace


def assert_short(trace: CallTrace, *, calls: float, functions: int, steps: float) -> None:
    """Check the means for a block, and how many functions at least every eighth block takes."""
    found = (trace.calls / BLOCKS, trace.hops_of(BLOCKS // 8), sum(trace.steps.values()) / BLOCKS)
    within = found[0] <= calls and found[1] <= functions and found[2] <= steps
    assert within, f"{found} calls, functions, steps for a block:\n{trace.table(BLOCKS)}"


@pytest.mark.slow
async def test_the_way_of_a_block_from_the_socket_to_a_file(tmp_path: Path) -> None:
    assert_short(await fetching(tmp_path), calls=240, functions=275, steps=4.5)


@pytest.mark.slow
async def test_the_way_of_a_wantlist_to_its_blocks(tmp_path: Path) -> None:
    assert_short(await serving(tmp_path), calls=230, functions=200, steps=7)
