"""
Groups of IP addresses that one owner is likely to have (sans-I/O).

Many peer ids cost an attacker nothing, addresses in many networks do. So a routing table takes
only a few peers of a group, and a lookup believes no answer that is full of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, TypeVar

from libp2p.exceptions import InvalidAddrError
from libp2p.peer.addresses import IP4, IP6, AddressScope, address_from_wire, scope_of, scope_of_ip

if TYPE_CHECKING:
    from libp2p.kad_dht.messages import PeerEntry

_K = TypeVar("_K")

#: Groups that a peer counts for. A peer may announce addresses that are not its own, and without
#: this limit it would use up the room of all their groups.
MAX_GROUPS_PER_PEER: Final = 4

#: Networks of eight bits that belong to one owner each; others have sixteen bits. go-libp2p's list.
_WHOLE_NETWORKS: Final = frozenset((12, 17, 19, 38, 48, 53, 56, 73))
#: IP addresses whose group is remembered: finding out whether one is public takes microseconds.
_REMEMBERED: Final = 4096

_IP_CODES: Final = (bytes((IP4,)), bytes((IP6,)))
_IP4_BYTES: Final = 4
_IP6_BYTES: Final = 16
_IP6_GROUP_BYTES: Final = 4


def ip_group(address: bytes) -> bytes | None:
    """
    Return the group of a binary address: 16 bits of IPv4, 32 bits of IPv6.

    None, if the address does not begin with a public IP address: addresses of this host's own
    network do not tell who owns them.
    """
    if not address:
        return None
    if address[0] == IP4 and len(address) > _IP4_BYTES:
        return _group_of_ip(address[1 : 1 + _IP4_BYTES])
    if address[0] == IP6 and len(address) > _IP6_BYTES:
        return _group_of_ip(address[1 : 1 + _IP6_BYTES])
    return None


def is_public(address: bytes) -> bool:
    """Return whether a binary address can be used from everywhere; False if it is malformed."""
    if address[:1] in _IP_CODES:
        return ip_group(address) is not None
    try:
        return scope_of(address_from_wire(address)) is AddressScope.PUBLIC
    except InvalidAddrError:
        return False


@lru_cache(maxsize=_REMEMBERED)
def _group_of_ip(packed: bytes) -> bytes | None:
    if len(packed) == _IP4_BYTES:
        ip: IPv4Address | IPv6Address = IPv4Address(packed)
    else:
        ip = IPv6Address(packed)
        if ip.ipv4_mapped is not None:
            return _group_of_ip(ip.ipv4_mapped.packed)
    if scope_of_ip(ip) is not AddressScope.PUBLIC:
        return None
    if len(packed) == _IP6_BYTES:
        return packed[:_IP6_GROUP_BYTES]
    return packed[:1] if packed[0] in _WHOLE_NETWORKS else packed[:2]


def ip_groups(addresses: Iterable[bytes]) -> frozenset[bytes]:
    """Return the groups of a peer's addresses, the first `MAX_GROUPS_PER_PEER` of them."""
    groups: set[bytes] = set()
    for address in addresses:
        group = ip_group(address)
        if group is not None:
            groups.add(group)
            if len(groups) == MAX_GROUPS_PER_PEER:
                break
    return frozenset(groups)


def without_crowds(entries: Sequence[PeerEntry], most: int) -> list[PeerEntry]:
    """
    Return the peers of an answer without those of IP groups that have more than ``most`` of them.

    All peers of such a group are left out, even the first: one owner may have made all of them up,
    to be asked in place of others.
    """
    groups = [ip_groups(entry.addrs) for entry in entries]
    counts = Counter(group for of_peer in groups for group in of_peer)
    crowded = {group for group, count in counts.items() if count > most}
    return [
        entry for entry, of_peer in zip(entries, groups, strict=True) if crowded.isdisjoint(of_peer)
    ]


class GroupCounts:
    """
    How many peers of each group a routing table has, in all and at each prefix length.

    :param most: of a group in the table; 0 is no limit.
    :param most_in_bucket: of a group with one common prefix length; 0 is no limit.
    """

    def __init__(self, most: int, most_in_bucket: int) -> None:
        self._most = most
        self._most_in_bucket = most_in_bucket
        self._in_table: Counter[bytes] = Counter()
        self._in_bucket: Counter[tuple[int, bytes]] = Counter()

    def allows(self, prefix_length: int, groups: Collection[bytes]) -> bool:
        """Return whether one more peer of these groups may enter."""
        most, most_in_bucket = self._most, self._most_in_bucket
        return not any(
            (most and self._in_table[group] >= most)
            or (most_in_bucket and self._in_bucket[prefix_length, group] >= most_in_bucket)
            for group in groups
        )

    def add(self, prefix_length: int, groups: Collection[bytes]) -> None:
        """Count a peer that has entered."""
        for group in groups:
            self._in_table[group] += 1
            self._in_bucket[prefix_length, group] += 1

    def remove(self, prefix_length: int, groups: Collection[bytes]) -> None:
        """Uncount a peer that has left."""
        for group in groups:
            _decrease(self._in_table, group)
            _decrease(self._in_bucket, (prefix_length, group))


def _decrease(counts: Counter[_K], key: _K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
