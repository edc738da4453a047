"""When a peer to stay connected to is dialled (sans-I/O); ``now`` is any clock's reading."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

#: Peers to stay connected to: their connections are never closed to make room for others.
MAX_PEERS: Final = 256
#: Seconds after a connection has ended; the times of both sides differ, so that not both dial.
FIRST_DELAY: Final = 5.0
#: Seconds between two dials of a peer that stays away. These two are boxo's.
MAX_DELAY: Final = 600.0
#: The part by which the longest delay varies, so that peers do not all dial at the same time.
JITTER: Final = 0.1


class _Entry:
    """One peer: when it is due, and how long the next delay is."""

    def __init__(self, info: PeerInfo, due: float) -> None:
        self.info = info
        self.due = due
        self.is_connected = False
        self.failures = 0
        self._delay = FIRST_DELAY

    def replace(self, info: PeerInfo) -> None:
        self.info = info

    def connect(self) -> None:
        self.is_connected = True
        self.failures = 0
        self._delay = FIRST_DELAY

    def dial(self) -> None:
        self.due = inf

    def lose(self, now: float, chance: Callable[[], float]) -> None:
        self.failures += not self.is_connected
        self.is_connected = False
        wait = self._delay * (0.75 + 0.5 * chance())
        self.due = now + min(wait, MAX_DELAY * (1 - JITTER * chance()))
        self._delay = min(self._delay * 2, MAX_DELAY)


class Schedule:
    """
    The peers, and when each is dialled: at once when it is new, and with growing delays from then.

    :param chance: returns a random number from 0 to 1.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._entries: dict[ID, _Entry] = {}

    def __contains__(self, peer_id: ID) -> bool:
        return peer_id in self._entries

    def peers(self) -> list[PeerInfo]:
        """Return all peers, in the order in which they were added."""
        return [entry.info for entry in self._entries.values()]

    def add(self, info: PeerInfo, now: float, connected: bool) -> None:
        """
        Stay connected to a peer; the addresses of one that is there already are replaced.

        :raises InvalidArgument: if there are too many.
        """
        entry = self._entries.get(info.peer_id)
        if entry is not None:
            entry.replace(info)
            return
        if len(self._entries) >= MAX_PEERS:
            raise arguments.out_of_range("len(peering)", MAX_PEERS + 1, f"{MAX_PEERS} or less")
        self._entries[info.peer_id] = entry = _Entry(info, now)
        if connected:
            entry.connect()

    def remove(self, peer_id: ID) -> bool:
        """Dial a peer no more; return whether it was one of them."""
        return self._entries.pop(peer_id, None) is not None

    def connected(self, peer_id: ID) -> None:
        """Note that a peer is connected, whoever has dialled."""
        if (entry := self._entries.get(peer_id)) is not None:
            entry.connect()

    def lost(self, peer_id: ID, now: float) -> None:
        """Note that the last connection to a peer has ended, or that a dial has failed."""
        if (entry := self._entries.get(peer_id)) is not None:
            entry.lose(now, self._chance)

    def failures_of(self, peer_id: ID) -> int:
        """Return how many dials in a row have failed."""
        entry = self._entries.get(peer_id)
        return 0 if entry is None else entry.failures

    @property
    def is_settled(self) -> bool:
        """True if a peer is connected, or the last dial of each has failed."""
        entries = self._entries.values()
        return any(e.is_connected for e in entries) or all(e.failures for e in entries)

    def next_due(self) -> float:
        """Return when a peer is due; infinity if all are connected or being dialled."""
        return min((e.due for e in self._entries.values() if not e.is_connected), default=inf)

    def take_due(self, now: float) -> list[PeerInfo]:
        """Return the peers to dial now; each is due again when `lost` says so."""
        due = [e for e in self._entries.values() if not e.is_connected and e.due <= now]
        for entry in due:
            entry.dial()
        return [entry.info for entry in due]
