"""A network for the sweep: peers with true closest ones, and what they have been sent."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import sha256

from libp2p.kad_dht.keyspace import KEY_BITS, key_of, key_of_peer
from libp2p.peer.id import ID

WHOLE_SPACE = 1 << KEY_BITS


def multihash_number(number: int) -> bytes:
    """Return a multihash that is as good as any."""
    return b"\x12\x20" + sha256(b"content %d" % number).digest()


def peer_number(number: int) -> ID:
    """Return a peer id that is as good as any."""
    return ID(b"\x12\x20" + sha256(b"peer %d" % number).digest())


class ModelNetwork:
    """
    Peers without routing tables: a lookup returns those that are closest indeed.

    :param peers: how many.
    """

    def __init__(self, peers: int, k: int = 20) -> None:
        self.k = k
        self.lookups = 0
        self.sends = 0
        self.records: dict[ID, set[bytes]] = {}
        self.dead: set[ID] = set()
        ids = map(peer_number, range(peers))
        self._peers = sorted((key_of_peer(peer), peer) for peer in ids)
        self._keys = [key for key, _ in self._peers]

    def closest(self, multihash: bytes) -> list[ID]:
        """Return the closest living peers of a key, the closest first."""
        key = key_of(multihash)
        wanted = self.k + len(self.dead)
        # The longest prefix of the key that enough peers have.
        low, high, shift = 0, len(self._keys), KEY_BITS
        while shift:
            start = key >> (shift - 1) << (shift - 1)
            inside = (
                bisect_left(self._keys, start, low, high),
                bisect_left(self._keys, start + (1 << (shift - 1)), low, high),
            )
            if inside[1] - inside[0] < wanted:
                break
            (low, high), shift = inside, shift - 1
        near = sorted(self._peers[low:high], key=lambda peer: peer[0] ^ key)
        return [peer for _, peer in near if peer not in self.dead][: self.k]

    def lookup(self, multihash: bytes) -> list[ID]:
        """Do the same, and count it."""
        self.lookups += 1
        return self.closest(multihash)

    def send(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        """Hand records to a peer."""
        self.sends += 1
        if peer in self.dead:
            return 0
        self.records.setdefault(peer, set()).update(multihashes)
        return len(multihashes)

    def placed(self, multihash: bytes) -> float:
        """Return which part of the true closest peers of a key have its record."""
        closest = self.closest(multihash)
        return sum(multihash in self.records.get(peer, ()) for peer in closest) / len(closest)
