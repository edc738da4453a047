"""
Streams that peers open: agree on a protocol, then start its handler.

A peer may open a stream for each message, as Kubo does. So the negotiation has no task and no
cancel scope of its own: it runs in the connection's read loop, which has the bytes. A handler's
task is started when the protocol is agreed on. A `StreamAcceptor` needs none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import BaseLibp2pError, MultiselectError
from libp2p.io.utils import put_back
from libp2p.io.waiter import Waiter
from libp2p.protocol_muxer.negotiation import Responder
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream, StreamHandlerFn
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.network.connection.swarm_connection import StartHandler
    from libp2p.network.stream.net_stream import NetStream

logger = get_logger(__name__)


class StreamAcceptor(ABC):
    """A stream handler that can do without a task for each stream."""

    @abstractmethod
    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        """
        Take over a stream, for good; ``buffers`` have been read from it.

        This runs in the connection's read loop, as the callbacks of `NetStream.on_readable` do:
        neither may raise or take long.
        """

    @abstractmethod
    async def __call__(self, stream: INetStream) -> None:
        """Serve a stream in the caller's task, for hosts that have only that."""


class InboundNegotiations:
    """The streams that peers have opened and on which no protocol is agreed yet."""

    def __init__(
        self, handlers: Mapping[TProtocol, StreamHandlerFn | None], timeout: float
    ) -> None:
        """
        :param handlers: the handler of each protocol; it may change at any time.
        :param timeout: seconds that a peer has for the negotiation.
        """
        self.handlers = handlers
        self._timeout = timeout
        # Each with its deadline. All have the same timeout, so the first one ends first.
        self._pending: dict[_Negotiation, float] = {}
        self._added = Waiter()

    def add(self, stream: NetStream, start: StartHandler) -> None:
        """
        Agree on a protocol with the peer that opened a stream, and give it to its handler.

        :param start: runs a handler as a task of the stream's connection.
        """
        negotiation = _Negotiation(self, stream, start)
        if not self._pending:
            self._added.wake()
        self._pending[negotiation] = trio.current_time() + self._timeout
        stream.on_readable(negotiation.on_readable)

    def remove(self, negotiation: _Negotiation) -> None:
        """A negotiation has ended."""
        self._pending.pop(negotiation, None)

    async def run(self) -> None:
        """Give up on peers that are too slow."""
        while True:
            if not self._pending:
                await self._added.wait()
            # It sleeps on when the first one has agreed: else each stream would wake this task.
            latest = trio.current_time() + self._timeout
            await trio.sleep_until(next(iter(self._pending.values()), latest))
            now = trio.current_time()
            for negotiation, deadline in list(self._pending.items()):
                if deadline > now:
                    break
                with fault_barrier(partial(logger.error, "%r cannot be ended: %r", negotiation)):
                    negotiation.fail(MultiselectError("the peer agreed on no protocol in time"))


class _Negotiation:
    """The answering side of multistream-select on one stream."""

    __slots__ = ("_owner", "_responder", "_start", "_stream", "_unsent")

    def __init__(self, owner: InboundNegotiations, stream: NetStream, start: StartHandler) -> None:
        self._owner = owner
        self._stream = stream
        self._start = start
        self._responder = Responder(owner.handlers)
        # Initiators speak first, so the header can share a frame with the first answer.
        self._unsent = self._responder.start()

    def on_readable(self) -> None:
        """Go on with the bytes that have come."""
        try:
            buffers = self._stream.receive_nowait()
            if buffers is None:
                return
            if not buffers:
                raise MultiselectError("the peer hung up before it agreed on a protocol")
            agreed = self._negotiate(buffers)
        except BaseLibp2pError as error:
            self.fail(error)
            return
        if agreed is not None:
            self._end()
            self._hand_over(*agreed)

    def _negotiate(self, buffers: list[Buffer]) -> tuple[TProtocol, list[Buffer]] | None:
        """Answer the peer; return the protocol agreed on, if there is one, and what follows it."""
        # Buffer by buffer, for a whole block may follow.
        for count, buffer in enumerate(buffers, 1):
            to_send, protocol = self._responder.receive((buffer,))
            if unsent := self._unsent + to_send:
                # The answer goes out with the first data: else a peer that opens a stream for each
                # message would cost a packet for each answer.
                self._stream.muxed_stream.queue(unsent)
                self._unsent = b""
            if protocol is not None:
                return protocol, self._responder.take_leftover() + buffers[count:]
        return None

    def _hand_over(self, protocol: TProtocol, leftover: list[Buffer]) -> None:
        stream = self._stream
        stream.set_protocol(protocol)
        logger.debug("%r opened by the peer", stream)
        handler = self._owner.handlers[protocol]
        if isinstance(handler, StreamAcceptor):
            handler.accept(stream, leftover)
        elif handler is not None:
            put_back(stream, leftover)
            self._start(handler, stream)
        else:
            stream.abort()

    def fail(self, error: BaseLibp2pError) -> None:
        """Reset the stream; a peer that hangs up is normal life."""
        logger.debug("%r: %s", self._stream, error)
        self._owner.remove(self)
        self._stream.on_readable(None)
        self._stream.abort()

    def _end(self) -> None:
        self._stream.on_readable(None)
        self._owner.remove(self)
