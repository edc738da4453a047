"""py-libp2p's kind of listener: it accepts as soon as it listens, and nobody serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from libp2p.abc import IListener
from libp2p.exceptions import OpenConnectionError
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.io.abc import RawChannel
    from libp2p.transport.abc import RawListener

logger = get_logger(__name__)


class UnattendedListener(IListener):
    """
    A listener whose tasks are children of trio's own, until `close` cancels them.

    A swarm serves its listeners in its nursery and limits their connections. This listener is for
    programs that use a transport by itself.
    """

    def __init__(
        self,
        make: Callable[[Callable[..., Awaitable[None]]], RawListener],
        handler: Callable[..., Awaitable[None]],
    ) -> None:
        """
        :param make: makes the listener of one address.
        :param handler: gets each connection, in a task of its own; an error is logged. When it
            returns, the connection is closed.
        """
        self._make = make
        self._handler = handler
        self._listeners: list[RawListener] = []
        self._scopes: list[trio.CancelScope] = []
        self._closed = trio.Event()

    async def listen(self, maddr: Multiaddr) -> None:
        """
        Listen, and accept connections.

        :raises OpenConnectionError: if the address cannot be listened on, or after `close`.
        """
        if self._closed.is_set():
            raise OpenConnectionError("the listener is closed")
        listener = self._make(self._handle)
        await listener.listen(maddr)
        self._listeners.append(listener)
        trio.lowlevel.spawn_system_task(self._serve, listener)

    async def _serve(self, listener: RawListener) -> None:
        """Accept connections; an error that left a system task would end the whole program."""
        with trio.CancelScope() as scope, fault_barrier(partial(_failed, listener)):
            self._scopes.append(scope)
            async with trio.open_nursery() as nursery:
                await listener.serve(nursery)

    async def _handle(self, conn: RawChannel) -> None:
        try:
            with fault_barrier(partial(_failed, conn)):
                await self._handler(conn)
        finally:
            conn.abort()

    async def serve(self, nursery: trio.Nursery) -> None:
        """Wait until `close`."""
        await self._closed.wait()

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Return the addresses listened on, with their real ports."""
        return tuple(addr for each in self._listeners for addr in each.get_addrs())

    async def close(self) -> None:
        """Stop listening, and cancel the handlers; a second call does nothing."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await listener.close()
        for scope in self._scopes:
            scope.cancel()
        self._closed.set()


def _failed(of: object, error: Exception) -> None:
    logger.error("the handler of %r failed", of, exc_info=error)
