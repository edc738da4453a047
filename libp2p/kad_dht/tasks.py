"""The nursery that the tasks of an object run in, for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from libp2p.utils.background import background_nursery

if TYPE_CHECKING:
    import trio


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """
    Open a nursery whose tasks are cancelled at the end of the block.

    These tasks must not raise. So any error is the block's own, and is raised as it is.
    """
    async with background_nursery() as nursery:
        try:
            yield nursery
        finally:
            nursery.cancel_scope.cancel()
