"""
Many slow readers in a process of their own, whose memory is their own.

Arguments: a folder, the address of a provider, how many readers, their bytes per second, seconds,
and the CIDs that they read. It prints one JSON line: MiB of memory at the start, at most and in the
end, the most that the readers held by their own account, what they hold in the end, and MiB read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from libp2p.host.memory_relief import RELIEF_DELAYS
from libp2p.ipfs_lite import Peer

MIB = 1024 * 1024


def memory(name: str) -> float:
    """Give a line of the process's status, in MiB."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def forget_peak() -> None:
    """Let VmHWM begin anew."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")


async def main(*arguments: str) -> None:
    folder, address, count, rate, seconds, *cids = arguments
    speed = int(rate)
    read = 0

    async def read_slowly(peer: Peer, cid: str) -> None:
        nonlocal read
        async with await peer.get_file(cid) as reader:
            began = trio.current_time()
            done = 0
            while done < float(seconds) * speed and (data := await reader.read(speed)):
                done += len(data)
                read += len(data)
                await trio.sleep_until(began + done / speed)

    async with Peer.open(folder) as peer:
        await peer.connect(address)
        start = memory("VmRSS:")
        forget_peak()
        async with trio.open_nursery() as nursery:
            for number in range(int(count)):
                nursery.start_soon(read_slowly, peer, cids[number % len(cids)])
        scope = peer.resources.scope("readers")
        told = {"start": start, "peak": memory("VmHWM:"), "read": read / MIB}
        await trio.sleep(2 * sum(RELIEF_DELAYS))  # the system takes memory back without telling
        told["end"] = memory("VmRSS:")
        print(json.dumps({**told, "held": scope.held, "most": scope.peak / MIB}), flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
