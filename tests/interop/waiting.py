"""Waiting for another process to change what can only be looked at from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PAUSE = 0.01
"""Seconds between two looks."""


def wait_until(check: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Look until `check` is true; `TimeoutError` with `what` when it does not become so."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(_PAUSE)


async def until(check: Callable[[], Awaitable[bool]], what: str, timeout: float = 30.0) -> None:
    """Do as `wait_until` in a trio task."""
    with trio.move_on_after(timeout):
        while not await check():  # noqa: ASYNC110 - another process has no event to wait for
            await trio.sleep(_PAUSE)
        return
    raise TimeoutError(f"{what}: not within {timeout} s")
