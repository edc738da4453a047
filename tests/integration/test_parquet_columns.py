"""Two of twenty columns of a parquet file are read from a peer: what moves is about those two."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.ipfs_lite import Peer

if TYPE_CHECKING:
    from libp2p.ipfs_lite import UnixFSReader

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

#: ``NIGHTLY=1`` (``make nightly``) takes a file of 512 MB.
NIGHTLY = bool(os.environ.get("NIGHTLY"))
COLUMNS = 20
GROUP_ROWS = 800_000 if NIGHTLY else 200_000
GROUPS = 4 if NIGHTLY else 1
TOLERATED = 1.3
#: Columns of 1.6 MB need more than they are long of blocks of 1 MiB: one each, and the footer's.
ENDS = 0 if NIGHTLY else 3 * 2**20


class BlockingFile(io.RawIOBase):
    """A reader as pyarrow uses one, from another thread; it counts what it is asked for."""

    def __init__(self, reader: UnixFSReader) -> None:
        self.reader = reader
        self.asked = 0
        self._token = trio.lowlevel.current_trio_token()  # pyarrow calls from threads of its own

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return trio.from_thread.run_sync(self.reader.seek, offset, whence, trio_token=self._token)

    def tell(self) -> int:
        return trio.from_thread.run_sync(self.reader.tell, trio_token=self._token)

    def read(self, size: int | None = -1) -> bytes:
        data = trio.from_thread.run(self.reader.read, size, trio_token=self._token)
        self.asked += len(data)
        return data


def make_parquet(path: Path) -> None:
    source = random.Random(5)
    schema = pa.schema([(f"c{number}", pa.float64()) for number in range(COLUMNS)])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(GROUPS):
            noise = [pa.py_buffer(source.randbytes(8 * GROUP_ROWS)) for _ in range(COLUMNS)]
            columns = [pa.Array.from_buffers(pa.float64(), GROUP_ROWS, [None, n]) for n in noise]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), GROUP_ROWS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", ["unixfs-v0-2015", "unixfs-v1-2025"])
async def test_two_columns_move_about_what_is_asked_for(profile: str, tmp_path: Path) -> None:
    await trio.to_thread.run_sync(make_parquet, tmp_path / "table.parquet")
    async with Peer.open(tmp_path / "provider", listen=["/ip4/127.0.0.1/tcp/0"]) as provider:
        cid = (await provider.add_file(tmp_path / "table.parquet", profile=profile)).cid
        async with Peer.open(tmp_path / "reader") as peer:
            await peer.connect(provider.addrs[0])
            async with await peer.get_file(cid) as reader:
                file = BlockingFile(reader)
                table = await trio.to_thread.run_sync(
                    lambda: pq.read_table(file, columns=["c3", "c11"])
                )
            moved = peer.bitswap.stat().data_received
    assert table.shape == (GROUPS * GROUP_ROWS, 2)
    print(f"{profile}: {moved / 1e6:.1f} MB moved, {file.asked / 1e6:.1f} MB asked for")
    assert moved <= TOLERATED * file.asked + ENDS
