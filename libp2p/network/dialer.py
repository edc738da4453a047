"""Dialling a peer: every address, staggered, until the first connection stands."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import BaseLibp2pError, DialError, SwarmDialAllFailedError
from libp2p.network.dial_plan import DialBackoff, PlannedDial, plan_dials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from multiaddr import Multiaddr

    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.peer.id import ID

logger = logging.getLogger(__name__)


class Dialer:
    """Runs dial plans; ``dial`` connects to one address and returns the finished connection."""

    def __init__(
        self,
        dial: Callable[[Multiaddr, ID], Awaitable[SwarmConn]],
        address_timeout: float,
        peer_timeout: float,
    ) -> None:
        self._dial = dial
        self._address_timeout = address_timeout
        self._peer_timeout = peer_timeout
        self._backoff = DialBackoff()

    async def dial_peer(self, peer_id: ID, addresses: Sequence[Multiaddr]) -> SwarmConn:
        """
        Return the first connection that comes about; the other attempts are cancelled.

        :raises SwarmDialAllFailedError: naming each address and why it failed.
        """
        now = trio.current_time()
        avoid = [a for a in addresses if self._backoff.is_active((peer_id, a), now)]
        attempt = _Attempt(self, peer_id, plan_dials(addresses, avoid))
        with trio.move_on_after(self._peer_timeout):
            await attempt.run()
        if attempt.connection is not None:
            return attempt.connection
        raise SwarmDialAllFailedError.of(peer_id, attempt.errors)

    async def dial_address(self, peer_id: ID, address: Multiaddr) -> SwarmConn:
        """
        Connect to one address.

        :raises DialError: saying why it failed.
        """
        key = (peer_id, address)
        try:
            with trio.fail_after(self._address_timeout):
                connection = await self._dial(address, peer_id)
        except trio.TooSlowError as error:
            self._backoff.failed(key, trio.current_time())
            reason = f"no answer within {self._address_timeout:.0f} s"
            raise DialError(address, reason) from error
        except BaseLibp2pError as error:
            self._backoff.failed(key, trio.current_time())
            raise DialError(address, str(error)) from error
        self._backoff.succeeded(key)
        return connection


class _Attempt:
    """One dial of one peer."""

    def __init__(self, dialer: Dialer, peer_id: ID, plan: list[PlannedDial]) -> None:
        self.connection: SwarmConn | None = None
        self.errors: list[DialError] = []
        self._dialer = dialer
        self._peer_id = peer_id
        self._plan = plan

    async def run(self) -> None:
        """Start the dials, each after its predecessor's head start or failure."""
        async with trio.open_nursery() as nursery:
            for position, planned in enumerate(self._plan):
                following = self._plan[position + 1 : position + 2]
                failed = trio.Event()
                nursery.start_soon(self._try, planned, failed, nursery.cancel_scope)
                if following:
                    with trio.move_on_after(following[0].head_start):
                        await failed.wait()

    async def _try(self, planned: PlannedDial, failed: trio.Event, scope: trio.CancelScope) -> None:
        try:
            connection = await self._dialer.dial_address(self._peer_id, planned.address)
        except DialError as error:
            logger.debug("dial of %s failed: %s", self._peer_id, error)
            self.errors.append(error)
            failed.set()
            return
        if self.connection is None:
            self.connection = connection
            scope.cancel()
