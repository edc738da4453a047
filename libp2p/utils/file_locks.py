"""
Locks on files that die with the process that took them, for several processes at one folder.

Such a lock belongs to the open file, which children share after a fork: a child would keep the lock
when its parent is gone. So each child releases all of them at once.

Files are locked with flock; on Windows with LockFileEx, which `msvcrt` cannot call for a shared
lock. A byte far behind the end is locked there: Windows lets nobody else read what is locked.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: What `lock` raises `OSError` with if another holds the lock.
LOCK_HELD: Final = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)

_held: set[int] = set()

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _FAIL_IMMEDIATELY: Final = 1
    _EXCLUSIVE: Final = 2
    _LOCK_VIOLATION: Final = 33
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)

    class _Overlapped(ctypes.Structure):
        _fields_ = (
            ("internal", ctypes.c_void_p),
            ("internal_high", ctypes.c_void_p),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    def _flock(descriptor: int, shared: bool, wait: bool) -> None:
        flags = (0 if shared else _EXCLUSIVE) | (0 if wait else _FAIL_IMMEDIATELY)
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        place = _Overlapped(offset_high=0x4000_0000)
        if not _kernel.LockFileEx(handle, flags, 0, 1, 0, ctypes.byref(place)):
            code = ctypes.get_last_error()
            if code == _LOCK_VIOLATION:
                raise BlockingIOError(errno.EAGAIN, "another process holds the lock")
            raise ctypes.WinError(code)

    def _unlock(descriptor: int) -> None:
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        place = _Overlapped(offset_high=0x4000_0000)
        _kernel.UnlockFileEx(handle, 0, 1, 0, ctypes.byref(place))
else:
    import fcntl

    def _flock(descriptor: int, shared: bool, wait: bool) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """
    Lock an open file for this process, until `release`.

    :param shared: let others have the lock too if theirs are shared.
    :raises OSError: if another holds the lock (`LOCK_HELD`), or files cannot be locked there.
    """
    _flock(descriptor, shared, wait=False)
    _held.add(descriptor)


def lock_patiently(descriptor: int, seconds: float, *, shared: bool = False) -> None:
    """
    Do the same, and wait for others that hold the lock.

    :raises OSError: if one of them still does after so many seconds (``EAGAIN``); the caller closes
        the file then, for it could still get the lock.
    """
    with suppress(BlockingIOError):
        lock(descriptor, shared=shared)
        return
    # The kernel has no wait with a limit: a thread waits without one. It has a descriptor of its
    # own, for the caller may close the other one. The lock stays for as long as that is open.
    copy, done = os.dup(descriptor), threading.Event()
    errors: list[OSError] = []

    def wait() -> None:
        try:
            _flock(copy, shared, wait=True)
        except OSError as error:
            errors.append(error)
        finally:
            os.close(copy)
            done.set()

    threading.Thread(target=wait, daemon=True, name="file lock").start()
    if not done.wait(seconds):
        raise BlockingIOError(errno.EAGAIN, "another process holds the lock")
    if errors:
        raise errors[0]
    _held.add(descriptor)


def close_in_children(descriptor: int) -> None:
    """Let no child keep a file open after a fork, until `release`."""
    _held.add(descriptor)


def release(descriptor: int) -> None:
    """Close a file, locked or not, and release its lock with it."""
    _held.discard(descriptor)
    os.close(descriptor)


class LiveFile:
    """
    A file that says by its lock that a process is at work.

    Whoever finds one that is not locked removes it: its process has ended (`sweep`).
    """

    def __init__(self, folder: Path, prefix: str, data: bytes = b"") -> None:
        """
        Make the file, with a name that begins with ``prefix``, and lock it.

        :raises OSError: if it cannot be made.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        while True:
            self.path = folder / f"{prefix}{secrets.token_hex(8)}"
            self._descriptor = os.open(self.path, flags, 0o600)
            try:
                lock(self._descriptor)
            except OSError as error:
                if error.errno not in LOCK_HELD:
                    break  # files cannot be locked there, so `sweep` leaves it alone too
            else:
                if os.fstat(self._descriptor).st_nlink:
                    break
            release(self._descriptor)  # who sweeps was quicker: the file is gone, or is about to be
        self.process: Final = os.getpid()
        # Who forgets to close it does not keep a descriptor for ever.
        self._end = weakref.finalize(self, _end, self._descriptor, self.path, self.process)
        if data:
            try:
                os.write(self._descriptor, data)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Remove the file; a second call, or one in a child process, does nothing."""
        self._end()


def _end(descriptor: int, path: Path, process: int) -> None:
    if process != os.getpid():
        return
    with suppress(OSError):
        path.unlink()  # not after: without its lock, another could be sweeping it
    release(descriptor)
    if sys.platform == "win32":  # an open file cannot be removed there
        with suppress(OSError):
            path.unlink()


def sweep(path: Path | str) -> bool:
    """Remove a `LiveFile` if its process has ended; tell whether it has, as far as can be known."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        lock(descriptor)
        if sys.platform != "win32":
            os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        release(descriptor)
    if sys.platform == "win32":  # an open file cannot be removed there
        with suppress(OSError):
            os.unlink(path)
    return True


class SharedLock:
    """
    A lock that many threads and processes hold at once, or one alone. Its methods block.

    A process that waits to have it alone is let in before others that come later: without that,
    two writers who overlap would keep it out for as long as they write.

    :param path: of the lock file; beside it is one that ends in ``.turn``. They are made when they
        are first used, and stay.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._alone = threading.Lock()
        self._state = threading.Condition()
        self._holders = 0
        self._descriptors: tuple[int, int] | None = None
        self._process = os.getpid()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it with others."""
        self._after_fork()
        with self._alone, self._state:
            if not self._holders:
                lock_file, turn = self._opened()
                _flock(turn, shared=True, wait=True)
                _unlock(turn)
                _flock(lock_file, shared=True, wait=True)
            self._holders += 1
        try:
            yield
        finally:
            with self._state:
                self._holders -= 1
                if not self._holders:
                    _unlock(self._opened()[0])
                    self._state.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold it alone."""
        self._after_fork()
        with self._alone:
            with self._state:
                lock_file, turn = self._opened()
            _flock(turn, shared=False, wait=True)
            try:
                with self._state:
                    self._state.wait_for(lambda: not self._holders)
                _flock(lock_file, shared=False, wait=True)
                try:
                    yield
                finally:
                    _unlock(lock_file)
            finally:
                _unlock(turn)

    def close(self) -> None:
        """
        Close the files; they are opened again if need be.

        If a thread still waits for another process, they are closed when it does not any more.
        """
        self._after_fork()
        if self._alone.acquire(blocking=False):
            self._close()
        else:
            threading.Thread(target=self._close_later, daemon=True, name="file lock").start()

    def _close_later(self) -> None:
        self._alone.acquire()
        self._close()

    def _close(self) -> None:
        try:
            with self._state:
                descriptors, self._descriptors = self._descriptors, None
                for descriptor in descriptors or ():
                    release(descriptor)
        finally:
            self._alone.release()

    def _opened(self) -> tuple[int, int]:
        if self._descriptors is None:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            turn = f"{self.path}.turn"
            self._descriptors = os.open(self.path, flags, 0o600), os.open(turn, flags, 0o600)
            _held.update(self._descriptors)
        return self._descriptors

    def _after_fork(self) -> None:
        """Begin anew in a child: threads that held the lock are the parent's."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        self._alone, self._state = threading.Lock(), threading.Condition()
        for descriptor in self._descriptors or ():
            os.close(descriptor)
        self._holders, self._descriptors = 0, None


def _let_go_in_child() -> None:
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        # The numbers stay open: the child has copies of objects that will close them.
        for descriptor in _held:
            with suppress(OSError):
                os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
