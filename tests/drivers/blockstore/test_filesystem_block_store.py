"""The store on disk beside its conformance: calls that share a write, errors, its folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.blockstore import FilesystemBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    import pytest

    from libp2p.base_types import Buffer


def block(number: int) -> tuple[CID, bytes]:
    data = b"%d" % number
    return CID.for_block(data), data


async def test_tells_its_folder_and_its_size(tmp_path: Path) -> None:
    store = FilesystemBlockStore(str(tmp_path / "blocks"))
    await store.put_blocks([block(1), block(2)])
    assert store.size() == 2
    assert store.base_path() == tmp_path / "blocks"


async def test_a_full_disk_fails_everybody_who_writes_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemBlockStore(tmp_path)
    errors: list[BlockStoreError] = []

    def full(descriptor: int, data: Buffer) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def put(number: int) -> None:
        try:
            await store.put_blocks([block(number)])
        except BlockStoreError as error:
            errors.append(error)

    monkeypatch.setattr(os, "write", full)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(put, number)
    assert len(errors) == 5
    for error in errors:
        assert isinstance(error.__cause__, OSError)
        assert "No space left" in str(error)
    monkeypatch.undo()
    await store.put_blocks([block(1)])
    assert store.size() == 1


async def test_a_cancelled_write_harms_nobody_else(tmp_path: Path) -> None:
    store = FilesystemBlockStore(tmp_path)
    scopes = [trio.CancelScope() for _ in range(6)]

    async def put(number: int) -> None:
        with scopes[number]:
            await store.put_blocks([block(number)])

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(put, number)
        await trio.lowlevel.checkpoint()
        for number in (0, 2, 4):
            scopes[number].cancel()
    for number in (1, 3, 5):
        assert await store.has_block(block(number)[0])
    await store.put_block(*block(7))
    assert await store.has_block(block(7)[0])
