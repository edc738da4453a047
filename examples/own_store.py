"""A block store of your own: blocks in SQLite, by multihash."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing

import trio

from libp2p.bitswap import BlockStore
from libp2p.custom_types import Buffer
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID, CIDInput

FILE = __file__
TABLE = "CREATE TABLE IF NOT EXISTS blocks (multihash BLOB PRIMARY KEY, data BLOB NOT NULL)"
PUT = "INSERT OR REPLACE INTO blocks VALUES (?, ?)"
GET = "SELECT data FROM blocks WHERE multihash = ?"
DELETE = "DELETE FROM blocks WHERE multihash = ?"


class SqliteStore(BlockStore):
    """One connection, which one thread uses at a time."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute(TABLE)
        self._turn = trio.Lock()

    async def _run(self, sql: str, rows: Sequence[Sequence[object]]) -> list[bytes]:
        def work() -> list[bytes]:
            with closing(self._database.cursor()) as cursor:
                return [found for row in rows for (found,) in cursor.execute(sql, row)]

        async with self._turn:
            try:
                return await trio.to_thread.run_sync(work)
            except sqlite3.Error as error:
                raise BlockStoreError(f"the block database: {error}") from error

    async def get_block(self, cid: CIDInput) -> bytes | None:
        found = await self._run(GET, [(CID.of(cid).multihash,)])
        return found[0] if found else None

    async def has_block(self, cid: CIDInput) -> bool:
        return await self.get_block(cid) is not None

    async def put_block(self, cid: CIDInput, data: bytes) -> None:
        await self.put_blocks([(cid, data)])

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        await self._run(PUT, [(CID.of(cid).multihash, bytes(data)) for cid, data in blocks])

    async def delete_block(self, cid: CIDInput) -> None:
        await self._run(DELETE, [(CID.of(cid).multihash,)])

    async def close(self) -> None:
        async with self._turn:
            self._database.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(f"{folder}/blocks.sqlite")
        try:
            async with Peer.open(block_store=store, online=False) as peer:
                added = await peer.add_file(FILE)
                print(added.cid, "is kept:", await store.has_block(added.cid))
        finally:
            await store.close()


if __name__ == "__main__":
    trio.run(main)
