"""
Finds what a name stands for: by records of IPNS, by DNSLink, by names that stand for names.

What is found is kept as long as its owner allows. Records are believed for their signatures alone,
whoever sends them; a DNSLink is believed as far as the answers of DNS are.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.exceptions import BaseLibp2pError, InvalidPath, NameNotFound, ResolutionError
from libp2p.ipns.cache import NameCache
from libp2p.ipns.config import ResolverConfig
from libp2p.ipns.dnslink import dnslink_of, record_name
from libp2p.ipns.path import ContentPath
from libp2p.ipns.search import RecordSearch
from libp2p.utils.arguments import having

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.ipns.name import Name
    from libp2p.ipns.published import PublishedRecords
    from libp2p.records.ipns_record import IpnsRecord
    from libp2p.routing.abc import ValueRouter

__all__ = ["Resolution", "Resolver", "TxtLookup"]


class TxtLookup(Protocol):
    """Asks DNS for texts."""

    async def txt(self, name: str) -> tuple[list[str], float]:
        """
        Return the TXT records of a name, and for how many seconds they may be kept.

        An empty list says that there are none.

        :raises BaseLibp2pError: if DNS could not be asked.
        """


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a path stands for."""

    path: ContentPath
    ttl: float
    """Seconds for which this may be kept: the shortest of the chain; infinity if nothing was a
    name."""
    chain: tuple[ContentPath, ...] = ()
    """The names on the way, the first one first."""


class Resolver:
    """
    Resolves names of IPNS and domains.

    :param router: finds records of IPNS; None finds only those that were published here.
    :param txt: asks DNS; None refuses domains.
    :param published: the records of one's own names, which are looked at too.
    :param cache: keeps what was found; give the publisher the same one.
    :param static: paths by name or domain, which are not asked for at all.
    :param clock: returns Unix seconds.
    """

    def __init__(
        self,
        router: ValueRouter | None,
        txt: TxtLookup | None = None,
        *,
        published: PublishedRecords | None = None,
        config: ResolverConfig | None = None,
        cache: NameCache | None = None,
        static: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if router is not None:
            having(router, ("search_value",), "router", "an object with search_value, or None")
        if txt is not None:
            having(txt, ("txt",), "txt", "an object with an async method txt, or None")
        self._config = config or ResolverConfig()
        self._router = router
        self._txt = txt
        self._published = published
        self._cache = NameCache(self._config.max_cached) if cache is None else cache
        self._clock = clock
        self._under_way: dict[ContentPath, trio.Event] = {}
        self._static = {
            _key_of(ContentPath("ipns", name)): ContentPath.of(path)
            for name, path in (static or {}).items()
        }

    async def resolve(
        self,
        path: ContentPath | Name | CID | str,
        *,
        recursive: bool = True,
        use_cache: bool = True,
        first_good: bool = False,
    ) -> Resolution:
        """
        Return what a path stands for; one that begins with a CID stands for itself.

        :param recursive: go on until the path begins with a CID; False takes one step.
        :param use_cache: take what was found earlier and may be kept.
        :param first_good: take the first valid record; the best one may come later.
        :raises NameNotFound: if nobody has a valid record of a name.
        :raises DNSLinkError: if a domain has no DNSLink, or several.
        :raises ResolutionError: if it could not be asked for, or the chain is too long.
        :raises InvalidPath: if the path is none.
        """
        start = ContentPath.of(path)
        return await self._follow(Resolution(start, inf), recursive, use_cache, first_good)

    async def resolve_iter(
        self, path: ContentPath | Name | CID | str, *, recursive: bool = True
    ) -> AsyncGenerator[Resolution, None]:
        """
        Yield what a path stands for as better records of its first name are found.

        Nothing is taken from the cache for that name. Raises as `resolve` does, if nothing was
        found at all. Close it if you stop early.
        """
        start = ContentPath.of(path)
        name = start.name
        if name is None:
            yield await self.resolve(start, recursive=recursive)
            return
        async with aclosing(self._steps(name)) as steps:
            async for target, ttl in steps:
                self._keep(_key_of(start), target, ttl)
                step = Resolution(target.joined(start.rest), ttl, (start.base,))
                yield await self._follow(step, recursive, True, False) if recursive else step

    async def _follow(
        self, so_far: Resolution, recursive: bool, use_cache: bool, first_good: bool
    ) -> Resolution:
        while so_far.path.is_mutable and (recursive or not so_far.chain):
            base = _key_of(so_far.path)
            if base in map(_key_of, so_far.chain):
                raise ResolutionError(f"{_shown(so_far)} stand for one another")
            if len(so_far.chain) == self._config.max_depth:
                raise ResolutionError(
                    f"{_shown(so_far)}: a chain of more than {self._config.max_depth} names"
                )
            target, ttl = await self._one_step(so_far.path, use_cache, first_good)
            so_far = Resolution(
                target.joined(so_far.path.rest),
                min(ttl, so_far.ttl),
                (*so_far.chain, so_far.path.base),
            )
        return so_far

    async def _one_step(
        self, path: ContentPath, use_cache: bool, first_good: bool
    ) -> tuple[ContentPath, float]:
        key = _key_of(path)
        if (fixed := self._static.get(key)) is not None:
            return fixed, self._config.max_ttl
        if use_cache and (known := await self._known(key)) is not None:
            return known
        with self._searching(key):
            if (name := path.name) is None:
                step = await self._by_dnslink(path.root)
            else:
                async with aclosing(self._steps(name)) as steps:
                    async for step in steps:  # noqa: B007 - the last one counts
                        if first_good:
                            break
            self._keep(key, *step)
        return step

    async def _known(self, key: ContentPath) -> tuple[ContentPath, float] | None:
        """Return what is in the cache, or will be when a search that is under way ends."""
        known = self._cache.get(key, self._clock())
        if known is None and (under_way := self._under_way.get(key)) is not None:
            await under_way.wait()
            known = self._cache.get(key, self._clock())
        return known

    @contextmanager
    def _searching(self, key: ContentPath) -> Iterator[None]:
        """Note a search, so that others who look for the same wait for it."""
        ended = trio.Event()
        self._under_way[key] = ended
        try:
            yield
        finally:
            ended.set()
            if self._under_way.get(key) is ended:
                del self._under_way[key]

    def _keep(self, key: ContentPath, target: ContentPath, ttl: float) -> None:
        self._cache.put(key, target, ttl, self._clock())

    async def _steps(self, name: Name) -> AsyncGenerator[tuple[ContentPath, float], None]:
        """Yield what a name stands for, at least once; what its best record says comes last."""
        search = self._search_for(name)
        best: IpnsRecord | None = None
        error: InvalidPath | None = None
        async with aclosing(self._records(name, search)) as records:
            async for best in records:
                try:
                    step = self._target(best)
                except InvalidPath as unusable:
                    error = unusable
                    continue
                error = None
                yield step
        if error is not None:
            raise ResolutionError(f"{name.path} stands for no path: {error}") from error
        if best is None:
            outcome = "there is no router to ask" if search is None else search.outcome()
            kind = NameNotFound if search is None or search.error is None else ResolutionError
            raise kind(f"{name.path} cannot be resolved: {outcome}")

    def _search_for(self, name: Name) -> RecordSearch | None:
        if self._router is None:
            return None
        return RecordSearch(self._router, name, self._config.timeout, self._clock)

    async def _records(
        self, name: Name, search: RecordSearch | None
    ) -> AsyncGenerator[IpnsRecord, None]:
        """Yield the valid records that are here and elsewhere, each better than those before."""
        own = None if self._published is None else await self._published.get(name)
        if own is not None and own.is_expired(self._clock()):
            own = None
        if own is not None:
            yield own
        if search is not None:
            async with aclosing(search.records(own)) as found:
                async for record in found:
                    yield record

    def _target(self, record: IpnsRecord) -> tuple[ContentPath, float]:
        left = record.expires - self._clock()
        ttl = max(0.0, min(record.ttl, left, self._config.max_ttl))
        return ContentPath.of_record(record.value), ttl

    async def _by_dnslink(self, domain: str) -> tuple[ContentPath, float]:
        if self._txt is None:
            raise ResolutionError(f"{domain} cannot be resolved: there is no DNS to ask")
        try:
            texts, ttl = await self._txt.txt(record_name(domain))
        except BaseLibp2pError as error:
            raise ResolutionError(f"{domain} cannot be resolved: {error}") from error
        return dnslink_of(domain, texts), min(ttl, self._config.max_ttl)


def _key_of(path: ContentPath) -> ContentPath:
    """Return what is the same for all spellings of a name or domain."""
    name = path.name
    root = path.root.lower().removesuffix(".") if name is None else str(name)
    return ContentPath(path.namespace, root)


def _shown(resolution: Resolution) -> str:
    names = [str(path) for path in resolution.chain[:3]]
    return " → ".join([*names, "…"] if len(resolution.chain) > 3 else names)
