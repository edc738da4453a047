"""
py-libp2p's `BlockPresenceManager`: which peer has which block.

The engine does not use it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from libp2p.bitswap.errors import PeerAnswer
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.bitswap.cid import CIDObject
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID


class Asker(Protocol):
    """The part of a `BitswapClient` that is used."""

    def get_wantlist(self) -> list[CID]:
        """Return the CIDs that are wanted."""

    def answers_for(self, cid: CIDInput) -> Mapping[ID, PeerAnswer]:
        """Return what peers have answered about a block that is wanted."""


class BlockPresenceManager:
    """
    Shows what peers have said about having blocks, and what a program enters itself.

    What peers said is known to `BitswapClient.answers_for`, for as long as the block is wanted; it
    cannot be removed here. What a program enters stays for ``ttl_seconds``.
    """

    def __init__(self, ttl_seconds: float = 60.0, client: Asker | None = None) -> None:
        self.ttl = ttl_seconds
        self._client = client
        self._entered: dict[tuple[ID, CID, PeerAnswer], float] = {}  # the oldest first

    def add_have(self, peer_id: ID, cid: CIDInput) -> None:
        self._enter(peer_id, CID.of(cid), PeerAnswer.HAVE)

    def add_dont_have(self, peer_id: ID, cid: CIDInput) -> None:
        self._enter(peer_id, CID.of(cid), PeerAnswer.DONT_HAVE)

    def remove_have(self, peer_id: ID, cid: CIDInput) -> None:
        self._entered.pop((peer_id, CID.of(cid), PeerAnswer.HAVE), None)

    def remove_dont_have(self, cid: CIDInput) -> None:
        self._remove_all(CID.of(cid), PeerAnswer.DONT_HAVE)

    def remove_have_from_all(self, cid: CIDInput) -> None:
        self._remove_all(CID.of(cid), PeerAnswer.HAVE)

    def remove_peer(self, peer_id: ID) -> None:
        for entry in [entry for entry in self._entered if entry[0] == peer_id]:
            del self._entered[entry]

    def get_expected_peers(self, cid: CIDInput) -> set[ID]:
        """Return the peers that have said HAVE."""
        return self._peers(CID.of(cid), PeerAnswer.HAVE)

    def get_dont_have_peers(self, cid: CIDInput) -> set[ID]:
        """Return the peers that have said DONT_HAVE."""
        return self._peers(CID.of(cid), PeerAnswer.DONT_HAVE)

    def get_expected_cids_for_peer(self, peer_id: ID) -> set[CIDObject]:
        """Return the blocks that a peer has said HAVE of."""
        wanted = self._client.get_wantlist() if self._client else []
        cids = {cid for peer, cid, said in self._entered if peer == peer_id and _is_have(said)}
        cids |= {cid for cid in wanted if peer_id in self._peers(cid, PeerAnswer.HAVE)}
        return {cid.to_py_cid() for cid in cids}

    get_expected_for_peer = get_expected_cids_for_peer

    def cleanup_expired(self) -> None:
        """Forget what was entered too long ago."""
        oldest = time.monotonic() - self.ttl
        for entry, entered_at in list(self._entered.items()):
            if entered_at >= oldest:
                break
            del self._entered[entry]

    def _enter(self, peer_id: ID, cid: CID, said: PeerAnswer) -> None:
        self.cleanup_expired()
        self._entered.pop((peer_id, cid, said), None)
        self._entered[peer_id, cid, said] = time.monotonic()

    def _remove_all(self, cid: CID, said: PeerAnswer) -> None:
        for entry in [entry for entry in self._entered if entry[1:] == (cid, said)]:
            del self._entered[entry]

    def _peers(self, cid: CID, said: PeerAnswer) -> set[ID]:
        answers = self._client.answers_for(cid) if self._client else {}
        peers = {peer for peer, answer in answers.items() if answer is said}
        return peers | {entry[0] for entry in self._entered if entry[1:] == (cid, said)}


def _is_have(said: PeerAnswer) -> bool:
    return said is PeerAnswer.HAVE
