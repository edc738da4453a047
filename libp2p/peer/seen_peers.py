"""
The peers that this host was connected to, whom it asks first when it starts again (sans-I/O).

A peer store forgets addresses after hours, because most of them are hearsay. That a connection has
stood is worth more: the peer is probably there next week, and no public service is needed to find
it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.id import ID

#: Peers that are remembered; one that was connected long ago gives way. A host needs a few to get
#: into the network again, and most of a day's peers are not there the next day.
MAX_SEEN_PEERS: Final = 256
#: Addresses of each: those that it was dialled at, and then those that it announced.
MAX_SEEN_ADDRESSES: Final = 8
#: Seconds after the last connection until a peer is forgotten: a month.
SEEN_SECONDS: Final = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class SeenPeer:
    """
    A peer, where it may be, and when it was connected last (Unix seconds).

    ``was_dialled`` says that this host has reached it there. Others have dialled this host: their
    addresses are what they say.
    """

    peer_id: ID
    addrs: tuple[Multiaddr, ...]
    seen_at: float
    was_dialled: bool


class SeenPeers:
    """
    `SeenPeer` objects; times are Unix seconds.

    Those that this host has dialled come before the others, and stay longer: most of a server's
    clients cannot be dialled.
    """

    def __init__(self) -> None:
        self._peers: OrderedDict[ID, SeenPeer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def note(
        self,
        peer_id: ID,
        now: float,
        dialled: Iterable[Multiaddr] = (),
        announced: Iterable[Multiaddr] = (),
    ) -> None:
        """
        Note a connection.

        A peer without any address is not remembered: it could not be dialled.

        :param dialled: where it was dialled; these come first.
        :param announced: where it says it can be dialled; these come last.
        """
        known = self._peers.pop(peer_id, None)
        first = tuple(dialled)
        last = islice(announced, MAX_SEEN_ADDRESSES)
        addrs = dict.fromkeys([*first, *(known.addrs if known else ()), *last])
        if addrs:
            kept = tuple(addrs)[:MAX_SEEN_ADDRESSES]
            was_dialled = bool(first) or (known is not None and known.was_dialled)
            self._peers[peer_id] = SeenPeer(peer_id, kept, now, was_dialled)
        self._evict()

    def _evict(self) -> None:
        while len(self._peers) > MAX_SEEN_PEERS:
            oldest_first = self._peers.values()
            leaving = next((p for p in oldest_first if not p.was_dialled), None)
            del self._peers[next(iter(self._peers)) if leaving is None else leaving.peer_id]

    def restore(self, peers: Iterable[SeenPeer]) -> None:
        """Take in peers of an earlier run; those of this run stay the latest."""
        earlier = sorted(peers, key=lambda seen: seen.seen_at)
        merged = OrderedDict((seen.peer_id, seen) for seen in earlier)
        for peer_id, seen in self._peers.items():
            merged.pop(peer_id, None)
            merged[peer_id] = seen
        self._peers = merged
        self._evict()

    def get(self, peer_id: ID) -> SeenPeer | None:
        """Return what is remembered of a peer."""
        return self._peers.get(peer_id)

    def latest_first(self, now: float) -> list[SeenPeer]:
        """Return the peers that were connected within `SEEN_SECONDS`, the dialled ones first."""
        latest = [p for p in reversed(self._peers.values()) if p.seen_at > now - SEEN_SECONDS]
        return sorted(latest, key=lambda seen: not seen.was_dialled)
