"""
An ipfs-lite peer that runs, as a Kubo daemon does: JSON lines in, JSON out.

Usage: ``lite_peer.py REPO``. The first line it prints says that it is there; it ends with its
standard input. Errors end it: what is measured is not to go wrong.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import trio
from multiaddr import Multiaddr

from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.output import save
from libp2p.peer.peerinfo import info_from_p2p_addr


async def do(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    """Connect to `addr`, or get `cid` into the file `output`."""
    if command["command"] == "connect":
        await peer.connect(info_from_p2p_addr(Multiaddr(command["addr"])))
        return {}
    cpu, start = time.process_time(), time.perf_counter()
    async with await peer.get_file(command["cid"]) as reader:
        await save(reader, Path(command["output"]))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "cpu_seconds": time.process_time() - cpu}


async def main() -> None:
    """Carry out one command after the other."""
    async with Peer.open(Path(sys.argv[1])) as peer:
        print(json.dumps({"id": str(peer.peer_id)}), flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            command = json.loads(line)
            print(json.dumps({"id": command["id"], **await do(peer, command)}), flush=True)


if __name__ == "__main__":
    trio.run(main)
