"""Which bootstrap peer is dialled when (sans-I/O); ``now`` is any clock's reading in seconds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from libp2p.discovery.bootstrap.config import MAX_PEERS

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.discovery.bootstrap.config import BootstrapConfig
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


@dataclass(frozen=True, slots=True)
class Failures:
    """How often in a row a peer could not be reached, and when it is dialled again."""

    count: int
    retry_at: float


class Schedule:
    """
    The peers of one host's bootstrap, in the order in which they are tried.

    A peer that does not answer waits, each time twice as long; one that is connected is left alone.
    """

    def __init__(self, own: ID, config: BootstrapConfig) -> None:
        self._own = own
        self._config = config
        self._peers: dict[ID, tuple[Multiaddr, ...]] = {}
        self._failures: dict[ID, Failures] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def offer(self, peers: Iterable[PeerInfo]) -> None:
        """Take the peers to try from now on, the first ones first; addresses are put together."""
        offered: dict[ID, dict[Multiaddr, None]] = {}
        for info in peers:
            if info.peer_id == self._own:
                continue
            if info.peer_id not in offered and len(offered) >= MAX_PEERS:
                break
            offered.setdefault(info.peer_id, {}).update(dict.fromkeys(info.addrs))
        self._peers = {peer_id: tuple(addrs) for peer_id, addrs in offered.items()}
        self._failures = {p: f for p, f in self._failures.items() if p in self._peers}

    def addresses_of(self, peer_id: ID) -> tuple[Multiaddr, ...]:
        """Return where a peer may be."""
        return self._peers.get(peer_id, ())

    def peers(self) -> list[ID]:
        """Return all peers in their order."""
        return list(self._peers)

    def next_peer(self, now: float, busy: Collection[ID]) -> ID | None:
        """Return the first peer that is due and not ``busy``: connected, or being dialled."""
        return next((p for p in self._peers if p not in busy and self._retry_at(p) <= now), None)

    def next_due(self, busy: Collection[ID]) -> float:
        """Return when a peer that is not ``busy`` is due; infinity if there is none."""
        return min((self._retry_at(p) for p in self._peers if p not in busy), default=inf)

    def succeeded(self, peer_id: ID, now: float) -> None:
        """Note that a peer answered; if it closes the connection soon, it is not dialled soon."""
        self._failures[peer_id] = Failures(0, now + self._config.retry)

    def failed(self, peer_id: ID, now: float) -> None:
        """Note that a peer could not be reached."""
        known = self._failures.get(peer_id)
        count = 1 if known is None else known.count + 1
        exponent = min(count - 1, 32)
        wait = min(self._config.retry * 2**exponent, self._config.max_retry)
        self._failures[peer_id] = Failures(count, now + wait)

    def _retry_at(self, peer_id: ID) -> float:
        failures = self._failures.get(peer_id)
        return -inf if failures is None else failures.retry_at
