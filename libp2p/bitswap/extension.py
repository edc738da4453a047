"""The way to add a protocol of one's own to bitswap, by py-libp2p's name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from libp2p.bitswap.message_reader import MessageReader, decode
from libp2p.exceptions import MsgioException, ParseError, StreamError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.pb.bitswap_pb2 import Message
    from libp2p.peer.id import ID

logger = get_logger(__name__)


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


async def serve_extension(extension: IBitswapExtension, stream: INetStream) -> None:
    """Read a stream of an extension's protocol until it ends."""
    reader = MessageReader()
    try:
        while buffers := await stream.receive():
            for frame in reader.receive_frames(buffers):
                await _receive(extension, b"".join(frame), stream)
    except (StreamError, ParseError, MsgioException) as error:
        logger.debug("stream of %s: %s", stream.muxed_conn.peer_id, error)
        await stream.reset()
    except Exception as error:  # noqa: BLE001 - task's edge: an extension of the user's
        extension.client.faults.note("an extension", error)
        await stream.reset()


async def _receive(extension: IBitswapExtension, raw: bytes, stream: INetStream) -> None:
    from libp2p.bitswap.pb.bitswap_pb2 import Message

    peer_id = stream.muxed_conn.peer_id
    if await extension.process_message(peer_id, raw, stream):
        return
    message = decode([raw])
    if message.entries:
        wantlist = Message.FromString(raw).wantlist
        if await extension.process_wantlist(wantlist, peer_id, stream):
            message.entries.clear()
            message.full = False
    extension.client.ensure_link(peer_id)
    await extension.client.receive(peer_id, [message])
