"""Running a service while a block is entered."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import trio

from libp2p.tools.anyio_service.service import Service
from libp2p.tools.anyio_service.trio_manager import TrioManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Runnable(Protocol):
    """A `Service`, or one of this library's objects: ``async with it.run()``."""

    def run(self) -> Any: ...


@asynccontextmanager
async def background_trio_service(service: Runnable) -> AsyncIterator[TrioManager]:
    """
    Run a service for the length of the block.

    :param service: its `run` is an async function, or returns an async context manager as that of
        `KadDHT` does.
    """
    manager = TrioManager(type(service).__name__)
    if isinstance(service, Service):
        service.set_manager(manager)
    entered = trio.Event()

    async def work() -> None:
        running = service.run()
        if isinstance(running, AbstractAsyncContextManager):
            async with running:
                entered.set()
                await trio.sleep_forever()
        entered.set()
        await running

    async with trio.open_nursery() as nursery:
        nursery.start_soon(manager.run, work)
        await entered.wait()
        try:
            yield manager
        finally:
            await manager.stop()
