"""Values as nodes that link to each other, read through paths."""

import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer


async def main() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        picture = (await peer.add_file(b"the bytes of a picture")).cid
        author = await peer.dag.put({"name": "Ada", "picture": picture})
        post = await peer.dag.put({"title": "Hello", "authors": [author]}, pin=True)
        print(await peer.dag.value(post, "authors/0/name"))
        async with await peer.get_file(await peer.resolve(post, "authors/0/picture")) as file:
            print(await file.read())
        async for node in peer.dag.walk(post, max_depth=1):
            print(node.cid, node.cid.codec)


if __name__ == "__main__":
    trio.run(main)
