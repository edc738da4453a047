"""The way to add a protocol of one's own to bitswap, by py-libp2p's name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.pb.bitswap_pb2 import Message
    from libp2p.peer.id import ID


class IBitswapExtension(ABC):
    """Sees the messages of its protocol before the client does."""

    client: BitswapClient

    def set_client(self, client: BitswapClient) -> None:
        """Learn which client this belongs to; called when it is registered."""
        self.client = client

    @abstractmethod
    async def process_message(self, peer_id: ID, msg_bytes: bytes, stream: INetStream) -> bool:
        """Take a message, undecoded; return True if the client must not see it."""

    @abstractmethod
    async def process_wantlist(
        self, wantlist: Message.Wantlist, peer_id: ID, stream: INetStream
    ) -> bool:
        """Take a message's wantlist; return True if the client must not answer it."""
