"""
Leases: what running operations need of blocks that no pin holds yet.

A collection leaves alone what was written since the oldest lease began, and what is below the roots
that leases name. In a repo a lease is a file in ``leases/``, locked by its process: it dies with
it. It holds a CID on each line.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from time import time
from typing import TYPE_CHECKING, Final

import trio

from libp2p.ipld.cid import CID, InvalidCID
from libp2p.utils.file_locks import LiveFile, sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

    from libp2p.utils.file_locks import SharedLock

#: Bytes that are read of a lease: 100,000 roots.
MAX_LEASE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lease:
    """One running operation."""

    name: str
    began: float
    """Unix seconds, by the clock that block files get their times from."""
    roots: tuple[CID, ...]


class Leases:
    """The live leases of a peer without a repo."""

    def __init__(self) -> None:
        self._live: set[Lease] = set()
        self._names = count(1)
        self._removing = trio.Lock()
        self._begun = 0

    @property
    def begun(self) -> int:
        """A number that is another one when leases have begun or ended since."""
        return self._begun

    def live(self) -> list[Lease]:
        """Return those that are held now. It blocks for a few file operations."""
        return list(self._live)

    @asynccontextmanager
    async def removal(self) -> AsyncIterator[None]:
        """Remove blocks in this context: nobody stores any meanwhile, and `settled` waits."""
        async with self._removing:
            yield

    async def settled(self) -> None:
        """
        Wait for a removal that had begun before the lease.

        What is here after that, and below the roots of the lease, stays.
        """
        async with self._removing:
            pass

    @contextmanager
    def hold(self, roots: Iterable[CID] = ()) -> Iterator[None]:
        """Hold a lease for the length of the block."""
        lease = Lease(str(next(self._names)), time(), tuple(roots))
        self._live.add(lease)
        self._begun += 1
        try:
            yield
        finally:
            self._live.discard(lease)


class RepoLeases(Leases):
    """
    The live leases of all processes that use a repo.

    :param folder: where they are; made when the first one is held.
    :param lock: is shared by who stores blocks, and exclusive to who removes them.
    """

    def __init__(self, folder: Path, lock: SharedLock) -> None:
        super().__init__()
        self._folder = folder
        self._lock = lock

    @property
    def begun(self) -> int:
        with suppress(FileNotFoundError):
            return self._folder.stat().st_mtime_ns
        return 0

    def live(self) -> list[Lease]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return [lease for name in names if (lease := self._read(name)) is not None]

    def _read(self, name: str) -> Lease | None:
        path = self._folder / name
        if sweep(path):
            return None
        try:
            with open(path, "rb") as file:
                began = os.fstat(file.fileno()).st_mtime
                lines = file.read(MAX_LEASE_BYTES).decode("ascii", "replace").splitlines()
        except OSError:  # it has ended meanwhile
            return None
        roots = []
        for line in lines:
            with suppress(InvalidCID):
                roots.append(CID.parse(line))
        return Lease(name, began, tuple(roots))

    @asynccontextmanager
    async def removal(self) -> AsyncIterator[None]:
        async with self._removing:
            held = self._lock.exclusive()
            await trio.to_thread.run_sync(held.__enter__)
            try:
                yield
            finally:
                held.__exit__(None, None, None)

    async def settled(self) -> None:
        def wait() -> None:
            with self._lock.shared():
                pass

        await trio.to_thread.run_sync(wait)

    @contextmanager
    def hold(self, roots: Iterable[CID] = ()) -> Iterator[None]:
        text = "".join(f"{root}\n" for root in roots)
        try:
            file = LiveFile(self._folder, "", text.encode())
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            file = LiveFile(self._folder, "", text.encode())
        try:
            yield
        finally:
            file.close()
