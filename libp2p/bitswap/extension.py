"""The way to add a protocol of one's own to bitswap, by py-libp2p's name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.config import UNFINISHED_SECONDS
from libp2p.bitswap.wire.decode import MessageReader, decode
from libp2p.exceptions import MsgioException, ParseError, StreamError
from libp2p.hostile_input import refused_as
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
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
    """
    Read a stream of an extension's protocol until it ends.

    What an unfinished message holds is in the budget of all of them. A stream that brings nothing
    for `UNFINISHED_SECONDS` while one is unfinished is reset.
    """
    reader = MessageReader()
    unfinished = extension.client.reception.unfinished

    def cut() -> None:
        held.release(held.held)
        cut_off.cancel()

    try:
        with (
            trio.CancelScope() as cut_off,
            unfinished.open(str(stream.muxed_conn.peer_id), cut=cut) as held,
        ):
            while buffers := await _receive(stream, reader):
                frames = reader.receive_frames(buffers)
                held.hold(reader.buffered - held.held)
                for frame in frames:
                    await _process(extension, b"".join(frame), stream)
            return
        logger.debug("%r holds too much of unfinished messages", stream)
    except trio.TooSlowError:
        logger.debug("%r does not finish a message", stream)
    except (StreamError, ParseError, MsgioException) as error:
        logger.debug("%r: %s", stream, error)
    except Exception as error:  # noqa: BLE001 - task's edge: an extension of the user's
        extension.client.faults.note("an extension", error)
    await stream.reset()


async def _receive(stream: INetStream, reader: MessageReader) -> list[Buffer]:
    with trio.fail_after(inf if reader.at_boundary else UNFINISHED_SECONDS):
        return await stream.receive()


async def _process(extension: IBitswapExtension, raw: bytes, stream: INetStream) -> None:
    from libp2p.bitswap.pb.bitswap_pb2 import Message

    peer_id = stream.muxed_conn.peer_id
    if await extension.process_message(peer_id, raw, stream):
        return
    message = decode([raw])
    if message.entries:
        with refused_as(ParseError, "a bitswap message"):
            wantlist = Message.FromString(raw).wantlist
        if await extension.process_wantlist(wantlist, peer_id, stream):
            message.entries.clear()
            message.full = False
    extension.client.ensure_link(peer_id)
    await extension.client.receive(peer_id, [message])
