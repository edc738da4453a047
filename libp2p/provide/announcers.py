"""Announces the multihashes of one job: by a sweep over the peers of a region, or one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

import trio

from libp2p.exceptions import BaseLibp2pError, RoutingError
from libp2p.ipld.cid import RAW_CID_START
from libp2p.kad_dht.keyspace import KEY_BITS, key_of, key_of_peer
from libp2p.provide.config import RECORDS_PER_WRITE
from libp2p.provide.delivery import Delivery
from libp2p.provide.exploration import Exploration
from libp2p.provide.work import Job, Outcome
from libp2p.routing.abc import ContentRouter
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.provide.abc import Sweepable
    from libp2p.provide.config import ProvideConfig
    from libp2p.utils.fault_log import FaultLog

#: Lookups that show how large the network is, before anything is announced.
MEASURING_LOOKUPS: Final = 4
#: Keys of one job that a router without a sweep is handed at once.
PLAIN_AT_ONCE: Final = 8
_KEY_BYTES: Final = KEY_BITS // 8

logger = get_logger(__name__)


class Announcer(Protocol):
    """Does jobs."""

    async def measure(self) -> list[tuple[int, float]]:
        """Return numbers of peers seen in shares of the key space; nothing if nobody answers."""

    async def announce(self, job: Job) -> Outcome:
        """Do a job."""


class SweepAnnouncer:
    """
    Explores the region of a job, then hands each peer all of its records.

    :param own: this peer; None if the router does not keep records itself.
    """

    def __init__(
        self, router: Sweepable, config: ProvideConfig, faults: FaultLog, own: ID | None
    ) -> None:
        self._router = router
        self._config = config
        self._faults = faults
        self._own = None if own is None else key_of_peer(own)
        self._sends = trio.CapacityLimiter(config.max_sends)

    async def measure(self) -> list[tuple[int, float]]:
        """Look some keys up that are far from each other."""
        seen: list[tuple[int, float]] = []

        async def look(number: int) -> None:
            # Any bytes will do; those of different peers should differ.
            target = sha256((self._own or 0).to_bytes(_KEY_BYTES, "big") + bytes([number])).digest()
            exploration = Exploration([(key_of(target), target)], self._config.replication)
            peers = await self._closest(target)
            if len(peers) >= self._config.replication:
                exploration.on_closest(key_of(target), peers)
                seen.append(exploration.measured())
            elif peers:  # there are no more
                seen.append((len(peers), 1.0))

        await _at_once(look, range(MEASURING_LOOKUPS), MEASURING_LOOKUPS)
        return seen

    async def announce(self, job: Job) -> Outcome:
        """Make the lookups, one after the other, then send records to many peers at once."""
        keys = ((key_of(multihash), multihash) for multihash in job.multihashes)
        exploration = Exploration(keys, self._config.replication)
        while not exploration.is_done:
            target = exploration.next_target()
            if target is None:
                await trio.lowlevel.checkpoint()
                continue
            peers = await self._closest(target)
            if peers:
                exploration.on_closest(key_of(target), peers)
            else:
                exploration.on_failure()
        assignments = exploration.assignments()
        if not assignments:
            return Outcome(is_offline=True, lookups=exploration.lookups)
        await trio.lowlevel.checkpoint()
        delivery = Delivery(assignments, job.multihashes)

        async def send(peer: ID) -> None:
            async with self._sends:
                delivery.on_sent(peer, await self._send(peer, assignments[peer]))

        await _at_once(send, assignments, self._config.max_sends)
        await self._note_own(exploration, job)
        peers_seen, share = exploration.measured()
        return Outcome(
            announced=delivery.announced(),
            missed=delivery.missed(),
            is_unheard=not delivery.records,
            lookups=exploration.lookups,
            records=delivery.records,
            sends=delivery.sends,
            failed_sends=delivery.failed_sends,
            peers=peers_seen,
            share=share,
        )

    async def _closest(self, target: bytes) -> list[ID]:
        """Look up the peers closest to a target; none if that fails."""
        try:
            with trio.move_on_after(self._config.lookup_seconds):
                found = await self._router.get_closest_peers(target)
                return [info.peer_id for info in found]
        except RoutingError as error:
            logger.debug("a lookup failed: %s", error)
        except Exception as error:  # noqa: BLE001 - task's edge: a router of the user's may raise anything
            self._faults.note("get_closest_peers of the router", error)
        return []

    async def _send(self, peer: ID, multihashes: list[bytes]) -> int:
        writes = -(-len(multihashes) // RECORDS_PER_WRITE)
        try:
            with trio.move_on_after(self._config.send_seconds * writes):
                return await self._router.send_provider_records(peer, multihashes)
        except (BaseLibp2pError, OSError) as error:
            logger.debug("%s took no records: %s", peer, error)
        except Exception as error:  # noqa: BLE001 - task's edge: as above
            self._faults.note("send_provider_records of the router", error)
        return 0

    async def _note_own(self, exploration: Exploration, job: Job) -> None:
        """Keep the records here, too, for which this peer is one of the closest."""
        own, router = self._own, self._router
        if own is None or not isinstance(router, ContentRouter):
            return
        for multihash in job.multihashes:
            key = key_of(multihash)
            farthest = exploration.farthest(key)
            if farthest is None or own ^ key < farthest:
                try:
                    await router.provide(RAW_CID_START + multihash, announce=False)
                except Exception as error:  # noqa: BLE001 - task's edge: the others have the record
                    self._faults.note("provide of the router", error)
                    return


class PlainAnnouncer:
    """Hands a router one key after the other."""

    def __init__(self, router: ContentRouter, config: ProvideConfig, faults: FaultLog) -> None:
        self._router = router
        self._config = config
        self._faults = faults
        self._provides = trio.CapacityLimiter(config.max_sends)

    async def measure(self) -> list[tuple[int, float]]:
        """Say that the whole network is one region: keys are not grouped by peers here."""
        await trio.lowlevel.checkpoint()
        return [(1, 1.0)]

    async def announce(self, job: Job) -> Outcome:
        """Announce some keys at a time."""
        announced: list[bytes] = []
        missed: list[bytes] = []
        is_offline = False

        async def provide(multihash: bytes) -> None:
            nonlocal is_offline
            if is_offline:
                missed.append(multihash)
                return
            try:
                async with self._provides:
                    is_announced = await self._provide(multihash)
            except RoutingError as error:
                logger.debug("a key was not announced: %s", error)
                # If the first one cannot be, the others cannot.
                is_offline = not announced
                is_announced = False
            (announced if is_announced else missed).append(multihash)

        await _at_once(provide, job.multihashes, PLAIN_AT_ONCE)
        if is_offline and not announced:
            return Outcome(is_offline=True)
        return Outcome(announced=tuple(announced), missed=tuple(missed))

    async def _provide(self, multihash: bytes) -> bool:
        try:
            with trio.move_on_after(self._config.provide_seconds):
                return await self._router.provide(RAW_CID_START + multihash)
        except RoutingError:
            raise
        except Exception as error:  # noqa: BLE001 - task's edge: a router of the user's may raise anything
            self._faults.note("provide of the router", error)
        return False


async def _at_once(
    call: Callable[..., Awaitable[None]], items: Iterable[object], most: int
) -> None:
    """Call for every item, some at a time."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await call(item)

    async with trio.open_nursery() as nursery:
        for _ in range(most):
            nursery.start_soon(work)
