"""A folder goes from one peer to another, and into a CAR file."""

import tempfile
from pathlib import Path

import trio

from libp2p.ipfs_lite import Peer

FOLDER = Path(__file__).parent


async def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        async with (
            Peer.open(f"{work}/alice", listen="/ip4/127.0.0.1/tcp/0") as alice,
            Peer.open(f"{work}/bob") as bob,
        ):
            added = await alice.add_tree(FOLDER)
            await bob.connect(alice.addrs[0])
            async for entry in bob.ls(added.cid):
                if entry.name == "folders.py":
                    print(entry.cid, entry.name)
            saved = await bob.get_tree(added.cid, f"{work}/copy")
            written = await bob.export_car(added.cid, f"{work}/folder.car")
            print("identical" if saved.size == added.size else "different", written.roots[0])


if __name__ == "__main__":
    trio.run(main)
