"""
Options of glibc's allocator; with another libc these functions do nothing.

There are two aims. Bulk work is faster if memory that was freed is used again instead of being
returned to the system page by page (`keep_freed_memory`). And a burst must not leave the process
large for good (`give_back`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Final

import trio

#: Blocks up to this size come from the heap, whose free end is kept up to twice this size.
KEPT_BLOCK_BYTES: Final = 8 * 1024 * 1024
#: How many heaps glibc may keep: the main one, and one that all worker threads share. By default
#: there are up to eight for each processor. ``malloc_trim`` shortens only the main one, so each of
#: the others would keep up to twice `KEPT_BLOCK_BYTES` for good. Threads do not wait for each other
#: here: they hold the interpreter's lock when they take memory.
MAX_HEAPS: Final = 2
#: glibc's number for that option: ``M_ARENA_MAX`` of ``malloc.h``.
_M_ARENA_MAX: Final = -8
#: Seconds between two returns of memory to the system, at least.
GIVE_BACK_PAUSE: Final = 1.0


class _Allocator:
    """The state of the process's one allocator."""

    def __init__(self) -> None:
        self._keeps_memory = False
        self._gives_back = False
        self._given_back_at = -math.inf

    def keep_freed_memory(self) -> None:
        """
        Have glibc reuse freed memory instead of returning it to the system at once.

        Every page of a block from the system is faulted in anew: for blocks of 1 MiB that is half
        as much work as hashing them. glibc's thresholds follow the largest block ever freed, so
        freeing one that was never touched is enough. A second call does nothing.
        """
        if not self._keeps_memory:
            self._keeps_memory = True
            bytes(KEPT_BLOCK_BYTES)
            if set_option := find_in_glibc("mallopt"):
                set_option(_M_ARENA_MAX, MAX_HEAPS)

    async def give_back(self) -> None:
        """
        Return free memory to the system.

        A thread does it, but other threads that allocate memory meanwhile are blocked for up to
        30 ms per 100 MiB. So call this whenever some tens of MiB have become free, not once at the
        end. A second call within `GIVE_BACK_PAUSE` waits for the rest of the pause; further calls
        return at once, because the second one covers them.
        """
        trim = find_in_glibc("malloc_trim")
        if trim is None or self._gives_back:
            await trio.lowlevel.checkpoint()
            return
        self._gives_back = True
        try:
            await trio.sleep_until(self._given_back_at + GIVE_BACK_PAUSE)
        finally:
            self._gives_back = False
        self._given_back_at = trio.current_time()
        await trio.to_thread.run_sync(trim, 0)


def find_in_glibc(name: str) -> Callable[..., object] | None:
    """Return a function of glibc's allocator; None where it is not the allocator."""
    if sys.platform != "linux":
        return None
    import ctypes  # loaded only by those who need it

    function: Callable[..., object] | None = getattr(ctypes.CDLL(None), name, None)
    return function


_allocator: Final = _Allocator()
keep_freed_memory = _allocator.keep_freed_memory
give_back = _allocator.give_back
