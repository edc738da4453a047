"""
Says what one's names stand for, and says it again so that it is not forgotten.

Every record is stored here before it is announced. The next one of the name gets a sequence that
is not below that of any record known here or to the router: others would take it for an old one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import trio

from libp2p.crypto.keys import PrivateKey
from libp2p.exceptions import BaseLibp2pError, InvalidArgument, InvalidPath, RoutingError
from libp2p.ipns.config import MAX_ANNOUNCEMENTS, PublisherConfig
from libp2p.ipns.name import Name
from libp2p.ipns.path import ContentPath
from libp2p.ipns.published import PublishedRecords
from libp2p.ipns.search import RecordSearch
from libp2p.records.ipns_record import make_record
from libp2p.utils import arguments
from libp2p.utils.background import background_tasks
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.datastore.base import Datastore
    from libp2p.ipld.cid import CID
    from libp2p.ipns.cache import NameCache
    from libp2p.records.ipns_record import IpnsRecord
    from libp2p.routing.abc import ValueRouter

__all__ = ["KeySource", "Published", "Publisher", "RepublishReport"]

logger = get_logger(__name__)


class KeySource(Protocol):
    """Has the private keys of names."""

    async def key_of(self, name: Name) -> PrivateKey | None:
        """Return the key of a name, None if it is not here (any more)."""


@dataclass(frozen=True, slots=True)
class Published:
    """A name, what it stands for now, and the record that says so."""

    name: Name
    path: ContentPath
    record: IpnsRecord


@dataclass(frozen=True, slots=True)
class RepublishReport:
    """What became of the names when all of them were announced again."""

    announced: tuple[Name, ...] = ()
    failed: tuple[Name, ...] = ()
    """Nobody took their records; they are kept, and announced again later."""
    expired: tuple[Name, ...] = ()
    """Their records have expired, and there is no key to sign new ones with."""


class Publisher:
    """
    Publishes names of IPNS, and keeps them alive while `run` lasts.

    :param router: takes the records; None stores them here only.
    :param datastore: keeps the latest record of each name.
    :param keys: has the keys for new records when names are published again. Without one, a record
        is announced as it is until it expires.
    :param cache: of the resolver that shall see new values at once.
    :param clock: returns Unix seconds.
    """

    def __init__(
        self,
        router: ValueRouter | None,
        datastore: Datastore,
        *,
        keys: KeySource | None = None,
        config: PublisherConfig | None = None,
        cache: NameCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if router is not None:
            expected = "an object with put_value and search_value, or None"
            arguments.having(router, ("put_value", "search_value"), "router", expected)
        self._router = router
        self._keys = keys
        self._config = config or PublisherConfig()
        self._cache = cache
        self._clock = clock
        self._faults: Final = FaultLog()
        self._locks: dict[Name, trio.Lock] = {}  # one's own names: as many as keys
        self.published = PublishedRecords(datastore)

    async def publish(
        self,
        key: PrivateKey,
        path: ContentPath | Name | CID | str,
        *,
        lifetime: float | None = None,
        ttl: float | None = None,
        sequence: int | None = None,
        with_v1: bool = True,
        announce: bool = True,
    ) -> Published:
        """
        Say what the name of a key stands for.

        The sequence grows by one if the path is another one than before, or the record is to end
        earlier than the one before it; else it stays.

        :param lifetime: seconds that the record is valid; by default what the configuration says.
        :param ttl: seconds for which others may keep it in their caches, likewise; not more than
            ``lifetime``.
        :param sequence: the record's, instead of the next one.
        :param with_v1: repeat the entries in fields that old readers know.
        :param announce: False stores the record here only, for `republish` to announce.
        :raises RoutingError: if nobody took the record, or there is no router. The record is
            stored here then, and announced while `run` lasts.
        :raises InvalidArgument: if ``sequence`` is not above the one before, or another argument
            is out of range.
        :raises DatastoreError: if it cannot be stored; it is not announced then.
        """
        arguments.instance(key, PrivateKey, "key")
        target, name = ContentPath.of(path), Name.of(key)
        lifetime = self._config.lifetime if lifetime is None else arguments.seconds(lifetime)
        ttl = min(self._config.ttl, lifetime) if ttl is None else arguments.seconds(ttl, "ttl")
        if ttl > lifetime:
            raise InvalidArgument(
                f"ttl must be at most the lifetime, {lifetime:g} s, not {ttl:g} s"
            )
        async with self._lock_of(name):
            before = await self._latest(name, announce)
            expires = self._clock() + lifetime
            record = make_record(
                key,
                str(target),
                sequence=_next_sequence(before, target, expires, sequence),
                expires=expires,
                ttl=ttl,
                with_v1=with_v1,
            )
            await self._store(name, record)
            if announce:
                await self._announce(name, record)
        return Published(name, target, record)

    async def republish(self) -> RepublishReport:
        """
        Announce all names again, with new records that are valid for longer.

        :raises DatastoreError: if the store fails.
        """
        outcomes: dict[str, list[Name]] = {"announced": [], "failed": [], "expired": []}
        limiter = trio.CapacityLimiter(MAX_ANNOUNCEMENTS)

        async def one(name: Name) -> None:
            async with limiter:
                outcome = await self._republish_one(name)
            if outcome is not None:
                outcomes[outcome].append(name)

        names = [name async for name, _ in self.published.all()]
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(one, name)
        return RepublishReport(**{kind: tuple(found) for kind, found in outcomes.items()})

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Announce all names from time to time, as long as the block lasts."""
        async with background_tasks() as nursery:
            nursery.start_soon(self._republish_for_ever)
            yield

    async def _republish_for_ever(self) -> None:
        wait = min(self._config.first_republish, self._config.republish_interval)
        while True:
            await trio.sleep(wait)  # time: the interval of announcements
            wait = self._config.republish_interval
            try:
                report = await self.republish()
            except BaseLibp2pError as error:
                self._faults.note("announcing the published names", error)
                report = None
            if report is None or report.failed:
                wait = min(wait, self._config.republish_retry)
            if report is not None and (report.announced or report.failed):
                logger.info(
                    "names announced again: %d, failed: %d, expired: %d",
                    len(report.announced),
                    len(report.failed),
                    len(report.expired),
                )

    def _lock_of(self, name: Name) -> trio.Lock:
        return self._locks.setdefault(name, trio.Lock())

    async def _latest(self, name: Name, ask_others: bool) -> IpnsRecord | None:
        """Return the best record that is known here or, with patience, to the router."""
        best = await self.published.get(name)
        if ask_others and self._router is not None:
            search = RecordSearch(self._router, name, self._config.previous_timeout, None)
            async with aclosing(search.records(best)) as records:
                async for record in records:
                    best = record
        return best

    async def _store(self, name: Name, record: IpnsRecord) -> None:
        await self.published.put(name, record)
        if self._cache is not None:
            self._cache.forget(ContentPath.of(name))

    async def _announce(self, name: Name, record: IpnsRecord) -> None:
        if self._router is None:
            raise RoutingError(f"{name.path} is published here only: there is no router")
        try:
            await self._router.put_value(name.routing_key, record.encoded)
        except BaseLibp2pError:
            raise
        except Exception as error:  # task's edge: a router of the user
            self._faults.note("publishing a name", error)
            raise RoutingError(
                f"the router failed to publish {name.path}: {error!r:.200}"
            ) from error

    async def _republish_one(self, name: Name) -> str | None:
        async with self._lock_of(name):
            record = await self.published.get(name)
            if record is None:
                return None
            key = None if self._keys is None else await self._keys.key_of(name)
            if key is not None:
                record = make_record(
                    key,
                    record.value,
                    sequence=record.sequence,
                    expires=max(self._clock() + self._config.lifetime, record.expires),
                    ttl=record.ttl,
                    with_v1=record.has_v1,
                    extra=record.extra,
                )
                await self._store(name, record)
            elif record.is_expired(self._clock()):
                return "expired"
            try:
                await self._announce(name, record)
            except BaseLibp2pError as error:
                logger.info("%s was not announced: %s", name.path, error)
                return "failed"
            return "announced"


def _next_sequence(
    before: IpnsRecord | None, target: ContentPath, expires: float, wanted: int | None
) -> int:
    """Return a sequence with which a record counts for more than the one before it."""
    if before is None:
        return 0 if wanted is None else wanted
    if wanted is not None:
        if wanted <= before.sequence:
            raise InvalidArgument(
                f"sequence must be above {before.sequence}, the one before, not {wanted}"
            )
        return wanted
    try:
        is_same = ContentPath.of_record(before.value) == target
    except InvalidPath:
        is_same = False
    # Of one sequence the record that ends later counts.
    return before.sequence if is_same and expires >= before.expires else before.sequence + 1
