"""Looks names up: TXT records, IP addresses, and the addresses that ``/dnsaddr`` stands for."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p.dns.cache import Answer, AnswerCache
from libp2p.dns.config import (
    MAX_TEXTS,
    MIN_TTL_SECONDS,
    NEGATIVE_TTL_SECONDS,
    DnsConfig,
    Nameserver,
)
from libp2p.dns.dnsaddr import Expansion, is_dnsaddr
from libp2p.exceptions import DnsError, InvalidAddrError, first_few
from libp2p.hostile_input import refused_as
from libp2p.peer.addresses import split_address, to_multiaddr
from libp2p.peer.host_names import ascii_name
from libp2p.utils import arguments

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.resolver

#: Seconds after which the system's list of nameservers is read again: a laptop changes networks.
RESOLV_CONF_SECONDS: Final = 60.0
#: Seconds beyond a query's timeout after which it is given up here; dnspython keeps its own time.
_GRACE: Final = 1.0

_FAMILIES: Final = {
    "dns": (socket.AF_INET6, socket.AF_INET),
    "dns4": (socket.AF_INET,),
    "dns6": (socket.AF_INET6,),
}
_RECORD_TYPES: Final = {socket.AF_INET: "A", socket.AF_INET6: "AAAA"}
_NAMES: Final = {53: "dns", 54: "dns4", 55: "dns6"}


class Resolver:
    """
    Looks names up, within the limits of its configuration; answers are remembered.

    One object serves a host, and may serve several.

    :param config: limits, and nameservers other than the system's.
    """

    def __init__(self, config: DnsConfig | None = None) -> None:
        self.config = config = config or DnsConfig()
        arguments.instance(config, DnsConfig, "config")
        self._cache = AnswerCache(config.max_cached)
        self._queries = trio.Semaphore(config.max_queries)
        self._under_way: dict[tuple[str, str], trio.Lock] = {}
        self._system: dns.asyncresolver.Resolver | None = None
        self._system_until = -inf

    async def txt(self, name: str) -> tuple[list[str], float]:
        """
        Return the TXT records of a name, and for how many seconds they hold; [] if it has none.

        The pieces of a record are joined; bytes that are no UTF-8 are replaced. At most
        `MAX_TEXTS` records are returned.

        :raises DnsError: if the name is none, or no nameserver answers.
        """
        answer = await self._answer(name, "TXT", partial(self._query, record_type="TXT"))
        return list(answer.values), answer.expires_at - trio.current_time()

    async def resolve(self, address: Multiaddr | str) -> list[Multiaddr]:
        """
        Return what an address stands for: addresses that begin with no name.

        ``/dnsaddr`` stands for the addresses in TXT records, of which only those count that end as
        it does (``/p2p/12D3…``); ``/dns4``, ``/dns6`` and ``/dns`` for those of the system's
        resolver, which knows ``/etc/hosts``, or of the configured nameservers. Any other address
        stands for itself. The time is limited; what was found by then is returned.

        :raises InvalidAddrError: if the address cannot be read.
        :raises DnsError: if it stands for nothing; the text names the names and says why.
        """
        address = to_multiaddr(address)
        deadline = trio.current_time() + self.config.resolve_timeout
        found: list[Multiaddr] = []
        failures: list[str] = []
        expanded = await self._expand(address, failures, deadline)
        named = [one for one in expanded if _host_name_of(one) is not None]
        found += (one for one in expanded if one not in named)
        with trio.move_on_at(deadline) as scope:
            for one in named:
                await self._resolve_host(one, found, failures)
        return self._found(address, found, failures, scope)

    async def resolve_dnsaddr(self, address: Multiaddr | str) -> list[Multiaddr]:
        """
        Return the addresses in the TXT records of a ``/dnsaddr``; names in them stay.

        :raises InvalidAddrError: if it cannot be read, or is another address.
        :raises DnsError: if it stands for nothing; the text names the names and says why.
        """
        address = to_multiaddr(address)
        failures: list[str] = []
        if not is_dnsaddr(address):
            raise InvalidAddrError(f"{address} is no /dnsaddr address")
        deadline = trio.current_time() + self.config.resolve_timeout
        return self._found(address, await self._expand(address, failures, deadline), failures)

    def _found(
        self,
        address: Multiaddr,
        found: list[Multiaddr],
        failures: list[str],
        scope: trio.CancelScope | None = None,
    ) -> list[Multiaddr]:
        if scope is not None and scope.cancelled_caught:
            failures.append(self._late)
        unique = list(dict.fromkeys(found))[: self.config.max_addresses]
        if not unique:
            reasons = first_few(dict.fromkeys(failures), separator="; ")
            raise DnsError(f"{address} stands for no address{': ' if reasons else ''}{reasons}")
        return unique

    @property
    def _late(self) -> str:
        return f"no answer within {self.config.resolve_timeout:g} s"

    # -- names in addresses -----------------------------------------------------------------------

    async def _expand(
        self, address: Multiaddr, failures: list[str], deadline: float
    ) -> list[Multiaddr]:
        if not is_dnsaddr(address):
            return [address]
        expansion = Expansion(address, self.config)
        with trio.move_on_at(deadline) as scope:
            await self._drive(expansion)
        failures += expansion.failures
        if scope.cancelled_caught:
            failures.append(self._late)
        return expansion.addresses

    async def _drive(self, expansion: Expansion) -> None:
        """Look up what an expansion asks for, all names of a step at the same time."""

        async def look_up(name: str) -> None:
            try:
                texts, _ = await self.txt(name)
            except DnsError as error:
                expansion.on_failure(name, str(error))
            else:
                expansion.on_answer(name, texts)

        while names := expansion.next_names():
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(look_up, name)

    async def _resolve_host(
        self, address: Multiaddr, found: list[Multiaddr], failures: list[str]
    ) -> None:
        """Append what an address with a host name stands for."""
        protocol, name, rest = _host_name_of(address) or ("", "", b"")
        for family in _FAMILIES.get(protocol, ()):
            try:
                ips = await self._addresses(name, family)
            except DnsError as error:
                failures.append(str(error))
                continue
            version = "ip4" if family == socket.AF_INET else "ip6"
            found += [Multiaddr(Multiaddr(f"/{version}/{ip}").to_bytes() + rest) for ip in ips]

    async def _addresses(self, name: str, family: socket.AddressFamily) -> tuple[str, ...]:
        record_type = _RECORD_TYPES[family]
        if self.config.nameservers:
            try:
                query = partial(self._query, record_type=record_type)
                answer = await self._answer(name, record_type, query)
            except DnsError:
                answer = None
            if answer is not None and answer.values:
                return answer.values
        system = partial(self._ask_system, family=family)
        return (await self._answer(name, f"system {record_type}", system)).values

    async def _ask_system(self, name: str, family: socket.AddressFamily) -> tuple[list[str], float]:
        try:
            found = await trio.socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
        except OSError as error:
            raise DnsError(f"{name} cannot be looked up: {error.strerror or error}") from error
        # The system does not say for how long; it asks and remembers itself.
        return [str(address[0]) for *_, address in found if "%" not in str(address[0])], 0.0

    # -- queries ----------------------------------------------------------------------------------

    async def _answer(
        self, name: str, kind: str, ask: Callable[[str], Awaitable[tuple[list[str], float]]]
    ) -> Answer:
        """Return the answer for a name, of which there is one query at a time."""
        try:
            name = ascii_name(name).rstrip(".").lower()
        except InvalidAddrError as error:
            raise DnsError(str(error)) from error
        async with self._turn((name, kind)):
            answer = self._cache.get((name, kind), trio.current_time())
            if answer is None:
                answer = await self._ask(name, ask)
                self._cache.put((name, kind), answer, trio.current_time())
        if answer.failure:
            raise DnsError(answer.failure)
        return answer

    async def _ask(
        self, name: str, ask: Callable[[str], Awaitable[tuple[list[str], float]]]
    ) -> Answer:
        try:
            async with self._queries:
                values, ttl = await ask(name)
        except DnsError as error:
            # Remembered for a moment: a dial may need the same name twice.
            return Answer((), trio.current_time() + MIN_TTL_SECONDS, str(error))
        ttl = max(MIN_TTL_SECONDS, min(ttl, self.config.max_ttl))
        return Answer(tuple(values), trio.current_time() + ttl)

    @asynccontextmanager
    async def _turn(self, key: tuple[str, str]) -> AsyncIterator[None]:
        """Let one task at a time ask for a name; the others find its answer."""
        lock = self._under_way.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            statistics = lock.statistics()
            if not statistics.locked and not statistics.tasks_waiting:
                self._under_way.pop(key, None)

    async def _query(self, name: str, record_type: str) -> tuple[list[str], float]:
        # It takes a quarter of a second to import, and reads the system's configuration.
        resolver = await trio.to_thread.run_sync(self._resolver, abandon_on_cancel=True)
        from dns import asyncbackend
        from dns import resolver as outcomes
        from dns.exception import DNSException

        timeout = self.config.query_timeout
        try:
            with trio.fail_after(timeout + _GRACE), refused_as(DnsError, f"{name}: no answer"):
                answer = await resolver.resolve(
                    f"{name}.", record_type, lifetime=timeout, search=False,
                    raise_on_no_answer=False, backend=asyncbackend.get_backend("trio"),
                )  # fmt: skip
        except (trio.TooSlowError, DnsError) as error:
            cause = error.__cause__
            if isinstance(cause, outcomes.NXDOMAIN):
                return [], NEGATIVE_TTL_SECONDS
            reason = f"no nameserver answers within {timeout:g} s"
            if isinstance(cause, DNSException) and not isinstance(cause, outcomes.LifetimeTimeout):
                reason = str(cause)
            raise DnsError(f"{name} cannot be looked up: {reason:.300}") from cause
        return _values_of(answer)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """
        Return dnspython's resolver; this blocks.

        :raises DnsError: if no nameserver is configured.
        """
        from dns import asyncresolver
        from dns.nameserver import Do53Nameserver
        from dns.resolver import NoResolverConfiguration

        now = time.monotonic()
        if self._system is not None and now < self._system_until:
            return self._system
        servers = [server for server in self.config.nameservers if isinstance(server, Nameserver)]
        try:
            resolver = asyncresolver.Resolver(configure=not servers)
        except (NoResolverConfiguration, OSError) as error:
            raise DnsError(f"there is no nameserver to ask: {error}") from error
        if servers:
            resolver.nameservers = [Do53Nameserver(one.address, one.port) for one in servers]
        self._system, self._system_until = resolver, now + RESOLV_CONF_SECONDS
        return resolver


def _host_name_of(address: Multiaddr) -> tuple[str, str, bytes] | None:
    """Return the protocol and the name that an address begins with, and the rest of it."""
    first, *others = split_address(address.to_bytes())
    protocol = _NAMES.get(first.code)
    if protocol is None:
        return None
    return protocol, first.value.decode(), b"".join(part.raw for part in others)


def _values_of(answer: dns.resolver.Answer) -> tuple[list[str], float]:
    """Return what an answer says, and its TTL."""
    if answer.rrset is None:
        return [], NEGATIVE_TTL_SECONDS
    values = []
    for record in list(answer.rrset)[:MAX_TEXTS]:
        strings = getattr(record, "strings", None)
        text = getattr(record, "address", "")
        values.append(text if strings is None else b"".join(strings).decode(errors="replace"))
    return values, float(answer.chaining_result.minimum_ttl)
