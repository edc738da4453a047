"""
The other end of a fetch in a process of its own, so that it is not counted with this one.

``serve FOLDER FILE`` serves a file and prints its CID and the address; it ends with its input.
``fetch CID ADDRESS`` fetches the file into memory and prints its length.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from libp2p.ipfs_lite import Peer


async def serve(folder: str, file: str) -> None:
    async with Peer.open(folder, listen=["/ip4/127.0.0.1/tcp/0"]) as peer:
        added = await peer.add_file(Path(file), chunker="size-262144")
        print(f"{added.cid} {peer.addrs[0]}", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


async def fetch(folder: str, cid: str, address: str) -> None:
    async with Peer.open(folder) as peer:
        await peer.connect(address)
        size = 0
        async with await peer.get_file(cid) as reader:
            while data := await reader.read(1024 * 1024):
                size += len(data)
        print(size)


if __name__ == "__main__":
    match sys.argv[1:]:
        case "serve", folder, file:
            trio.run(serve, folder, file)
        case "fetch", folder, cid, address:
            trio.run(fetch, folder, cid, address)
