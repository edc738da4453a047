"""py-libp2p's choice among handlers by name; `select_one` and `respond` do it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from libp2p.exceptions import MultiselectError
from libp2p.protocol_muxer.multiselect import respond
from libp2p.protocol_muxer.multiselect_client import select_one
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

if TYPE_CHECKING:
    from libp2p.base_types import TProtocol
    from libp2p.io.abc import ReadWriter

T = TypeVar("T")

#: Seconds for a negotiation: py-libp2p's.
DEFAULT_NEGOTIATE_TIMEOUT: Final = 30


class GenericMultistreamSelector(Generic[T]):
    """Handlers of any kind, such as secure transports, by the names of their protocols."""

    def __init__(self) -> None:
        self.handlers: dict[TProtocol, T] = {}

    def add_handler(self, protocol: TProtocol, handler: T) -> None:
        """Add a handler; one that was there before becomes the last."""
        self.handlers.pop(protocol, None)
        self.handlers[protocol] = handler

    def get_protocols(self) -> list[TProtocol]:
        """Return the names, in the order in which they are proposed."""
        return list(self.handlers)

    async def select(
        self,
        conn: ReadWriter,
        is_initiator: bool,
        negotiate_timeout: float = DEFAULT_NEGOTIATE_TIMEOUT,
    ) -> tuple[TProtocol, T]:
        """
        Agree with the other end on a protocol; return it with its handler.

        :raises MultiselectClientError: if this side proposes and nothing is agreed on.
        :raises MultiselectError: if the other side does, or the time is over.
        """
        channel = MultiselectCommunicator(conn).channel
        with trio.move_on_after(negotiate_timeout):
            if is_initiator:
                protocol = await select_one(channel, self.get_protocols())
            else:
                protocol = await respond(channel, self.handlers)
            return protocol, self.handlers[protocol]
        raise MultiselectError(f"nothing was agreed on within {negotiate_timeout} s")
