"""
Lazy negotiation: the proposal of a protocol is sent together with the first data, and the answer is
read before the first data of the peer. It saves a round trip if the peer is known to speak the
protocol, or cannot be used if it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from libp2p.exceptions import MultiselectClientError
from libp2p.io.utils import put_back
from libp2p.protocol_muxer.negotiation import Initiator

if TYPE_CHECKING:
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.io.abc import Channel


class Proposal:
    """A proposal whose answer has not been read yet."""

    def __init__(self, protocol_id: TProtocol) -> None:
        """:raises LocalProtocolError: if ``protocol_id`` cannot be proposed."""
        self._initiator = Initiator([protocol_id])
        #: What has to be sent before any data.
        self.message = self._initiator.start()

    async def read_answer(self, channel: Channel) -> None:
        """
        Read the answer from ``channel``; bytes that the peer sent after it are put back.

        :raises MultiselectClientError: if the peer refuses, hangs up, or breaks the protocol.
        """
        while buffers := await channel.receive():
            if self._initiator.receive(buffers).protocol is not None:
                put_back(channel, self._initiator.take_leftover())
                return
        raise MultiselectClientError("the peer hung up instead of answering a proposal")


class LazyChannel:
    """A `Channel` on which a protocol is agreed lazily, for as long as a handshake takes."""

    def __init__(self, channel: Channel, protocol_id: TProtocol) -> None:
        self._channel = channel
        self._proposal: Proposal | None = Proposal(protocol_id)
        self._unsent = self._proposal.message

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write ``buffers``, the first time behind the proposal."""
        if self._unsent:
            buffers, self._unsent = [self._unsent, *buffers], b""
        await self._channel.send(buffers)

    async def receive(self) -> list[Buffer]:
        """
        Return what the peer sent after its answer; empty at the end.

        :raises MultiselectClientError: if the peer does not accept the proposal.
        """
        if self._unsent:
            await self.send(())
        if self._proposal is not None:
            await self._proposal.read_answer(self._channel)
            self._proposal = None
        return await self._channel.receive()

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back in front of what the channel below returns next."""
        self._channel.unread(data)
