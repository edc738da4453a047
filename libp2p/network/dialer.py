"""Dialling a peer: every address, staggered, until the first connection stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import BaseLibp2pError, DialError, SwarmDialAllFailedError
from libp2p.network.dial_plan import DialBackoff, PlannedDial, plan_dials
from libp2p.utils.faults import without_traceback
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.network.config import SwarmConfig
    from libp2p.network.connection.swarm_connection import SwarmConn
    from libp2p.peer.id import ID
    from libp2p.resources import Scope

logger = get_logger(__name__)


class Dialer:
    """Runs dial plans; ``dial`` connects to one address and returns the finished connection."""

    def __init__(
        self,
        dial: Callable[[Multiaddr, ID], Awaitable[SwarmConn]],
        config: SwarmConfig,
        slots: DialSlots,
    ) -> None:
        self._dial = dial
        self._address_timeout = config.dial_timeout
        self._peer_timeout = config.dial_peer_timeout
        self.per_peer = config.max_dials_per_peer
        self.slots = slots
        self._backoff = DialBackoff()

    async def dial_peer(
        self, peer_id: ID, addresses: Sequence[Multiaddr], unfit: Sequence[DialError] = ()
    ) -> SwarmConn:
        """
        Return the first connection that comes about; the other attempts are cancelled.

        :param unfit: why other addresses cannot be tried; they are named in the error.
        :raises SwarmDialAllFailedError: saying of the addresses why they failed.
        """
        now = trio.current_time()
        avoid = [a for a in addresses if self._backoff.is_active((peer_id, a), now)]
        plan = plan_dials(addresses, avoid)
        attempt = _Attempt(self, peer_id, plan)
        with trio.move_on_after(self._peer_timeout):
            await attempt.run()
        if attempt.connection is not None:
            return attempt.connection
        failed = {error.address for error in attempt.errors}
        attempt.errors += [
            DialError(planned.address, f"not connected within {self._peer_timeout:.0f} s")
            for planned in plan
            if planned.address not in failed
        ]
        raise SwarmDialAllFailedError.of(peer_id, attempt.errors, unfit)

    async def dial_address(self, peer_id: ID, address: Multiaddr) -> SwarmConn:
        """
        Connect to one address, once there are few enough dials.

        :raises DialError: saying why it failed.
        """
        async with self.slots:
            return await self._dial_now(peer_id, address)

    async def _dial_now(self, peer_id: ID, address: Multiaddr) -> SwarmConn:
        key = (peer_id, address)
        started_at = trio.current_time()
        logger.debug("dialling %s at %s", peer_id, address)
        try:
            with trio.fail_after(self._address_timeout):
                connection = await self._dial(address, peer_id)
        except trio.TooSlowError as error:
            reason = f"no answer within {self._address_timeout:.0f} s"
            raise self._failed(key, reason) from error
        except BaseLibp2pError as error:
            raise self._failed(key, str(error)) from error
        except Exception as error:  # task's edge: a transport or an upgrade of the user's
            logger.exception("the dial of %s failed", address)
            raise self._failed(key, f"{type(error).__name__}: {error}") from error
        self._backoff.succeeded(key)
        seconds = trio.current_time() - started_at
        logger.debug("dialled %s at %s in %.3f s", peer_id, address, seconds)
        return connection

    def _failed(self, key: tuple[ID, Multiaddr], reason: str) -> DialError:
        self._backoff.failed(key, trio.current_time())
        logger.debug("the dial of %s at %s failed: %s", *key, reason)
        return DialError(key[1], reason)


class DialSlots:
    """
    How many addresses are dialled at the same time, for all peers; further dials wait.

    Without a limit, a provider record or a peer could make this host open thousands of connections.
    """

    def __init__(self, scope: Scope, limit: int) -> None:
        self._scope = scope
        self._free = trio.Semaphore(limit)

    async def __aenter__(self) -> None:
        await _acquire(self._free)
        self._scope.hold(1)

    async def __aexit__(self, *error: object) -> None:
        self._scope.release(1)
        self._free.release()


async def _acquire(semaphore: trio.Semaphore) -> None:
    """Wait only if there is nothing free: each needless turn of the loop delays a dial."""
    try:
        semaphore.acquire_nowait()
    except trio.WouldBlock:
        await semaphore.acquire()


class _Attempt:
    """One dial of one peer."""

    def __init__(self, dialer: Dialer, peer_id: ID, plan: list[PlannedDial]) -> None:
        self.connection: SwarmConn | None = None
        self.errors: list[DialError] = []
        self._dialer = dialer
        self._peer_id = peer_id
        self._plan = plan
        self._free = trio.Semaphore(dialer.per_peer)

    async def run(self) -> None:
        """Start the dials, each after its predecessor's head start or failure."""
        async with trio.open_nursery() as nursery:
            for position, planned in enumerate(self._plan):
                await _acquire(self._free)
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
            self.errors.append(without_traceback(error))
            failed.set()
            self._free.release()
            return
        if self.connection is None:
            self.connection = connection
            scope.cancel()
