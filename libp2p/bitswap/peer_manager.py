"""
py-libp2p's `BitswapPeerManager`: what each peer has delivered.

The engine does not use it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.bitswap.serve.accounts import Receipt
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

_LATENCY_WEIGHT: Final = 0.125


class Accountant(Protocol):
    """What is used of a `BitswapClient`."""

    def stat(self) -> BitswapStat:
        """Tell what has been done, and by which peers."""

    def ledger_for_peer(self, peer_id: ID) -> Receipt:
        """Return the account of a peer."""


@dataclass
class PeerStats:
    """What a peer has been asked for, and what it has sent."""

    requests_sent: int = 0
    blocks_delivered: int = 0
    bytes_delivered: int = 0
    timeouts: int = 0
    ema_latency: float = 1.0
    """Seconds to a delivery, lately; 1 for a peer that is not known."""
    asked_at: dict[CID, float] = field(default_factory=dict, repr=False)

    def record_request(self, cid: CID) -> None:
        self.requests_sent += 1
        self.asked_at[cid] = time.monotonic()

    def record_delivery(self, cid: CID, data_size: int) -> None:
        self.blocks_delivered += 1
        self.bytes_delivered += data_size
        asked_at = self.asked_at.pop(cid, None)
        if asked_at is not None:
            latency = time.monotonic() - asked_at
            self.ema_latency += _LATENCY_WEIGHT * (latency - self.ema_latency)

    def record_timeout(self, cid: CID) -> None:
        self.timeouts += 1
        self.asked_at.pop(cid, None)


class BitswapPeerManager:
    """
    Shows what peers have delivered, and what a program enters itself.

    A client's own shows the bytes of each connected peer as `BitswapClient.ledger_for_peer` has
    them; whom it asks next is decided in `want.strategy`.
    """

    def __init__(self, client: Accountant | None = None) -> None:
        self._client = client
        self._peers: dict[ID, PeerStats] = {}

    @property
    def peers(self) -> dict[ID, PeerStats]:
        """The peers that are connected or were entered."""
        peers = dict(self._peers)
        if self._client is not None:
            for peer_id in self._client.stat().peers:
                received = self._client.ledger_for_peer(peer_id).recv
                peers[peer_id] = replace(peers.get(peer_id, PeerStats()), bytes_delivered=received)
        return peers

    def record_request(self, peer_id: ID, cid: CIDInput) -> None:
        self._stats(peer_id).record_request(CID.of(cid))

    def record_delivery(self, peer_id: ID, cid: CIDInput, data_size: int) -> None:
        self._stats(peer_id).record_delivery(CID.of(cid), data_size)

    def record_timeout(self, peer_id: ID, cid: CIDInput) -> None:
        self._stats(peer_id).record_timeout(CID.of(cid))

    def remove_peer(self, peer_id: ID) -> None:
        self._peers.pop(peer_id, None)

    def get_best_peers(self, candidates: Iterable[ID], count: int) -> list[ID]:
        """Return the ``count`` candidates that deliver most of what is asked, soonest."""
        peers = self.peers

        def merit(peer_id: ID) -> tuple[float, int]:
            stats = peers.get(peer_id, PeerStats())
            asked = stats.requests_sent
            delivered = stats.blocks_delivered / asked if asked else 0.5
            return delivered / max(stats.ema_latency, 0.001), stats.bytes_delivered

        return sorted(candidates, key=merit, reverse=True)[:count]

    def _stats(self, peer_id: ID) -> PeerStats:
        return self._peers.setdefault(peer_id, PeerStats())
