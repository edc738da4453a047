"""
Ten thousand blocks into each store, looked up, read and deleted: ``python -m bench.stores``.

    python -m bench.stores [--blocks 10000] [--size 4096]

Every store gets the same blocks in the same batches, one after the other in one run; seconds of
wall time and of the processor.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from fsspec.implementations.memory import MemoryFileSystem

from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.blockstore.cached import CachedBlockStore
from libp2p.blockstore.fsspec import FsspecBlockStore
from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.blockstore.lmdb import LmdbBlockStore
from libp2p.blockstore.sqlite import SqliteBlockStore
from libp2p.ipld.cid import CID

BATCH = 500
COLUMNS = ("has not", "put", "has", "get", "delete")
CALL_SECONDS = 0.05


class SlowFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A bucket whose calls take 50 ms."""

    protocol = "slow"

    def cat_file(self, path: str, *args: Any, **options: Any) -> Any:
        time.sleep(CALL_SECONDS)
        return super().cat_file(path, *args, **options)

    def pipe_file(self, path: str, value: Any, *args: Any, **options: Any) -> Any:
        time.sleep(CALL_SECONDS)
        return super().pipe_file(path, value, *args, **options)

    def info(self, path: str, **options: Any) -> Any:
        time.sleep(CALL_SECONDS)
        return super().info(path, **options)


STORES: dict[str, Callable[[Path], BlockStore]] = {
    "memory": lambda _: MemoryBlockStore(),
    "flatfs": lambda folder: FilesystemBlockStore(folder),
    "flatfs, sync": lambda folder: FilesystemBlockStore(folder, sync=True),
    "SQLite": lambda folder: SqliteBlockStore(folder / "blocks"),
    "SQLite, sync": lambda folder: SqliteBlockStore(folder / "blocks", sync=True),
    "LMDB": lambda folder: LmdbBlockStore(folder),
    "LMDB, sync": lambda folder: LmdbBlockStore(folder, sync=True),
    "fsspec memory://": lambda folder: FsspecBlockStore(f"memory://{folder}"),
    "fsspec file://": lambda folder: FsspecBlockStore(f"file://{folder}"),
    "fsspec, calls of 50 ms": lambda folder: FsspecBlockStore(SlowFileSystem(), str(folder)),
    "cache before SQLite": lambda folder: CachedBlockStore(SqliteBlockStore(folder / "blocks")),
    "flatfs before fsspec": lambda folder: LayeredBlockStore(
        FilesystemBlockStore(folder / "near"), FsspecBlockStore(f"memory://{folder}")
    ),
}


async def timed(cids: Sequence[Any], call: Callable[[Sequence[Any]], Awaitable[object]]) -> str:
    wall, processor = time.perf_counter(), time.process_time()
    for start in range(0, len(cids), BATCH):
        await call(cids[start : start + BATCH])
    return f"{time.perf_counter() - wall:6.2f} ({time.process_time() - processor:5.2f})"


async def measure(store: BlockStore, blocks: list[tuple[CID, bytes]]) -> list[str]:
    cids = [cid for cid, _ in blocks]
    missing = [CID.for_block(cid.buffer) for cid in cids]
    columns = [
        await timed(missing, store.get_sizes),
        await timed(blocks, store.put_blocks),
        await timed(cids, store.get_sizes),
        await timed(cids, store.get_blocks),
    ]
    assert await store.get_blocks(cids[:BATCH]) == [data for _, data in blocks[:BATCH]]
    columns.append(await timed(cids, store.delete_blocks))
    await store.close()
    return columns


async def main(count: int, size: int) -> None:
    blocks = [(CID.for_block(data), data) for data in (os.urandom(size) for _ in range(count))]
    print(f"{count:,} blocks of {size:,} bytes, {BATCH} in a call: seconds (of the processor)")
    print(
        f"{'':24}" + "".join(f"{name:>17}" for name in ("has not", "put", "has", "get", "delete"))
    )
    for name, make in STORES.items():
        with tempfile.TemporaryDirectory() as folder:
            columns = await measure(make(Path(folder)), blocks)
        print(f"{name:24}" + "".join(f"{column:>17}" for column in columns), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    trio.run(main, options.blocks, options.size)
