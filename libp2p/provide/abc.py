"""What announcing needs of a router, and where it gets its keys from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


@runtime_checkable
class Sweepable(Protocol):
    """
    A router that shows which peers keep records, and hands them many at once: a DHT.

    With any other `libp2p.routing.abc.ContentRouter` each key is announced by itself.
    """

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """
        Return the 20 peers of the network that are closest to a key, of those that answer.

        :param key: the place is its SHA-256.
        :raises RoutingError: if nobody could be asked.
        """

    async def send_provider_records(self, peer: ID, multihashes: Sequence[bytes]) -> int:
        """
        Tell a peer that this host has blocks; return how many it was told, in their order.

        :raises BaseLibp2pError: if it could not be told any.
        """


@runtime_checkable
class KeySource(Protocol):
    """Knows what is to be announced regularly; it is read from time to time."""

    def multihashes(self) -> AsyncIterator[Sequence[bytes]]:
        """Return the multihashes in batches; they need not be in memory all at once."""


@runtime_checkable
class Pins(Protocol):
    """Knows what is to stay here. CIDs are in binary form, in batches."""

    def recursive(self) -> AsyncIterator[Sequence[bytes]]:
        """Return the roots that are to stay with all that is below them."""

    def direct(self) -> AsyncIterator[Sequence[bytes]]:
        """Return the blocks that are to stay by themselves."""
