"""Which of a peer's addresses to dial that come from somebody else: a router, or a record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from libp2p.peer.addresses import AddressScope, scope_of

if TYPE_CHECKING:
    from multiaddr import Multiaddr

_ANY_INTERFACE = frozenset({"/ip4/0.0.0.0", "/ip6/::"})


def worth_dialling(
    addresses: Iterable[Multiaddr], neighbours: Iterable[Multiaddr]
) -> list[Multiaddr]:
    """
    Return the ``addresses`` that lead to where this host is, and public ones.

    Otherwise a record from the other side of the world that names 10.0.0.1 or 127.0.0.1 would make
    this host dial machines of its own network.

    :param neighbours: where this host listens and what it is connected to. If there are none,
        nothing is known of where this host is, and all addresses are returned.
    """
    scopes = {_place_of(address) for address in neighbours}
    if not scopes:
        return list(addresses)
    scopes.add(AddressScope.PUBLIC)
    return [address for address in addresses if scope_of(address) in scopes]


def _place_of(address: Multiaddr) -> AddressScope:
    if "/".join(str(address).split("/")[:3]) in _ANY_INTERFACE:
        return AddressScope.PRIVATE  # all interfaces of a machine that is probably in some network
    return scope_of(address)
