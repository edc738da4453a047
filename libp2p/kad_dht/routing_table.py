"""
The routing table (sans-I/O): the peers that are asked first, many near ones and a few far ones.

A bucket holds up to 20 peers that share a prefix of one length with this host's key. The last
bucket holds the peers that share a longer one, and is split when it is full (https://github.com/
libp2p/specs/blob/master/kad-dht/README.md#kademlia-routing-table). Old peers stay: a new peer takes
the place of an old one only if the old one has been silent for a while. So nobody can push out the
peers of a table by making up new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from libp2p.kad_dht.diversity import GroupCounts, ip_groups, is_public
from libp2p.kad_dht.keyspace import common_prefix_length, key_of_peer
from libp2p.kad_dht.messages import Connection, PeerEntry, bounded_addresses
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.peer.id import ID

#: Peers of a bucket, and of an answer: the k of Kademlia.
BUCKET_SIZE: Final = 20

#: Peers of one IP group that a table holds, and that it holds with one common prefix length
#: (go-libp2p's numbers).
MAX_PEERS_PER_GROUP: Final = 3
MAX_PEERS_PER_GROUP_IN_BUCKET: Final = 2

#: Candidates that are being checked at once (go-libp2p's number); others are not considered.
MAX_CANDIDATES: Final = 256

#: Seconds for which a candidate that has failed its check is not considered again.
FREEZE_SECONDS: Final = 60.0
#: Candidates that have failed and are remembered; the oldest is forgotten first.
MAX_FROZEN: Final = 4096

#: A peer that has not answered for so many seconds is asked whether it is there, and may lose its
#: place. In that time refreshes nearly surely reach each peer of a full bucket (go-libp2p's rule).
STALE_SECONDS: Final = 2600.0

#: Seconds between two refreshes of one part of the key space.
REFRESH_SECONDS: Final = 600.0
#: The longest common prefix that is refreshed on its own. Finding a key with a longer one takes a
#: second; the lookup of this host's own key finds those peers.
MAX_REFRESH_PREFIX: Final = 15

#: With so few peers, all connected ones are considered again (go-libp2p's number).
LOW_PEERS: Final = 10
#: With so many peers in the table, a candidate passes its check only if it knows another peer. In a
#: new network no peer knows another.
CHECK_ANSWERS_FROM: Final = 20


@dataclass(frozen=True)
class RoutingTableConfig:
    """
    Sizes and times of a routing table.

    :param bucket_size: peers of a bucket.
    :param max_per_group: peers of an IP group in the table; 0 is no limit.
    :param max_per_group_in_bucket: peers of an IP group with one common prefix length; 0: no limit.
    :param public_only: use public addresses only, and refuse peers without any, as the table of
        the public network does. Other addresses are in no IP group.
    :param stale_seconds: silence after which a peer may lose its place.
    :param refresh_seconds: time between two refreshes of a part of the key space.
    """

    bucket_size: int = BUCKET_SIZE
    max_per_group: int = MAX_PEERS_PER_GROUP
    max_per_group_in_bucket: int = MAX_PEERS_PER_GROUP_IN_BUCKET
    public_only: bool = False
    stale_seconds: float = STALE_SECONDS
    refresh_seconds: float = REFRESH_SECONDS

    def __post_init__(self) -> None:
        arguments.count(self.bucket_size, "bucket_size", least=1)
        for name in ("max_per_group", "max_per_group_in_bucket"):
            arguments.count(getattr(self, name), name)
        for name in ("stale_seconds", "refresh_seconds"):
            arguments.seconds(getattr(self, name), name)


class Considered(Enum):
    """What became of a peer that `RoutingTable.consider` was told of."""

    KNOWN = auto()
    """It is in the table."""
    ADDED = auto()
    """It is in the table now."""
    CHECKING = auto()
    """It is being checked; a `CheckPeer` says so, once."""
    NO_ROOM = auto()
    """Its bucket is full of peers that answer, or too many candidates are being checked."""
    TOO_MANY_OF_GROUP = auto()
    """There are enough peers of its IP group."""
    NO_ADDRESS = auto()
    """No address of it can be used."""
    FAILED_LATELY = auto()
    """It has failed its check within `FREEZE_SECONDS`."""
    OWN = auto()
    """It is this peer itself."""


@dataclass(frozen=True, slots=True)
class CheckPeer:
    """
    Ask a candidate for the peers closest to itself, then call `RoutingTable.checked`.

    A candidate that answers is a server of the DHT. Once the table has `CHECK_ANSWERS_FROM` peers,
    the candidate has to name at least ``least_answers`` peers.
    """

    peer: ID
    addrs: tuple[bytes, ...]
    least_answers: int


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """A peer has entered the table; if it shares few bits, its connection is worth keeping."""

    peer: ID
    prefix_length: int


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """A peer has left the table."""

    peer: ID


TableEvent: TypeAlias = CheckPeer | PeerAdded | PeerRemoved


class Row:
    """
    A peer of the table; times are those of ``now``.

    Owner: libp2p.kad_dht.routing_table
    """

    __slots__ = (
        "added_at", "connected_entry", "entry", "groups", "key", "last_seen", "last_useful",
        "peer", "prefix_length",
    )  # fmt: skip

    def __init__(self, peer: ID, prefix_length: int, now: float) -> None:
        self.peer = peer
        self.key = key_of_peer(peer)
        self.prefix_length = prefix_length
        self.added_at = now
        self.last_seen = now
        self.last_useful: float | None = None
        self.groups: frozenset[bytes] = frozenset()
        self.entry = PeerEntry(peer)
        self.connected_entry = self.entry

    def set_addresses(self, addrs: Sequence[bytes]) -> None:
        """Keep addresses, with the entries that messages have for them."""
        bounded = bounded_addresses(self.peer, addrs)
        self.entry = PeerEntry(self.peer, bounded)
        self.connected_entry = PeerEntry(self.peer, bounded, Connection.CONNECTED)


class _Candidate:
    """A peer that is being checked."""

    __slots__ = ("addrs", "groups")

    def __init__(self, addrs: tuple[bytes, ...], groups: frozenset[bytes]) -> None:
        self.addrs = addrs
        self.groups = groups


class RoutingTable:
    """
    Peers by their distance from ``own``; `take_events` returns what the driver has to do.

    Addresses are binary multiaddrs.
    """

    def __init__(self, own: ID, config: RoutingTableConfig | None = None) -> None:
        self.own = own
        self.config = config or RoutingTableConfig()
        self._own_key = key_of_peer(own)
        self._rows: dict[ID, Row] = {}
        self._buckets: list[dict[ID, Row]] = [{}]
        self._groups = GroupCounts(self.config.max_per_group, self.config.max_per_group_in_bucket)
        self._candidates: dict[ID, _Candidate] = {}
        self._frozen: dict[ID, float] = {}
        self._refreshed: dict[int, float] = {}
        self._events: list[TableEvent] = []

    # -- what is in it ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, peer: object) -> bool:
        return peer in self._rows

    def __iter__(self) -> Iterator[ID]:
        return iter(list(self._rows))

    @property
    def is_low(self) -> bool:
        """Whether the table is so small that all connected peers should be considered again."""
        return len(self._rows) <= LOW_PEERS

    @property
    def buckets(self) -> list[list[Row]]:
        """The rows of each bucket, to be read only; the farthest bucket first."""
        return [list(bucket.values()) for bucket in self._buckets]

    @property
    def entries(self) -> list[PeerEntry]:
        """All peers with their addresses, to be kept for the next start."""
        return [row.entry for row in self._rows.values()]

    @property
    def candidates(self) -> list[ID]:
        """Peers that are being checked."""
        return list(self._candidates)

    def row(self, peer: ID) -> Row | None:
        """Return what is known of a peer of the table, to be read only."""
        return self._rows.get(peer)

    def closest_rows(self, key: int, count: int = BUCKET_SIZE) -> list[Row]:
        """Return the rows of the peers that are closest to a key, the closest one first."""
        # Peers of the bucket that the key falls into share the most bits with the key. Peers of
        # later buckets share as many as this host's key does, and those of earlier ones fewer.
        buckets = self._buckets
        at = min(common_prefix_length(key, self._own_key), len(buckets) - 1)
        found = list(buckets[at].values())
        if len(found) < count:
            for bucket in buckets[at + 1 :]:
                found += bucket.values()
        while len(found) < count and at:
            at -= 1
            found += buckets[at].values()
        if len(found) > 4 * count:
            return nsmallest(count, found, key=lambda row: row.key ^ key)
        found.sort(key=lambda row: row.key ^ key)
        return found[:count]

    def closest(self, key: int, count: int = BUCKET_SIZE) -> list[ID]:
        """Return the peers that are closest to a key, the closest one first."""
        return [row.peer for row in self.closest_rows(key, count)]

    def closest_entries(self, key: int, count: int = BUCKET_SIZE) -> list[PeerEntry]:
        """Return what `closest` does, with addresses, to start a lookup with."""
        return [row.entry for row in self.closest_rows(key, count)]

    # -- entering and leaving ---------------------------------------------------------------------

    def consider(
        self,
        peer: ID,
        addrs: Sequence[bytes],
        now: float,
        *,
        observed: Sequence[bytes] = (),
        verified: bool = False,
    ) -> Considered:
        """
        Consider a peer that serves the protocol; if it is in the table, take its new addresses.

        :param observed: the remote addresses of connections to it. A peer cannot make these up, so
            they decide its IP groups if there are any.
        :param verified: True if the peer has just answered a request: it needs no check.
        """
        if peer == self.own:
            return Considered.OWN
        if self.config.public_only:
            addrs = [address for address in addrs if is_public(address)]
        groups = ip_groups(observed) or ip_groups(addrs)
        row = self._rows.get(peer)
        if row is not None:
            self._update(row, addrs, groups)
            return Considered.KNOWN
        if not addrs:
            return Considered.NO_ADDRESS
        if refusal := self._refusal(peer, groups, now):
            return refusal
        if verified:
            self._candidates.pop(peer, None)
            self._add(peer, addrs, groups, now)
            return Considered.ADDED
        if peer in self._candidates:
            return Considered.CHECKING
        if self._is_frozen(peer, now):
            return Considered.FAILED_LATELY
        if len(self._candidates) == MAX_CANDIDATES:
            return Considered.NO_ROOM
        kept = bounded_addresses(peer, addrs)
        self._candidates[peer] = _Candidate(kept, groups)
        least = 1 if len(self._rows) >= CHECK_ANSWERS_FROM else 0
        self._events.append(CheckPeer(peer, kept, least))
        return Considered.CHECKING

    def checked(self, peer: ID, passed: bool, now: float) -> bool:
        """
        Take the result of a `CheckPeer`; return whether the peer is in the table now.

        A peer that passes may find no room: others have been checked at the same time.
        """
        candidate = self._candidates.pop(peer, None)
        if candidate is None:
            return peer in self._rows
        if not passed:
            self._freeze(peer, now)
            return False
        if self._refusal(peer, candidate.groups, now):
            return False
        self._add(peer, candidate.addrs, candidate.groups, now)
        return True

    def touch(self, peer: ID, now: float, useful: bool = False) -> None:
        """Note that a peer has answered; ``useful`` if its answer has helped a lookup."""
        row = self._rows.get(peer)
        if row is not None:
            row.last_seen = now
            if useful:
                row.last_useful = now

    def remove(self, peer: ID) -> bool:
        """Remove a peer that does not answer or is no server any more; return if it was there."""
        self._candidates.pop(peer, None)
        row = self._rows.pop(peer, None)
        if row is None:
            return False
        buckets = self._buckets
        del buckets[self._bucket_index(row.prefix_length)][peer]
        self._groups.remove(row.prefix_length, row.groups)
        while len(buckets) > 1 and not (buckets[-1] and buckets[-2]):
            last = buckets.pop()
            buckets[-1] = buckets[-1] or last
        self._events.append(PeerRemoved(peer))
        return True

    def take_events(self) -> list[TableEvent]:
        """Return what has happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _refusal(self, peer: ID, groups: frozenset[bytes], now: float) -> Considered | None:
        prefix_length = common_prefix_length(key_of_peer(peer), self._own_key)
        if not self._groups.allows(prefix_length, groups):
            return Considered.TOO_MANY_OF_GROUP
        return None if self._has_room(prefix_length, now) else Considered.NO_ROOM

    def _has_room(self, prefix_length: int, now: float) -> bool:
        index = self._bucket_index(prefix_length)
        bucket = self._buckets[index]
        if len(bucket) < self.config.bucket_size or self._stalest(bucket, now):
            return True
        is_last = index == len(self._buckets) - 1
        return is_last and any(row.prefix_length != prefix_length for row in bucket.values())

    def _add(self, peer: ID, addrs: Sequence[bytes], groups: frozenset[bytes], now: float) -> None:
        """Add a peer that `_refusal` has nothing against."""
        row = Row(peer, common_prefix_length(key_of_peer(peer), self._own_key), now)
        row.set_addresses(addrs)
        row.groups = groups
        size = self.config.bucket_size
        while len(self._bucket_of(row)) >= size and row.prefix_length >= len(self._buckets) - 1:
            self._split()
        bucket = self._bucket_of(row)
        silent = self._stalest(bucket, now) if len(bucket) >= size else None
        bucket[peer] = self._rows[peer] = row
        self._groups.add(row.prefix_length, groups)
        self._events.append(PeerAdded(peer, row.prefix_length))
        if silent is not None:  # it leaves last, for an empty last bucket is removed
            self.remove(silent.peer)

    def _update(self, row: Row, addrs: Sequence[bytes], groups: frozenset[bytes]) -> None:
        """Take new addresses of a peer, unless its new IP group has enough peers already."""
        if not addrs:
            return
        if groups != row.groups:
            if not self._groups.allows(row.prefix_length, groups - row.groups):
                return
            self._groups.remove(row.prefix_length, row.groups)
            self._groups.add(row.prefix_length, groups)
            row.groups = groups
        if tuple(addrs) != row.entry.addrs:
            row.set_addresses(addrs)

    # -- buckets ----------------------------------------------------------------------------------

    def _bucket_index(self, prefix_length: int) -> int:
        return min(prefix_length, len(self._buckets) - 1)

    def _bucket_of(self, row: Row) -> dict[ID, Row]:
        return self._buckets[self._bucket_index(row.prefix_length)]

    def _split(self) -> None:
        """Move peers that share more bits than the last bucket requires into a new one."""
        length = len(self._buckets) - 1
        last = self._buckets[-1]
        self._buckets[-1] = {peer: row for peer, row in last.items() if row.prefix_length == length}
        self._buckets.append({p: row for p, row in last.items() if row.prefix_length > length})

    def _stalest(self, bucket: dict[ID, Row], now: float) -> Row | None:
        """Return the peer that was silent for longest; None if that was not ``stale_seconds``."""
        row = min(bucket.values(), key=attrgetter("last_seen"))
        return row if now - row.last_seen > self.config.stale_seconds else None

    # -- candidates that failed -------------------------------------------------------------------

    def _freeze(self, peer: ID, now: float) -> None:
        self._frozen[peer] = now + FREEZE_SECONDS
        if len(self._frozen) > MAX_FROZEN:
            del self._frozen[next(iter(self._frozen))]

    def _is_frozen(self, peer: ID, now: float) -> bool:
        until = self._frozen.get(peer)
        if until is None:
            return False
        if now < until:
            return True
        del self._frozen[peer]
        return False

    # -- what has to be done from time to time ----------------------------------------------------

    def stale(self, now: float) -> list[ID]:
        """
        Return the peers that should be asked whether they are there.

        Call `touch` if one answers, `remove` if it does not.
        """
        limit = now - self.config.stale_seconds
        return [peer for peer, row in self._rows.items() if row.last_seen < limit]

    def due_refreshes(self, now: float) -> list[int]:
        """
        Return the common prefix lengths for which a key should be looked up now.

        These are lengths up to that of the closest peer, and up to `MAX_REFRESH_PREFIX`.
        `keyspace.preimage` makes a key of `keyspace.prefix_of_length`. The caller calls `refreshed`
        after the lookup, and looks up this host's own key as well.
        """
        return [length for length in self._refresh_lengths() if self._refresh_at(length) <= now]

    def next_refresh(self) -> float:
        """Return when the next refresh is due; minus infinity, if one never was done."""
        return min(map(self._refresh_at, self._refresh_lengths()))

    def refreshed(self, key: int, now: float) -> None:
        """Note that a key was looked up, for a refresh or for another reason."""
        length = common_prefix_length(key, self._own_key)
        if length <= MAX_REFRESH_PREFIX:
            self._refreshed[length] = now

    def _refresh_lengths(self) -> range:
        closest = max((row.prefix_length for row in self._buckets[-1].values()), default=0)
        return range(min(closest, MAX_REFRESH_PREFIX) + 1)

    def _refresh_at(self, length: int) -> float:
        refreshed = self._refreshed.get(length, float("-inf"))
        return refreshed + self.config.refresh_seconds
