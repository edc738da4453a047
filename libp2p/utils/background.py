"""Tasks in the background of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def background_nursery() -> AsyncIterator[trio.Nursery]:
    """
    Open a nursery for tasks that raise nothing: an error of the block comes out as it is.

    A nursery of trio's wraps it in an `ExceptionGroup`, which no ``except OSError`` around catches.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """Open a `background_nursery` whose tasks are cancelled at the end of the block."""
    async with background_nursery() as nursery:
        try:
            yield nursery
        finally:
            nursery.cancel_scope.cancel()
