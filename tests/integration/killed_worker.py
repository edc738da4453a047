"""
Changes a repo without end, until it is killed; prints what it has been told is done.

``+ CID`` is pinned, ``- CID`` is about to be unpinned; ``? PATH`` of the mutable tree is about to
be changed, and ``= PATH CID`` is there. Its arguments are the repo, a seed and a
name, which paths of the tree begin with.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import trio

from libp2p.ipfs_lite import Peer

KEPT = 20
"""Pins of this worker; beyond, the oldest one is removed."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def work(peer: Peer, chance: random.Random, folder: Path) -> None:
    mine: list[str] = []
    for _ in range(10**9):
        data = chance.randbytes(chance.choice([100, 5_000, 300_000]))
        kind = chance.choice(["add", "loose", "pin", "car", "files", "gc"])
        cid = None
        if kind in ("add", "loose", "pin"):
            added = await peer.add_file(data, chunker="size-4096", pin=kind == "add")
            cid = None if kind == "loose" else added.cid
            if kind == "pin":
                await trio.sleep(chance.random() / 50)  # time: a collection may come between
                with peer.lease([added.cid]):
                    if not await peer.has_block(added.cid):
                        continue
                    try:
                        await peer.pins.add(added.cid, name="by hand")
                    except Exception:  # noqa: BLE001 - a collection has taken some of it
                        continue
        elif kind == "car":
            added = await peer.add_file(data, chunker="size-4096")
            await peer.export_car(added.cid, folder / "car")
            await peer.pins.rm(added.cid)
            cid = (await peer.import_car(folder / "car", name="car")).roots[0]
        elif kind == "files":
            await change_files(peer, chance, data)
        else:
            async for _ in peer.gc():
                pass
        if cid is not None:
            say(f"+ {cid}")
            mine.append(str(cid))
        if len(mine) > KEPT:
            say(f"- {mine[0]}")
            await peer.pins.rm(mine.pop(0))


async def change_files(peer: Peer, chance: random.Random, data: bytes) -> None:
    folder = f"/{sys.argv[3]}{chance.randrange(3)}"
    path = f"{folder}/{chance.randrange(5)}"
    say(f"? {path}")
    kind = chance.choice(["write", "overwrite", "cp", "rm"])
    if kind == "cp":
        cid = (await peer.add_file(data, chunker="size-4096", name="files")).cid
        await peer.files.cp(cid, path, parents=True, force=True)
        await peer.pins.rm(cid)
    elif kind == "rm":
        await peer.files.rm(path, force=True)
        return
    else:
        offset = chance.randrange(10_000) if kind == "overwrite" else 0
        await peer.files.write(
            path, data, create=True, parents=True, offset=offset, truncate=kind == "write"
        )
    say(f"= {path} {(await peer.files.stat(path)).cid}")


async def main(repo: str, seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=Path(repo).parent) as folder:
        async with Peer.open(repo=repo, online=False) as peer:
            say("ready")
            await work(peer, random.Random(seed), Path(folder))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
