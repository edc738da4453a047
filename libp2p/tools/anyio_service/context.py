"""Running a service while a block is entered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from libp2p.tools.anyio_service.trio_manager import TrioManager

if TYPE_CHECKING:
    from libp2p.tools.anyio_service.trio_manager import Runnable


@asynccontextmanager
async def background_trio_service(service: Runnable) -> AsyncIterator[TrioManager]:
    """
    Run a service for the length of the block.

    :param service: see `TrioManager`.
    """
    manager = TrioManager(service)
    manager.take_over()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(manager.run)
        await manager.wait_started()
        try:
            yield manager
        finally:
            await manager.stop()


background_anyio_service = background_trio_service
