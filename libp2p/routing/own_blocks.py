"""This host as a router: it knows that it has the blocks of its own store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

from libp2p.ipld.cid import CID
from libp2p.utils import arguments

if TYPE_CHECKING:
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo


class OwnBlocks:
    """
    Names this host for every block that it has; a `ContentRouter` and a `PeerRouter`.

    For a routing server: whoever asks it finds what this host has, with no announcement.

    :param own_info: returns this host's peer id and the addresses that others reach it at.
    :param has_block: tells whether a block is in the store.
    """

    def __init__(
        self, own_info: Callable[[], PeerInfo], has_block: Callable[[CID], Awaitable[bool]]
    ) -> None:
        self._own_info = arguments.function(own_info, "own_info")
        self._has_block = arguments.async_function(has_block, "has_block")

    async def find_provider_iter(
        self, cid: bytes, count: int = 0
    ) -> AsyncGenerator[PeerInfo, None]:
        """Return this host if it has the block."""
        if await self._has_block(CID.of(cid)):
            yield self._own_info()

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        """Return False: nobody is told."""
        return False

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """Return the addresses of this host."""
        info: PeerInfo = self._own_info()
        return info if info.peer_id == peer_id and info.addrs else None
