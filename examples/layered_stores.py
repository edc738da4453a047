"""A quick store in front of one that several machines share, and a copy of it in one file."""

from __future__ import annotations

import tempfile

import trio

from libp2p.blockstore.copying import copy_blocks
from libp2p.blockstore.filesystem import FilesystemBlockStore
from libp2p.blockstore.fsspec import FsspecBlockStore
from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.blockstore.sqlite import SqliteBlockStore
from libp2p.ipfs_lite import Peer

BUCKET = "memory://bucket/blocks"  # or "s3://bucket/blocks", with s3fs installed


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bucket = FsspecBlockStore(BUCKET)
        near = FilesystemBlockStore(f"{folder}/near")
        store = LayeredBlockStore(near, bucket, write_to="both")
        async with Peer.open(block_store=store, online=False) as peer:
            added = await peer.add_file(__file__)

        backup = SqliteBlockStore(f"{folder}/backup.sqlite")
        result = await copy_blocks(bucket, backup)  # any two stores
        print("copied:", result.copied, "damaged:", result.damaged)
        again = await copy_blocks(bucket, backup)
        print("copied again:", again.copied, "already there:", again.there)

        await near.delete_block(added.cid)
        print("in the bucket still:", await store.has_block(added.cid))
        await store.close()
        await backup.close()


if __name__ == "__main__":
    trio.run(main)
