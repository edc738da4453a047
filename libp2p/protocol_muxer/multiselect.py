"""
The answering side of multistream-select over a channel, and the registry of stream handlers.

`respond` is what this library uses where there is no handler to look up; `Multiselect` is
py-libp2p's class over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import IMultiselectMuxer
from libp2p.exceptions import MultiselectCommunicatorError, MultiselectError
from libp2p.io.utils import put_back
from libp2p.protocol_muxer.multiselect_communicator import channel_of
from libp2p.protocol_muxer.negotiation import HEADER, NOT_AVAILABLE, Responder

if TYPE_CHECKING:
    from libp2p.abc import IMultiselectCommunicator, StreamHandlerFn
    from libp2p.base_types import TProtocol
    from libp2p.io.abc import Channel
    from libp2p.protocol_muxer.multiselect_communicator import Negotiable
    from libp2p.protocol_muxer.negotiation import Supported

MULTISELECT_PROTOCOL_ID: Final = HEADER
PROTOCOL_NOT_FOUND_MSG: Final = NOT_AVAILABLE


async def respond(channel: Channel, supported: Supported) -> TProtocol:
    """
    Accept the first proposal that is ``supported``; the deadline is the caller's.

    Bytes that the peer sent after that proposal are put back into ``channel``.

    :raises MultiselectError: if the peer hangs up first, or as `NegotiationError` if it breaks
        the protocol.
    """
    responder = Responder(supported)
    # Initiators speak first, so the header can share a buffer with the first answer.
    unsent = responder.start()
    while buffers := await channel.receive():
        to_send, protocol = responder.receive(buffers)
        if unsent or to_send:
            await channel.send([unsent + to_send])
            unsent = b""
        if protocol is not None:
            put_back(channel, responder.take_leftover())
            return protocol
    raise MultiselectError("peer hung up before it proposed a protocol that is supported")


class Multiselect(IMultiselectMuxer):
    """The protocols that this side accepts, and their handlers."""

    def __init__(
        self, default_handlers: Mapping[TProtocol, StreamHandlerFn | None] | None = None
    ) -> None:
        self.handlers: dict[TProtocol, StreamHandlerFn | None] = dict(default_handlers or {})

    def add_handler(self, protocol: TProtocol, handler: StreamHandlerFn | None) -> None:
        """Accept ``protocol`` from now on."""
        self.handlers[protocol] = handler

    def remove_handler(self, protocol: TProtocol) -> None:
        """Refuse ``protocol`` from now on."""
        self.handlers.pop(protocol, None)

    def get_protocols(self) -> tuple[TProtocol, ...]:
        """Return what is accepted, in the order in which it was added."""
        return tuple(self.handlers)

    async def handshake(self, communicator: IMultiselectCommunicator) -> None:
        """
        Exchange headers.

        :raises MultiselectError: if the peer speaks something else.
        """
        try:
            await communicator.write(HEADER)
            header = await communicator.read()
        except MultiselectCommunicatorError as error:
            raise MultiselectError(str(error)) from error
        if header != HEADER:
            raise MultiselectError(f"peer speaks {header!r}, not {HEADER}")

    async def negotiate(
        self, communicator: Negotiable, negotiate_timeout: float | None = None
    ) -> tuple[TProtocol, StreamHandlerFn | None]:
        """
        Accept a protocol and return it with its handler; see `respond`.

        :param communicator: the stream itself, or py-libp2p's communicator around one.
        :param negotiate_timeout: seconds for the whole negotiation; None leaves the deadline to
            the caller's cancel scope.
        """
        if negotiate_timeout is None:
            return await self._negotiate(communicator)
        with trio.move_on_after(negotiate_timeout):
            return await self._negotiate(communicator)
        raise MultiselectError(f"handshake read timeout: nothing within {negotiate_timeout} s")

    async def _negotiate(
        self, communicator: Negotiable
    ) -> tuple[TProtocol, StreamHandlerFn | None]:
        try:
            protocol = await respond(channel_of(communicator), self.handlers)
        except MultiselectCommunicatorError as error:
            raise MultiselectError(str(error)) from error
        return protocol, self.handlers.get(protocol)
