"""
Peers that several routers have found, without duplicates (sans-I/O).

Each peer is given once, as soon as it is known; once more when somebody else knows addresses of it
that were not known then. Nothing here waits for a slow router to make an answer more complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import first_few
from libp2p.peer.addresses import text_of
from libp2p.peer.peerinfo import PeerInfo

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.peer.id import ID

#: Addresses kept of one peer in one search. Kubo announces 20 or so; a hostile router names more,
#: and each would be dialled.
MAX_ADDRESSES_PER_PEER: Final = 64

#: Peers that one search gives, of all routers together. Nobody dials more for one block.
MAX_PEERS_FOUND: Final = 1000


class FoundPeer(PeerInfo):
    """
    A peer that a router has found, with what else the router said of it.

    ``protocols`` are transfer protocols, such as ``transport-bitswap``; none means that the router
    did not say. ``urls`` are ``https://`` addresses, as the router gave them.
    """

    __slots__ = ("protocols", "urls")

    def __init__(
        self,
        peer_id: ID,
        addrs: Sequence[Multiaddr],
        protocols: Iterable[str] = (),
        urls: Iterable[str] = (),
    ) -> None:
        super().__init__(peer_id, addrs)
        self.protocols = tuple(protocols)
        self.urls = tuple(urls)

    def __repr__(self) -> str:
        return f"FoundPeer({self.peer_id}, [{first_few([*map(text_of, self.addrs), *self.urls])}])"


class FoundPeers:
    """What one search has found so far, and what of it has not been given yet."""

    def __init__(self, limit: int = 0) -> None:
        """:param limit: peers at most; 0 is as many as one search may find."""
        self._limit = min(limit or MAX_PEERS_FOUND, MAX_PEERS_FOUND)
        self._peers: dict[ID, FoundPeer] = {}
        self._ready: dict[ID, None] = {}

    def __len__(self) -> int:
        """Return how many peers are known."""
        return len(self._peers)

    @property
    def is_complete(self) -> bool:
        """True when as many peers have been given as were asked for."""
        return len(self._peers) >= self._limit and not self._ready

    def add(self, info: PeerInfo) -> bool:
        """Note a peer; return whether it, or an address of it, was not known."""
        known = self._peers.get(info.peer_id)
        if known is None and len(self._peers) >= self._limit:
            return False
        united = _united(known, info)
        if known is not None and (len(united.addrs), len(united.urls)) == (
            len(known.addrs),
            len(known.urls),
        ):
            return False
        self._peers[info.peer_id] = united
        self._ready[info.peer_id] = None
        return True

    def take(self) -> FoundPeer | None:
        """Return the next peer to give, with all that is known of it; None if there is none now."""
        for peer_id in self._ready:
            del self._ready[peer_id]
            return self._peers[peer_id]
        return None


def _united(known: FoundPeer | None, info: PeerInfo) -> FoundPeer:
    earlier = known or FoundPeer(info.peer_id, [])
    addrs = list(dict.fromkeys([*earlier.addrs, *info.addrs]))
    protocols = urls = ()
    if isinstance(info, FoundPeer):
        protocols, urls = info.protocols, info.urls  # type: ignore[assignment]  # of any length
    return FoundPeer(
        info.peer_id,
        addrs[:MAX_ADDRESSES_PER_PEER],
        dict.fromkeys([*earlier.protocols, *protocols]),
        list(dict.fromkeys([*earlier.urls, *urls]))[:MAX_ADDRESSES_PER_PEER],
    )
