"""The nursery that the tasks of an object run in, for the length of a block."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """
    Open a nursery whose tasks are cancelled at the end of the block.

    Its tasks must not raise. So an error is the block's own, and is raised as it is.
    """
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
