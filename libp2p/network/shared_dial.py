"""Dials that several callers wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import SwarmDialAllFailedError
from libp2p.utils.faults import without_traceback
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.peer.id import ID

logger = get_logger(__name__)


class SharedDial:
    """
    A dial that several callers wait for; it is cancelled when the last of them gives up.

    A caller who comes after that must begin another dial; see `is_dying`.
    """

    def __init__(self, peer_id: ID) -> None:
        self._peer_id = peer_id
        self._done = trio.Event()
        self._scope = trio.CancelScope()
        self._connection: SwarmConn | None = None
        self._error: SwarmDialAllFailedError | None = None
        self._waiting = 0

    @property
    def is_dying(self) -> bool:
        """True once the last caller has given up: the dial is being cancelled."""
        return self._scope.cancel_called

    def cancel(self) -> None:
        """Cancel the dial; `wait` then raises that the host is closing."""
        self._scope.cancel()

    async def run(self, dial: Callable[[], Awaitable[SwarmConn]]) -> None:
        """Dial until a connection stands or the last caller gives up; `wait` raises the error."""
        try:
            with self._scope:
                self._connection = await dial()
        except SwarmDialAllFailedError as error:
            self._error = without_traceback(error)
        except Exception as error:  # task's edge: a peer store or a transport of the user's
            logger.exception("dialling %s failed", self._peer_id)
            self._error = SwarmDialAllFailedError(
                f"cannot connect to {self._peer_id}: {type(error).__name__}: {error}", self._peer_id
            )
        finally:
            self._done.set()

    async def wait(self) -> SwarmConn:
        """
        Return the connection.

        :raises SwarmDialAllFailedError: a copy for each caller.
        """
        self._waiting += 1
        try:
            await self._done.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._scope.cancel()
        if self._connection is not None:
            return self._connection
        error = self._error
        if error is None:
            raise SwarmDialAllFailedError(
                f"the dial of {self._peer_id} was cancelled: the host is closing", self._peer_id
            )
        raise SwarmDialAllFailedError(
            str(error), error.peer_id, error.num_addrs_tried, error.errors
        ) from error.__cause__
