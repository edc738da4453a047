"""A tree of files that changes, and the CIDs that it has had."""

import tempfile

import trio

from libp2p.ipfs_lite import Peer


async def main() -> None:
    async with Peer.open(tempfile.mkdtemp(), online=False) as peer:
        page = "/site/index.html"
        first = await peer.files.write(page, b"<h1>Hello</h1>", create=True, parents=True)
        second = await peer.files.write(page, b"<h1>HELLO", offset=0)
        await peer.files.cp(page, "/site/copy.html")  # no content is copied
        print(await peer.files.names("/site"), first != second)
        print((await peer.files.stat("/site")).cid)  # to publish, to pin, to fetch


if __name__ == "__main__":
    trio.run(main)
