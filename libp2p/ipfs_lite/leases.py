"""
Leases: what running operations need of blocks that no pin holds yet.

A collection leaves alone what was written since the oldest lease began, and what is below the roots
that leases name. In a repo a lease is a file in ``leases/``, locked by its process: it dies with
it. It holds a CID on each line. Its name begins with the nanoseconds of the monotonic clock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from math import inf
from pathlib import Path
from time import monotonic, monotonic_ns, time, time_ns
from typing import TYPE_CHECKING, Final

import trio

from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipld.cid import CID, InvalidCID
from libp2p.pinning.sweep import Moment
from libp2p.utils.file_locks import LiveFile, sweep

if TYPE_CHECKING:
    from libp2p.utils.file_locks import SharedLock

#: Bytes that are read of a lease: 100,000 roots.
MAX_LEASE_BYTES: Final = 8 * 1024 * 1024
#: Seconds within which leases without roots share a file: a folder of 20,000 files is read with a
#: lease for each. With a longer time, a collection would have to spare more blocks: it leaves alone
#: what was written since the file was made.
SHARED_SECONDS: Final = 1.0
#: Nanoseconds within which two changes of a folder may have the same time: Linux advances the clock
#: of files every 10 ms at the slowest.
CLOCK_NS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Lease:
    """One running operation."""

    name: str
    began: Moment
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
        lease = Lease(str(next(self._names)), moment(), tuple(roots))
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
        self._recent: _Held | None = None
        # Of threads that wait for other processes: one that was left behind may wait for long, and
        # is followed by no other one.
        self._waiting = trio.CapacityLimiter(1)

    @property
    def begun(self) -> int:
        now = time_ns()
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        # A lease that begins before the clock of files advances does not change the folder's time.
        return changed if now - changed > CLOCK_NS else now

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
        except OSError:  # the lease has ended meanwhile
            return None
        roots = []
        for line in lines:
            with suppress(InvalidCID):
                roots.append(CID.parse(line))
        return Lease(name, Moment(began, _ticks_of(name)), tuple(roots))

    @asynccontextmanager
    async def removal(self) -> AsyncIterator[None]:
        async with self._removing:
            alone = _Alone(self._lock)
            try:
                await self._wait(alone.enter)
                yield
            finally:
                alone.leave()

    async def settled(self) -> None:
        def wait() -> None:
            with self._lock.shared():
                pass

        async with self._removing:  # without a thread, which the removal may need
            await self._wait(wait)

    async def _wait(self, call: Callable[[], None]) -> None:
        """Call what waits for other processes; if one of them was stopped, it is left behind."""
        await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._waiting)

    @contextmanager
    def hold(self, roots: Iterable[CID] = ()) -> Iterator[None]:
        text = "".join(f"{root}\n" for root in roots).encode()
        held = self._recent
        if text or held is None or not held.is_recent:
            held = _Held(self._new_file(text))
            if not text:
                self._recent = held
        held.join()
        try:
            yield
        finally:
            held.leave()

    def _new_file(self, text: bytes) -> LiveFile:
        prefix = f"{monotonic_ns()}-"
        try:
            return LiveFile(self._folder, prefix, text)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            text = b""  # a full disk may have room for an empty file, which keeps what is written
        try:
            return LiveFile(self._folder, prefix, text)
        except OSError as error:
            raise RepoError(f"{self._folder} cannot be written: {error.strerror}") from error


class _Alone:
    """A lock that is held alone once `enter` has returned in its thread, until `leave`."""

    def __init__(self, lock: SharedLock) -> None:
        self._held = lock.exclusive()
        self._changing = threading.Lock()
        self._is_in = False
        self._has_left = False

    def enter(self) -> None:
        self._held.__enter__()
        with self._changing:
            self._is_in = not self._has_left
        if not self._is_in:  # whoever wanted it has not waited for it
            self._held.__exit__(None, None, None)

    def leave(self) -> None:
        """Let go of it, also if `enter` has not returned yet."""
        with self._changing:
            self._has_left = True
        if self._is_in:
            self._held.__exit__(None, None, None)


def moment() -> Moment:
    """Return now."""
    return Moment(time(), monotonic())


def _ticks_of(name: str) -> float:
    """Return when a lease began by the monotonic clock; what cannot be read counts as never set."""
    text, dash, _ = name.partition("-")
    return int(text) / 1e9 if dash and text.isdecimal() else inf


class _Held:
    """A file that several leases share; the last one removes it."""

    def __init__(self, file: LiveFile) -> None:
        self._file = file
        self._began = monotonic()
        self._users = 0

    @property
    def is_recent(self) -> bool:
        """True if a lease that begins now may share the file."""
        is_own = self._file.process == os.getpid()
        return is_own and self._users > 0 and monotonic() - self._began < SHARED_SECONDS

    def join(self) -> None:
        self._users += 1

    def leave(self) -> None:
        self._users -= 1
        if not self._users:
            self._file.close()
