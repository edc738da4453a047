"""Which addresses belong into which DHT: the public network's, a local one's, or any (sans-I/O)."""

from __future__ import annotations

from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidAddrError
from libp2p.kad_dht.diversity import is_public
from libp2p.peer.addresses import AddressScope, address_from_wire, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from multiaddr import Multiaddr


#: Addresses of a peer that are looked at to find one of the right kind: 40 peers of an answer may
#: have 800 each.
MAX_LOOKED_AT: Final = 64


class DHTNetwork(Enum):
    """
    What the peers of a DHT can reach.

    ``WAN`` asks and lists peers with public addresses only, and announces only these. ``LAN`` asks
    every peer, lists those with an address that is not public, and announces such addresses.
    ``ANY`` makes no difference.
    """

    ANY = "any"
    WAN = "wan"
    LAN = "lan"

    def may_ask(self, addrs: Sequence[bytes]) -> bool:
        """Tell whether a peer at these addresses may be asked in a lookup."""
        return _has_scope(addrs, public=True) if self is DHTNetwork.WAN else bool(addrs)

    def may_list(self, addrs: Sequence[bytes]) -> bool:
        """Tell whether a peer at these addresses belongs into the routing table."""
        if self is DHTNetwork.LAN:
            return _has_scope(addrs, public=False)
        return self.may_ask(addrs)

    def to_tell(self, addrs: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return those addresses of a peer that others are told: in the public network, public."""
        if self is DHTNetwork.WAN:
            return tuple(filter(is_public, addrs))
        return tuple(addrs)

    def can_be_reached(self, addrs: Iterable[Multiaddr]) -> bool:
        """Tell whether a host with these addresses can be asked by the others of its network."""
        if self is DHTNetwork.LAN:
            return True
        return any(scope_of(addr) is AddressScope.PUBLIC for addr in addrs)

    def to_announce(self, addrs: Iterable[Multiaddr]) -> list[Multiaddr]:
        """Return those of this host's addresses that the DHT's other peers can use."""
        if self is DHTNetwork.ANY:
            return list(addrs)
        public = self is DHTNetwork.WAN
        return [addr for addr in addrs if (scope_of(addr) is AddressScope.PUBLIC) is public]


def _has_scope(addrs: Iterable[bytes], *, public: bool) -> bool:
    if public:
        return any(map(is_public, islice(addrs, MAX_LOOKED_AT)))
    for raw in islice(addrs, MAX_LOOKED_AT):
        try:
            scope = scope_of(address_from_wire(raw))
        except InvalidAddrError:
            continue
        if scope is not AddressScope.PUBLIC:
            return True
    return False
