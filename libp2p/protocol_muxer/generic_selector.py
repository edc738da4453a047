"""py-libp2p's choice among handlers by name; `Multiselect` and its client do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from libp2p.exceptions import MultiselectError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
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
        self.multiselect = Multiselect()
        self.multiselect_client = MultiselectClient()

    def add_handler(self, protocol: TProtocol, handler: T) -> None:
        """Add a handler; one that was there before becomes the last."""
        self.handlers.pop(protocol, None)
        self.handlers[protocol] = handler
        self.multiselect.add_handler(protocol, None)

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

        :raises MultiselectClientError: if this side proposes and nothing is agreed on in time.
        :raises MultiselectError: if the other side does.
        """
        communicator = MultiselectCommunicator(conn)
        protocol: TProtocol | None
        if is_initiator:
            protocol = await self.multiselect_client.select_one_of(
                self.get_protocols(), communicator, negotiate_timeout
            )
        else:
            protocol, _ = await self.multiselect.negotiate(communicator, negotiate_timeout)
        if protocol is None:
            raise MultiselectError("nothing was agreed on")
        return protocol, self.handlers[protocol]
