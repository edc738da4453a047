"""
The proposing side of multistream-select over a channel.

`select_one` is what this library uses; `MultiselectClient` is py-libp2p's class over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import IMultiselectClient
from libp2p.exceptions import (
    MultiselectClientError,
    MultiselectCommunicatorError,
    ProtocolNotSupportedError,
)
from libp2p.io.utils import put_back
from libp2p.protocol_muxer.multiselect_communicator import channel_of
from libp2p.protocol_muxer.negotiation import HEADER, NOT_AVAILABLE, Initiator

if TYPE_CHECKING:
    from libp2p.abc import IMultiselectCommunicator
    from libp2p.base_types import TProtocol
    from libp2p.io.abc import Channel
    from libp2p.protocol_muxer.multiselect_communicator import Negotiable

MULTISELECT_PROTOCOL_ID: Final = HEADER
PROTOCOL_NOT_FOUND_MSG: Final = NOT_AVAILABLE


async def select_one(channel: Channel, protocols: Sequence[TProtocol]) -> TProtocol:
    """
    Agree on one of ``protocols``, proposed in this order; the deadline is the caller's.

    Bytes that the peer sent after it had agreed are put back into ``channel``.

    :raises ProtocolNotSupportedError: if the peer refuses all of them.
    :raises MultiselectClientError: if it hangs up first, or as `NegotiationError` if it breaks
        the protocol.
    """
    initiator = Initiator(protocols)
    await channel.send([initiator.start()])
    while buffers := await channel.receive():
        to_send, protocol = initiator.receive(buffers)
        if to_send:
            await channel.send([to_send])
        if protocol is not None:
            put_back(channel, initiator.take_leftover())
            return protocol
    raise MultiselectClientError(f"peer hung up when asked for {', '.join(protocols)}")


class MultiselectClient(IMultiselectClient):
    """py-libp2p's proposing side: as a whole (`select_one_of`) or message by message."""

    async def handshake(self, communicator: IMultiselectCommunicator) -> None:
        """
        Exchange headers.

        :raises MultiselectClientError: if the peer speaks something else.
        """
        answer = await _ask(communicator, HEADER)
        if answer != HEADER:
            raise MultiselectClientError(f"peer speaks {answer!r}, not {HEADER}")

    async def select_one_of(
        self,
        protocols: Sequence[TProtocol],
        communicator: Negotiable,
        negotiate_timeout: float | None = None,
    ) -> TProtocol:
        """
        Agree on one of ``protocols``; see `select_one`.

        :param negotiate_timeout: seconds for the whole negotiation; None leaves the deadline to
            the caller's cancel scope.
        """
        if negotiate_timeout is None:
            return await self._select(protocols, communicator)
        with trio.move_on_after(negotiate_timeout):
            return await self._select(protocols, communicator)
        raise MultiselectClientError(f"response timed out: nothing within {negotiate_timeout} s")

    async def try_select(
        self, communicator: IMultiselectCommunicator, protocol: TProtocol
    ) -> TProtocol:
        """
        Propose ``protocol``, after `handshake`.

        :raises ProtocolNotSupportedError: if the peer refuses it.
        """
        answer = await _ask(communicator, protocol)
        if answer == protocol:
            return protocol
        if answer == NOT_AVAILABLE:
            raise ProtocolNotSupportedError(f"peer does not support {protocol}")
        raise MultiselectClientError(f"peer answered {answer!r} to the proposal {protocol!r}")

    async def _select(self, protocols: Sequence[TProtocol], communicator: Negotiable) -> TProtocol:
        try:
            return await select_one(channel_of(communicator), protocols)
        except MultiselectCommunicatorError as error:
            raise MultiselectClientError(str(error)) from error


async def _ask(communicator: IMultiselectCommunicator, message: str) -> str:
    """Send ``message`` and return the answer."""
    try:
        await communicator.write(message)
        return await communicator.read()
    except MultiselectCommunicatorError as error:
        raise MultiselectClientError(str(error)) from error
