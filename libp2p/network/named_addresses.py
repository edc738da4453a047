"""Addresses of a peer that begin with a name, and what they stand for when it is dialled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from libp2p.dns.dnsaddr import is_dnsaddr
from libp2p.exceptions import DialError, DnsError, InvalidAddrError
from libp2p.peer.addresses import ip_of, split_address, with_peer_id, without_peer_id
from libp2p.utils.faults import without_traceback

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.dns.resolver import Resolver
    from libp2p.peer.id import ID

#: ``/dnsaddr`` addresses of one peer that are looked up for a dial. A peer has one or two; a
#: stranger's record with hundreds would make this host ask for thousands of names.
MAX_NAMES_PER_DIAL: Final = 4

#: /dns, /dns4 and /dns6
_HOST_NAMES: Final = frozenset((53, 54, 55))
#: /https, /tls, /sni, /ws and /wss: these need the name itself.
_KEEP_NAME: Final = frozenset((443, 448, 449, 477, 478))

_FAMILIES: Final = {
    "dns4": trio.socket.AF_INET,
    "dns6": trio.socket.AF_INET6,
    "dns": trio.socket.AF_UNSPEC,
    "dnsaddr": trio.socket.AF_UNSPEC,
}


async def extract_ip_from_multiaddr(addr: Multiaddr) -> list[str]:
    """
    Return the IP addresses that an address, or the name in it, stands for; py-libp2p's.

    Names are looked up with the system's resolver; one that is unknown stands for nothing.
    """
    if (ip := ip_of(addr)) is not None:
        return [str(ip)]
    parts = str(addr).split("/")
    family = _FAMILIES.get(parts[1])
    if family is None:
        return []
    try:
        found = await trio.socket.getaddrinfo(parts[2], None, family, trio.socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class NamedAddresses:
    """
    Looks up ``/dnsaddr``; and ``/dns``, ``/dns4`` and ``/dns6`` if there are nameservers for them.

    Without nameservers of the resolver's own, transports ask the system for host names.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def needs_look_up(self, address: Multiaddr) -> bool:
        """Return whether a name in an address has to be looked up before dialling."""
        try:
            codes = [part.code for part in split_address(address.to_bytes())]
            if is_dnsaddr(address):
                return True
        except InvalidAddrError:  # of a kind that a transport of the program may know
            return False
        has_servers = bool(self._resolver.config.nameservers)
        return (
            has_servers
            and bool(codes)
            and codes[0] in _HOST_NAMES
            and not _KEEP_NAME.intersection(codes)
        )

    async def look_up(
        self, peer_id: ID, addresses: Sequence[Multiaddr]
    ) -> tuple[list[Multiaddr], list[DialError]]:
        """
        Return the addresses of a peer that names stand for, and why others stand for nothing.

        With no ``addresses`` it does not wait.
        """
        if not addresses:
            return [], []
        outcomes: dict[Multiaddr, list[Multiaddr] | DialError] = {}

        async def look_up(address: Multiaddr) -> None:
            try:
                outcomes[address] = await self._resolve(peer_id, address)
            except DnsError as error:
                outcomes[address] = without_traceback(DialError(address, str(error)))

        async with trio.open_nursery() as nursery:
            for address in addresses[:MAX_NAMES_PER_DIAL]:
                nursery.start_soon(look_up, address)
        found: dict[Multiaddr, None] = {}
        failures: list[DialError] = []
        for address in addresses:
            outcome = outcomes.get(address, _too_many(address))
            if isinstance(outcome, DialError):
                failures.append(outcome)
            else:
                found.update(dict.fromkeys(outcome))
        return list(found), failures

    async def _resolve(self, peer_id: ID, address: Multiaddr) -> list[Multiaddr]:
        has_servers = bool(self._resolver.config.nameservers)
        resolve = self._resolver.resolve if has_servers else self._resolver.resolve_dnsaddr
        try:
            resolved = await resolve(with_peer_id(address, peer_id))
        except DnsError:
            resolved = await resolve(address)  # records may leave out the peer
        own = without_peer_id(resolved, peer_id)
        if not own:
            raise DnsError("it stands for other peers only")
        return own


def _too_many(address: Multiaddr) -> DialError:
    return DialError(address, f"only {MAX_NAMES_PER_DIAL} names of a peer are looked up")
