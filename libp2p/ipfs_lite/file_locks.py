"""
Locks on files that die with the process that took them.

Such a lock belongs to the open file, which children share after a fork: a child would keep the lock
when its parent is gone. So each child releases all of them at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_held: set[int] = set()


def lock(descriptor: int) -> None:
    """
    Lock an open file for this process, until `release`.

    :raises OSError: if another holds the lock, or files cannot be locked there.
    """
    if sys.platform == "win32":
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.add(descriptor)


def release(descriptor: int) -> None:
    """Close a file, locked or not, and release its lock with it."""
    _held.discard(descriptor)
    os.close(descriptor)


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
