"""
multistream-select one message at a time, as py-libp2p's `MultiselectCommunicator` does it.

The negotiations of this library work on whole channels (`select_one`, `respond`); this module is
the bridge for code that brings its own communicator, or a stream with `read` and `write` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from libp2p.abc import IMultiselectCommunicator
from libp2p.exceptions import IOException, LocalProtocolError, MultiselectCommunicatorError
from libp2p.io.utils import put_back
from libp2p.protocol_muxer.negotiation import MessageReader, encode_message

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.io.abc import Channel, ReadWriter


#: What `Multiselect` and `MultiselectClient` negotiate over.
Negotiable: TypeAlias = "Channel | IMultiselectCommunicator"


def channel_of(negotiable: Negotiable) -> Channel:
    """Return the channel that ``negotiable`` is or stands for."""
    if isinstance(negotiable, MultiselectCommunicator):
        return negotiable.channel
    if isinstance(negotiable, IMultiselectCommunicator):
        return _MessageChannel(negotiable)
    return negotiable


def _channel_over(stream: Channel | ReadWriter) -> Channel:
    if hasattr(stream, "receive") and hasattr(stream, "unread"):
        return cast("Channel", stream)
    return _ByteChannel(stream)


class MultiselectCommunicator(IMultiselectCommunicator):
    """Whole messages over a channel or stream; never keeps a byte that follows a message."""

    def __init__(self, read_writer: Channel | ReadWriter) -> None:
        self.read_writer = read_writer
        self.channel = _channel_over(read_writer)

    async def read(self) -> str:
        """
        Return the next message without its line feed.

        :raises MultiselectCommunicatorError: if the channel fails or ends first.
        """
        reader = MessageReader()
        try:
            while (message := reader.next_message()) is None:
                buffers = await self.channel.receive()
                if not buffers:
                    raise MultiselectCommunicatorError("peer hung up during the negotiation")
                reader.feed(buffers)
        except IOException as error:
            raise MultiselectCommunicatorError(f"no message could be read: {error}") from error
        put_back(self.channel, reader.take_leftover())
        return message

    async def write(self, msg_str: str) -> None:
        """
        Send one message.

        :raises MultiselectCommunicatorError: if the channel fails.
        """
        try:
            await self.channel.send([encode_message(msg_str)])
        except IOException as error:
            raise MultiselectCommunicatorError(f"{msg_str!r} was not sent: {error}") from error


class _ByteChannel:
    """A stream without `unread`, read byte by byte so that nothing need be put back."""

    def __init__(self, stream: ReadWriter) -> None:
        self._stream = stream

    async def receive(self) -> list[Buffer]:
        byte = await self._stream.read(1)
        return [byte] if byte else []

    def unread(self, data: Buffer) -> None:
        raise LocalProtocolError(f"{len(data)} bytes cannot be put back into this stream")

    async def send(self, buffers: Sequence[Buffer]) -> None:
        await self._stream.write(b"".join(buffers))


class _MessageChannel:
    """A foreign communicator, seen as a channel that carries one message at a time."""

    def __init__(self, communicator: IMultiselectCommunicator) -> None:
        self._communicator = communicator
        self._outgoing = MessageReader()

    async def receive(self) -> list[Buffer]:
        return [encode_message(await self._communicator.read())]

    def unread(self, data: Buffer) -> None:
        raise LocalProtocolError(f"{len(data)} bytes cannot be put back into a communicator")

    async def send(self, buffers: Sequence[Buffer]) -> None:
        self._outgoing.feed(buffers)
        while (message := self._outgoing.next_message()) is not None:
            await self._communicator.write(message)
