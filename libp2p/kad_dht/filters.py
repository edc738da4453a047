"""Which addresses belong into which DHT: the public network's, a local one's, or any (sans-I/O)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidAddrError
from libp2p.kad_dht.diversity import is_public
from libp2p.peer.addresses import AddressScope, address_from_wire, scope_of, split_address

if TYPE_CHECKING:
    from multiaddr import Multiaddr

#: The part of an address that says that the address leads through another peer.
P2P_CIRCUIT: Final = 290


#: Addresses of a peer among which one of the right kind is searched: each of the 40 peers of an
#: answer may have 800.
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
        return _any_direct(addrs, public=True) if self is DHTNetwork.WAN else bool(addrs)

    def may_list(self, addrs: Sequence[bytes]) -> bool:
        """Tell whether a peer at these addresses belongs into the routing table."""
        if self is DHTNetwork.LAN:
            return _any_direct(addrs, public=False)
        return self.may_ask(addrs)

    def to_tell(self, addrs: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the addresses of a peer to tell others; in the public network, the public ones."""
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


def _any_direct(addrs: Iterable[bytes], *, public: bool) -> bool:
    return any(_is_direct(raw, public=public) for raw in islice(addrs, MAX_LOOKED_AT))


def _is_direct(raw: bytes, *, public: bool) -> bool:
    """Tell whether an address is direct, and public or not as asked; False if it is malformed."""
    if public:
        return is_public(raw) and not _is_relayed(raw)
    try:
        scope = scope_of(address_from_wire(raw))
    except InvalidAddrError:
        return False
    return scope is not AddressScope.PUBLIC and not _is_relayed(raw)


def _is_relayed(raw: bytes) -> bool:
    return any(component.code == P2P_CIRCUIT for component in split_address(raw))
