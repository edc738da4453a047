"""
Files, pipes and devices by their descriptors: reads and writes that can be cancelled.

A thread that waits in a system call cannot be stopped. A cancelled task abandons it; the thread
closes its descriptor when the call returns.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio

from libp2p.utils.writing import wait_until_ready

_T = TypeVar("_T")

#: As many links as Linux follows.
_MAX_LINKS: Final = 40


class SharedDescriptor:
    """
    A descriptor that threads use, closed when the last of them is done with it.

    If it were closed while a thread uses it, the thread's next call could reach another file: the
    next one that is opened gets the same number.

    :param number: one that is open already; it stays open until `close`.
    """

    def __init__(self, number: int = -1) -> None:
        self._number = number
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False

    @property
    def number(self) -> int:
        return self._number

    async def open(self, call: Callable[[], int]) -> None:
        """Open it in a thread, which may wait for the other end of a pipe."""
        try:
            await _in_thread(partial(self._open, call))
        except BaseException:
            self.close()
            raise

    async def use(self, call: Callable[[int], _T]) -> _T:
        """Call a function with the number in a thread; if cancelled, do not wait for the thread."""
        return await _in_thread(partial(self._use, call))

    def close(self) -> None:
        """Close it, now or as soon as no thread is using it; a second call does nothing."""
        with self._lock:
            is_last = not self._closed and not self._users and self._number >= 0
            self._closed = True
        if is_last:
            os.close(self._number)

    def _open(self, call: Callable[[], int]) -> None:
        number = call()
        with self._lock:
            if not self._closed:
                self._number = number
                return
        os.close(number)

    def _use(self, call: Callable[[int], _T]) -> _T:
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._users += 1
        try:
            return call(self._number)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            self._users -= 1
            is_last = self._closed and not self._users
        if is_last:
            os.close(self._number)


async def _in_thread(call: Callable[[], _T]) -> _T:
    # (multiaddr brings type stubs of an older trio along.)
    return await trio.to_thread.run_sync(
        call,
        abandon_on_cancel=True,  # type: ignore[call-arg, unused-ignore]
    )


def read_some(descriptor: int, size: int) -> bytes:
    """Read up to ``size`` bytes, waiting for the first of them; nothing at the end."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            # Another program has made the pipe non-blocking, which all of its ends then are.
            wait_until_ready(descriptor, to_write=False)


def reason_of(error: OSError) -> str:
    """Return the text of an error of a descriptor."""
    return "it is closed" if error.errno == errno.EBADF else str(error.strerror)


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """
    Return N if a path is a name of this process's descriptor N, else None.

    Such names are ``/dev/stdout``, ``/dev/fd/N``, and the one that a shell makes of ``>(command)``.
    """
    path = os.fspath(path)
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(os.path.dirname(path) or os.curdir)
        name = os.path.basename(path)
        if name.isdecimal() and _is_of_descriptors(folder):
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return None
    return None


def _is_of_descriptors(folder: str) -> bool:
    own = rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd"
    return re.fullmatch(own, folder) is not None
