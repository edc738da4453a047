"""
A process that fetches a file and is killed by its test; it is run as a module.

Arguments: the repo, the provider's address, the CID, the target, and "nocopy" or "copy". It prints
how many bytes have been written, a number a line, and at the end how many have come from peers.
"""

from __future__ import annotations

import sys

import trio

from libp2p.ipfs_lite import Peer


async def main(*arguments: str) -> None:
    repo, address, cid, target, how = arguments
    async with Peer.open(repo) as peer:
        await peer.connect(address)
        await peer.save_file(
            cid, target, nocopy=how == "nocopy", progress=lambda done, _: print(done, flush=True)
        )
        print("received", peer.bitswap.stat().data_received, flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
