"""A muxed stream with the protocol that was agreed on for it: what handlers get."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from libp2p.abc import INetStream
from libp2p.exceptions import MultiselectClientError, StreamClosed, StreamEOF, StreamReset
from libp2p.protocol_muxer.lazy import Proposal
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.exceptions import StreamError
    from libp2p.peer.id import ID
    from libp2p.transport.abc import MuxedConnection, MuxedStream

logger = get_logger(__name__)

#: More than any stream has at hand.
_EVERYTHING: Final = 2**63

T = TypeVar("T")


class StreamState(Enum):
    """py-libp2p's words for how a stream stands; see `NetStream.state`."""

    INIT = auto()
    OPEN = auto()
    RESET = auto()
    CLOSE_READ = auto()
    CLOSE_WRITE = auto()
    CLOSE_BOTH = auto()
    ERROR = auto()


_ENDED: Final = (StreamState.RESET, StreamState.CLOSE_BOTH, StreamState.ERROR)


class NetStream(INetStream, trio.abc.HalfCloseableStream):
    """
    A stream to a peer: a `MuxedStream` with the name of the protocol that is spoken on it.

    It can be used in two ways. `read`, `read_exactly`, `write`, `close_write`, `close` and `reset`
    are py-libp2p's. They raise a `StreamError`, as the methods of `YamuxStream` say. A call that
    need not wait returns without a checkpoint. Every so many calls and bytes it is one
    (`write_scheduler.YIELD_BYTES`): a task that always finds data must not keep the others from
    running.

    `receive_some`, `send_all`, `send_eof`, `aclose` and `wait_send_all_might_not_block` are trio's.
    Each is a checkpoint. They raise `trio.ClosedResourceError` if this side has closed the stream,
    `trio.BrokenResourceError` if it was reset or its connection lost. So a stream can be given to
    `trio.SSLStream` and to everything else that takes a `trio.abc.HalfCloseableStream`.
    """

    def __init__(
        self,
        muxed_stream: MuxedStream,
        on_protocol: Callable[[NetStream], object] | None = None,
    ) -> None:
        """:param on_protocol: told when a protocol is agreed on, or proposed."""
        self.muxed_stream = muxed_stream
        self.muxed_conn: MuxedConnection = muxed_stream.muxed_conn  # type: ignore[assignment]
        self._protocol: TProtocol | None = None
        # The proposal that was sent and whose answer has not been read yet.
        self._proposal: Proposal | None = None
        self._on_protocol = on_protocol
        self._ended_here = False
        self._sending = False

    @property
    def remote_peer_id(self) -> ID:
        """The peer at the other end."""
        return self.muxed_conn.peer_id

    @property
    def protocol_id(self) -> TProtocol | None:
        """The protocol agreed on: py-libp2p's name of `get_protocol`."""
        return self._protocol

    def get_protocol(self) -> TProtocol | None:
        """Return the protocol agreed on; None before that."""
        return self._protocol

    def set_protocol(self, protocol_id: TProtocol) -> None:
        """Record the protocol agreed on."""
        self._protocol = protocol_id
        on_protocol, self._on_protocol = self._on_protocol, None
        if on_protocol is not None:
            on_protocol(self)

    def propose(self, protocol_id: TProtocol) -> None:
        """
        Agree on a protocol lazily: the proposal goes out with the first data, unanswered.

        For a protocol that the peer is known to speak; saves a round trip. The answer is read
        before the first data is. If the peer refuses, reading raises a `StreamReset`.
        """
        self._proposal = Proposal(protocol_id)
        self.muxed_stream.queue(self._proposal.message)
        self.set_protocol(protocol_id)

    def _reading(
        self, read: Callable[..., Coroutine[object, object, T]], *args: object
    ) -> Coroutine[object, object, T]:
        """Return the coroutine of a read; it reads the peer's answer first, if that is due."""
        # No coroutine of its own: a host has thousands of streams that wait here.
        if self._proposal is None:
            return read(*args)
        return self._after_answer(self._proposal, read, *args)

    async def _after_answer(
        self,
        proposal: Proposal,
        read: Callable[..., Coroutine[object, object, T]],
        *args: object,
    ) -> T:
        """
        Read the answer to the proposal, and then what was asked for.

        :raises StreamReset: if the peer refused, with the `MultiselectClientError` as its cause.
        """
        try:
            await proposal.read_answer(self.muxed_stream)
        except MultiselectClientError as error:
            self.muxed_stream.abort()
            raise StreamReset(f"{self._protocol} was not agreed on: {error}") from error
        self._proposal = None
        return await read(*args)

    def receive(self) -> Coroutine[object, object, list[Buffer]]:
        """Return all bytes at hand, unjoined, waiting for at least one; empty at the end."""
        return self._reading(self.muxed_stream.receive)

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

    def read(self, n: int | None = None) -> Coroutine[object, object, bytes]:
        """
        Return 1 to ``n`` bytes; all up to the end if ``n`` is None or negative.

        :raises StreamEOF: if ``n`` is positive and the stream has ended.
        """
        if n is not None and type(n) is not int:
            n = arguments.count(n, "n", -(2**63))
        return self._reading(self.muxed_stream.read, n)

    def read_exactly(self, n: int) -> Coroutine[object, object, bytes]:
        """
        Return exactly ``n`` bytes.

        :raises IncompleteReadError: if the stream ends before.
        """
        if type(n) is not int or n < 0:
            n = arguments.count(n, "n")
        return self._reading(self.muxed_stream.read_exactly, n)

    async def write(self, data: bytes) -> None:
        """Write all of ``data``."""
        if type(data) is not bytes:
            arguments.binary(data)
        await self.muxed_stream.send((data,))

    async def close(self) -> None:
        """
        Close both directions; what was written is still delivered. Never waits.

        That is done in the background and lasts as long as the connection does: `Yamux.close` tells
        what did not reach the peer. To be sure, let the peer answer.
        """
        self.close_nowait()

    def close_nowait(self) -> None:
        """Do what `close` does, which never waits."""
        self._end("closed")
        self.muxed_stream.close_nowait()

    async def close_read(self) -> None:
        """Read no more. Never waits."""
        await self.muxed_stream.close_read()

    async def close_write(self) -> None:
        """Write no more; reading goes on. Never waits."""
        await self.muxed_stream.close_write()

    async def reset(self, error_code: int = 0) -> None:
        """Abort both directions, with an error code for the peer. Never waits."""
        self.abort(error_code)

    def abort(self, error_code: int = 0) -> None:
        """Do what `reset` does."""
        self._end("reset")
        self.muxed_stream.abort(error_code)

    def _end(self, what: str) -> None:
        self._ended_here = True
        if logger.isEnabledFor(logging.DEBUG) and self.muxed_stream.is_writable:
            logger.debug("%r %s", self, what)

    # -- as trio has it -----------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return 1 to ``max_bytes`` bytes, or all at hand if it is None; empty at the end."""
        if max_bytes is not None:
            max_bytes = arguments.count(max_bytes, "max_bytes", least=1)
        await trio.lowlevel.checkpoint()
        try:
            if max_bytes is None:
                return b"".join(await self.receive())
            return await self.read(max_bytes)
        except StreamEOF:
            return b""
        except (StreamReset, StreamClosed) as error:
            raise self._trio_error(error) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data``; a cancelled call may have written a part of it."""
        await self._send_alone(self.muxed_stream.send, (data,))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for some bytes."""
        await self._send_alone(self.muxed_stream.wait_writable)

    async def send_eof(self) -> None:
        """Do what `close_write` does."""
        await self._send_alone(self.muxed_stream.close_write)

    async def _send_alone(self, send: Callable[..., Awaitable[None]], *args: object) -> None:
        """Make a call that sends; trio wants a second sender refused even while one waits."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            await send(*args)
        except (StreamReset, StreamClosed) as error:
            raise self._trio_error(error) from error
        finally:
            self._sending = False

    def _trio_error(self, error: StreamError) -> Exception:
        if self._ended_here or isinstance(error, StreamClosed):
            return trio.ClosedResourceError(str(error))
        return trio.BrokenResourceError(str(error))

    async def aclose(self) -> None:
        """Do what `close` does."""
        await self.close()
        await trio.lowlevel.checkpoint()

    # -- the rest -----------------------------------------------------------------------------

    def set_deadline(self, ttl: float) -> bool:
        """Let reads and writes fail that are not done within ``ttl`` seconds; 0 means never."""
        return self.muxed_stream.set_deadline(arguments.seconds(ttl, "ttl"))

    @property
    def is_closed(self) -> bool:
        """True once both directions have ended."""
        return self.muxed_stream.is_closed

    @property
    async def state(self) -> StreamState:
        """
        How the stream stands, in py-libp2p's words, which has it awaited.

        ``CLOSE_READ`` begins when the peer's end has arrived: bytes before it may be unread. A lost
        connection is a ``RESET``; ``ERROR`` never is.
        """
        stream = self.muxed_stream
        if stream.is_reset:
            return StreamState.RESET
        if stream.recv_closed:
            return StreamState.CLOSE_READ if stream.is_writable else StreamState.CLOSE_BOTH
        if not stream.is_writable:
            return StreamState.CLOSE_WRITE
        return StreamState.INIT if self._protocol is None else StreamState.OPEN

    async def is_operational(self) -> bool:
        """Tell whether data can still arrive, or be written."""
        return await self.state not in _ENDED

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
