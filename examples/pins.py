"""A site is pinned under a name, replaced by a newer one, and what is left of it removed."""

import tempfile

import trio

from libp2p.ipfs_lite import Peer


async def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        async with Peer.open(f"{work}/repo", online=False) as peer:
            old = (await peer.add_file(b"a site", name="site")).cid
            new = (await peer.add_file(b"a newer site", pin=False)).cid
            await peer.pins.update(old, new)
            async for pin in peer.pins.ls():
                print(pin.cid, pin.kind, pin.name)
            await trio.sleep(0.1)  # what was written a moment ago stays
            async for removed in peer.gc():
                print(sum(size for _, size in removed), "bytes are free")


if __name__ == "__main__":
    trio.run(main)
