"""How names are looked up, and what one name may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from libp2p.exceptions import InvalidArgument
from libp2p.hostile_input import refused_as
from libp2p.utils import arguments

#: ``/dnsaddr`` that leads to ``/dnsaddr`` and so on. The public bootstrap list needs two; go-libp2p
#: follows 32, of which a chain of slow servers makes minutes.
MAX_DEPTH: Final = 8
#: Names that are looked up for one address.
MAX_LOOK_UPS: Final = 32
#: Addresses that one address may stand for; go-libp2p takes 100. Each of them may be dialled.
MAX_ADDRESSES: Final = 100
#: TXT records of one name that are read. An answer of 64 KiB holds 800 addresses.
MAX_TEXTS: Final = 256
#: Seconds for one query, with all its retries at all nameservers.
QUERY_TIMEOUT: Final = 5.0
#: Seconds until one address is resolved, however many names it takes; what was found by then is
#: used.
RESOLVE_TIMEOUT: Final = 10.0
#: Queries at the same time, for the whole host; more wait. Strangers' addresses cause them.
MAX_QUERIES: Final = 32
#: Answers that are remembered, the absence of one too; the ones that expire first give way.
MAX_CACHED: Final = 1024
#: Seconds for which an answer is used at most, whatever its TTL says, and at least: a TTL of 0 must
#: not make every dial ask again.
MAX_TTL_SECONDS: Final = 3600.0
MIN_TTL_SECONDS: Final = 5.0
#: Seconds for which it is remembered that a name has no records.
NEGATIVE_TTL_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Nameserver:
    """
    The IP address and port of a nameserver.

    :raises ValueError: if they are none.
    """

    address: str
    port: int = 53

    def __post_init__(self) -> None:
        with refused_as(InvalidArgument, f"nameserver {self.address!r} is no IP address"):
            ip_address(self.address)
        arguments.count(self.port, "port", least=1, most=65_535)


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """
    Limits and times of name look-ups, see the constants of `libp2p.dns.config`.

    :param nameservers: to ask in place of the system's; a text is the IP address of one. The
        system is asked for what these do not know.
    :param max_depth: of ``/dnsaddr`` that leads to ``/dnsaddr``.
    :param max_look_ups: for one address.
    :param max_addresses: that one address may stand for.
    :param query_timeout: seconds of one query.
    :param resolve_timeout: seconds for one address, with all its queries.
    :param max_queries: at the same time.
    :param max_cached: answers that are remembered.
    :param max_ttl: seconds for which an answer is used at most.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    nameservers: tuple[Nameserver | str, ...] = field(default=(), kw_only=True)
    max_depth: int = MAX_DEPTH
    max_look_ups: int = MAX_LOOK_UPS
    max_addresses: int = MAX_ADDRESSES
    query_timeout: float = QUERY_TIMEOUT
    resolve_timeout: float = RESOLVE_TIMEOUT
    max_queries: int = MAX_QUERIES
    max_cached: int = MAX_CACHED
    max_ttl: float = MAX_TTL_SECONDS

    def __post_init__(self) -> None:
        given = arguments.listed(self.nameservers, "nameservers", "IP addresses")
        servers = tuple(n if isinstance(n, Nameserver) else Nameserver(n) for n in given)
        object.__setattr__(self, "nameservers", servers)
        for name in ("max_depth", "max_look_ups", "max_addresses", "max_queries", "max_cached"):
            arguments.count(getattr(self, name), name, least=1)
        for name in ("query_timeout", "resolve_timeout", "max_ttl"):
            object.__setattr__(self, name, arguments.seconds(getattr(self, name), name))
