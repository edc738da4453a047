"""
What a router can be asked; each kind of question is a protocol of its own.

A class may answer one kind or several: a DHT answers all of them. The library's own routers and
those of users are asked in the same way. A router that knows nothing returns nothing; it raises
`RoutingError` when it could not be asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


@runtime_checkable
class ContentRouter(Protocol):
    """Knows who has a block: a DHT, an indexer, a list."""

    def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        """
        Return the peers that have said that they have a block, as they are found.

        The caller closes the iterator (``aclose``) when it has enough; that ends the search.

        :param cid: in binary form; records are kept by its multihash.
        :param count: providers at most; 0 is as many as there are.
        :raises RoutingError: if nobody could be asked.
        """

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        """
        Record that this host has a block; return whether others have been told.

        :param cid: in binary form.
        :param announce: tell others too, rather than only note it here.
        :raises RoutingError: if nobody could be asked.
        """


@runtime_checkable
class PeerRouter(Protocol):
    """Knows the addresses of peers."""

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """
        Return the addresses of a peer, None if nobody knows any.

        :raises RoutingError: if nobody could be asked.
        """


@runtime_checkable
class ValueRouter(Protocol):
    """Keeps small records by keys, such as ``/ipns/`` and a name's multihash."""

    async def put_value(self, key: bytes, value: bytes) -> None:
        """
        Store a record where others find it.

        :raises RoutingError: if nobody took it.
        """

    async def get_value(self, key: bytes) -> bytes | None:
        """
        Return the best record of a key, None if there is none.

        :raises RoutingError: if nobody could be asked.
        """

    def search_value(self, key: bytes) -> AsyncIterator[bytes]:
        """
        Return records of a key as they are found, each better than the one before.

        :raises RoutingError: if nobody could be asked.
        """
