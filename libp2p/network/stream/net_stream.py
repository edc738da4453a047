"""A muxed stream with the protocol that was agreed on for it: what handlers get."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from libp2p.abc import INetStream
from libp2p.exceptions import MultiselectClientError, StreamReset
from libp2p.protocol_muxer.lazy import Proposal
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from libp2p.base_types import Buffer, TProtocol
    from libp2p.peer.id import ID
    from libp2p.transport.abc import MuxedConnection, MuxedStream

logger = get_logger(__name__)

#: More than any stream has at hand.
_EVERYTHING: Final = 2**63


class NetStream(INetStream):
    """
    A stream to a peer.

    It adds the protocol id to a `MuxedStream`; the methods of `YamuxStream` say what is raised
    when.
    """

    def __init__(self, muxed_stream: MuxedStream) -> None:
        self.muxed_stream = muxed_stream
        self.muxed_conn: MuxedConnection = muxed_stream.muxed_conn  # type: ignore[assignment]
        self._protocol: TProtocol | None = None
        # The proposal that was sent and whose answer has not been read yet.
        self._proposed: Proposal | None = None

    @property
    def remote_peer_id(self) -> ID:
        """The peer at the other end."""
        return self.muxed_conn.peer_id

    def get_protocol(self) -> TProtocol | None:
        """Return the protocol agreed on; None before that."""
        return self._protocol

    def set_protocol(self, protocol_id: TProtocol) -> None:
        """Record the protocol agreed on."""
        self._protocol = protocol_id

    def propose(self, protocol_id: TProtocol) -> None:
        """
        Agree on a protocol lazily: the proposal goes out with the first data, unanswered.

        For a protocol that the peer is known to speak; saves a round trip. The answer is read
        before the first data is.
        """
        self._proposed = Proposal(protocol_id)
        self._protocol = protocol_id
        self.muxed_stream.queue(self._proposed.message)

    async def _read_answer(self, proposed: Proposal) -> None:
        """
        Read the answer to the proposal.

        :raises StreamReset: if the peer refused, with the `MultiselectClientError` as its cause.
        """
        try:
            await proposed.read_answer(self.muxed_stream)
            self._proposed = None
        except MultiselectClientError as error:
            await self.reset()
            raise StreamReset(f"{self._protocol} was not agreed on: {error}") from error

    def receive(self) -> Coroutine[object, object, list[Buffer]]:
        """Return all bytes at hand, unjoined, waiting for at least one; empty at the end."""
        # No coroutine of its own: a host has thousands of streams that wait here.
        return self.muxed_stream.receive() if self._proposed is None else self._receive_answer()

    async def _receive_answer(self) -> list[Buffer]:
        if self._proposed is not None:
            await self._read_answer(self._proposed)
        return await self.muxed_stream.receive()

    def receive_nowait(self, limit: int = _EVERYTHING) -> list[Buffer] | None:
        """Return what is at hand, once the peer has agreed on the protocol; see `YamuxStream`."""
        return self.muxed_stream.receive_nowait(limit)

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """Be called back, in the connection's read loop; see `YamuxStream.on_readable`."""
        self.muxed_stream.on_readable(callback)

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: it is what the next read returns."""
        self.muxed_stream.unread(data)

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Write ``buffers`` in order, gathered; one task at a time."""
        await self.muxed_stream.send(buffers)

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        """Do as `send` if it need not wait; else return False, and nothing was written."""
        return self.muxed_stream.send_nowait(buffers)

    async def read(self, n: int | None = None) -> bytes:
        """
        Return 1 to ``n`` bytes; all up to the end if ``n`` is None or negative.

        :raises StreamEOF: if ``n`` is positive and the stream has ended.
        """
        if n is not None and type(n) is not int:
            n = arguments.count(n, "n", -(2**63))
        if self._proposed is not None:
            await self._read_answer(self._proposed)
        return await self.muxed_stream.read(n)

    async def read_exactly(self, n: int) -> bytes:
        """
        Return exactly ``n`` bytes.

        :raises IncompleteReadError: if the stream ends before.
        """
        if type(n) is not int or n < 0:
            n = arguments.count(n, "n")
        if self._proposed is not None:
            await self._read_answer(self._proposed)
        return await self.muxed_stream.read_exactly(n)

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        if type(data) is not bytes:
            arguments.binary(data)
        await self.muxed_stream.send((data,))

    async def close(self) -> None:
        """
        Close both directions; what was written is still delivered.

        That is done in the background and lasts as long as the connection does: `Yamux.close` tells
        what did not reach the peer. To be sure, let the peer answer.
        """
        self.close_nowait()

    def close_nowait(self) -> None:
        """Do what `close` does, which never waits."""
        self._note_end("closed")
        self.muxed_stream.close_nowait()

    async def close_read(self) -> None:
        """Read no more."""
        await self.muxed_stream.close_read()

    async def close_write(self) -> None:
        """Write no more; reading goes on."""
        await self.muxed_stream.close_write()

    async def reset(self, error_code: int = 0) -> None:
        """Abort both directions, with an error code for the peer."""
        self._note_end("reset")
        self.muxed_stream.abort(error_code)

    def abort(self, error_code: int = 0) -> None:
        """Do what `reset` does, which never waits."""
        self._note_end("reset")
        self.muxed_stream.abort(error_code)

    def _note_end(self, what: str) -> None:
        if logger.isEnabledFor(logging.DEBUG) and self.muxed_stream.is_writable:
            logger.debug("%r %s", self, what)

    def set_deadline(self, ttl: float) -> bool:
        """Let reads and writes fail that are not done within ``ttl`` seconds; 0 means never."""
        return self.muxed_stream.set_deadline(arguments.seconds(ttl, "ttl"))

    @property
    def is_closed(self) -> bool:
        """True once both directions have ended."""
        return self.muxed_stream.is_closed

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port)."""
        return self.muxed_stream.get_remote_address()

    def __repr__(self) -> str:
        """Name the protocol, the stream and the peer."""
        return shown(self, self._facts)

    def _facts(self) -> str:
        state = "closed" if self.is_closed else "open"
        protocol = self._protocol or "(nothing agreed)"
        return f"{protocol} #{self.muxed_stream.stream_id} {state} with {self.remote_peer_id}"
