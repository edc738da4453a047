"""A yamux stream as its user sees it: the waiting around `StreamState`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from libp2p.abc import IMuxedStream
from libp2p.exceptions import (
    IncompleteReadError,
    LocalProtocolError,
    MuxedStreamEOF,
    MuxedStreamTimeout,
)
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.io.waiter import Waiter
from libp2p.stream_muxer.yamux.flow_control import MAX_WINDOW_SIZE
from libp2p.stream_muxer.yamux.send_queue import frozen
from libp2p.stream_muxer.yamux.stream_state import OPEN, Half
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.stream_muxer.yamux.session import YamuxSession
    from libp2p.stream_muxer.yamux.stream_state import StreamState, StreamStatistics
    from libp2p.stream_muxer.yamux.write_scheduler import WriteScheduler
    from libp2p.transport.abc import MuxedConnection

logger = get_logger(__name__)

#: No window is larger, so one `receive` takes everything.
_EVERYTHING: Final = MAX_WINDOW_SIZE


class YamuxStream(IMuxedStream):
    """
    One stream of a `Yamux` connection.

    At most one task reads and one writes at a time; a second one gets `trio.BusyResourceError`.
    A read that finds data and a write that finds room return without a checkpoint, until the
    connection's tasks have read and written `write_scheduler.YIELD_BYTES` in that way.
    Cancelling a write never tears a frame, but how much of the data had gone out is not known.
    """

    def __init__(
        self,
        muxed_conn: MuxedConnection,
        session: YamuxSession,
        scheduler: WriteScheduler,
        state: StreamState,
    ) -> None:
        self.muxed_conn: MuxedConnection = muxed_conn  # type: ignore[assignment]
        self.state = state
        self._session = session
        self._scheduler = scheduler
        self._reader = Waiter()
        self._writer = Waiter()
        self._sending = False
        self._on_readable: Callable[[], object] | None = None
        self._read_deadline: float | None = None
        self._write_deadline: float | None = None
        state.attach(self)

    @property
    def stream_id(self) -> int:
        """The stream's id on the wire."""
        return self.state.stream_id

    @property
    def is_initiator(self) -> bool:
        """True if this side opened the stream."""
        return self.state.outbound

    @property
    def is_closed(self) -> bool:
        """True once both directions have ended."""
        return self.state.finished

    @property
    def is_writable(self) -> bool:
        """True until this side closes or resets the stream, or the connection ends."""
        return self.state.writing is OPEN

    @property
    def is_reset(self) -> bool:
        """True once either side has reset the stream, or the connection was lost."""
        return self.state.reading is Half.RESET

    @property
    def recv_closed(self) -> bool:
        """True once the peer has sent its last byte, or this side reads no more."""
        return self.state.reading is not OPEN

    # py-libp2p's names of the properties above
    closed = is_closed
    reset_received = is_reset

    @property
    def send_closed(self) -> bool:
        return not self.is_writable

    @property
    def send_window(self) -> int:
        return self.statistics().send_credit

    def statistics(self) -> StreamStatistics:
        """Return how the stream stands: its windows, credit and bytes; also after its end."""
        return self.state.statistics()

    def __repr__(self) -> str:
        return shown(self, self._facts)

    def _facts(self) -> str:
        state = "closed" if self.state.finished else "open"
        return f"#{self.stream_id} {state} with {self.muxed_conn.peer_id}"

    # -- reading ------------------------------------------------------------------------------

    def receive(self) -> Coroutine[object, object, list[Buffer]]:
        """
        Return all bytes at hand, unjoined, waiting for at least one; empty at the clean end.

        :raises MuxedStreamReset: if the stream was reset or its connection lost.
        :raises MuxedStreamClosed: if reading was closed here.
        :raises MuxedStreamTimeout: if the read deadline passed.
        """
        return self._receive(_EVERYTHING)

    async def _receive(self, limit: int) -> list[Buffer]:
        scheduler = self._scheduler
        if scheduler.must_yield and self.state.inbox.size:
            await (
                scheduler.let_others_run()
            )  # before anything is taken: a cancelled read loses nothing
        while (buffers := self.receive_nowait(limit)) is None:
            if self._read_deadline is None:  # nearly always
                await self._reader.wait()
            else:
                with self._fail_at(self._read_deadline):
                    await self._reader.wait()
            scheduler.on_wait()
        # Taking is quick for any number of bytes, unlike encrypting what is written.
        scheduler.spend(sum(map(len, buffers)) >> 4)
        return buffers

    def receive_nowait(self, limit: int = _EVERYTHING) -> list[Buffer] | None:
        """
        Return up to ``limit`` bytes that are at hand; None if there are none yet.

        Empty at the clean end. It raises what `receive` does.
        """
        scheduler, session, state = self._scheduler, self._session, self.state
        if not state.inbox.size:
            # Not OPEN means the end, or an error.
            return None if state.reading is OPEN else session.read(state, 0, 0.0)
        if scheduler.corked:
            return session.read(state, limit, session.received_at)
        buffers = session.read(state, limit, trio.current_time())
        if session.has_outgoing:
            scheduler.flush_soon()
        return buffers

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """
        Call ``callback`` whenever `receive_nowait` may have something new, and wake no task then.

        The callback runs in the connection's read loop: it must not take long, nor raise. It is
        called for data received from now on, for the end and for a reset. Data that is there
        already is the caller's to read. None removes the callback.
        """
        self._on_readable = callback

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: the next read returns it."""
        self._session.unread(self.state, data)

    async def read(self, n: int | None = -1) -> bytes:
        """
        Return 1 to ``n`` bytes; all up to the end if ``n`` is None or negative.

        :raises MuxedStreamEOF: if ``n`` is positive and the stream has ended.
        """
        if n is None or n < 0:
            pieces: list[Buffer] = []
            while more := await self.receive():
                pieces += more
            return b"".join(pieces)
        if n == 0:
            return b""
        buffers = await self._receive(n)
        if not buffers:
            raise MuxedStreamEOF(f"stream {self.stream_id} has ended")
        return bytes(buffers[0]) if len(buffers) == 1 else b"".join(buffers)

    async def read_exactly(self, n: int) -> bytes:
        """
        Return exactly ``n`` bytes.

        :raises IncompleteReadError: if the stream ends before.
        """
        pieces: list[Buffer] = []
        missing = n
        while missing:
            buffers = await self._receive(missing)
            if not buffers:
                raise IncompleteReadError(
                    f"stream {self.stream_id} ended {missing} bytes early", n, n - missing
                )
            missing -= sum(map(len, buffers))
            pieces += buffers
        return b"".join(pieces)

    # -- writing ------------------------------------------------------------------------------

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """
        Write ``buffers`` in order, in as few frames as the peer's window allows.

        Returns when all of it is queued; at most `YamuxConfig.max_send_queue` bytes, and one frame
        more, then wait for the socket.

        :raises MuxedStreamReset: if the stream was reset or its connection lost.
        :raises MuxedStreamClosed: if writing was closed here.
        :raises MuxedStreamTimeout: if the write deadline passed.
        """
        scheduler = self._scheduler
        size = sum(map(len, buffers))
        if self._sending or not scheduler.try_write(self.state, buffers, size):
            await self._write(buffers)
        if scheduler.must_yield:
            await scheduler.let_others_run()

    async def _write(self, buffers: Sequence[Buffer]) -> None:
        if self._sending:
            self._session.sendable(self.state)  # a closed stream is an error all the same
            raise trio.BusyResourceError("another task is writing to this stream")
        queue = ChunkQueue()
        for buffer in buffers:
            queue.append(frozen(buffer))
        self._sending = True
        try:
            if self._write_deadline is None:
                await self._scheduler.write(self.state, queue, self._writer)
            else:
                with self._fail_at(self._write_deadline):
                    await self._scheduler.write(self.state, queue, self._writer)
        finally:
            self._sending = False

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        """
        Do what `send` does if that needs no waiting; else return False, and nothing is written.

        :raises MuxedStreamReset: if the stream was reset or its connection lost.
        :raises MuxedStreamClosed: if writing was closed here.
        """
        if self._sending:
            return False
        return self._scheduler.try_write(self.state, buffers, sum(map(len, buffers)))

    async def wait_writable(self) -> None:
        """Wait until the peer's window and this side's queue have room; raise what `send` does."""
        if self._sending:
            raise trio.BusyResourceError("another task is writing to this stream")
        self._sending = True
        try:
            while not self._session.sendable(self.state):
                self._scheduler.flush_now()
                await self._writer.wait()
        finally:
            self._sending = False

    def queue(self, data: bytes) -> None:
        """
        Put a few bytes before what is written next, without sending them yet.

        They go out with the next write, or by themselves once this task waits for something.

        :raises LocalProtocolError: if that is more than the peer allows now.
        """
        if len(data) > self._session.sendable(self.state):
            raise LocalProtocolError(f"no credit for {len(data)} bytes at once")
        self._session.send(self.state, [data], len(data))
        self._scheduler.flush_soon()

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; see `send`."""
        await self.send((data,))

    # -- ends ---------------------------------------------------------------------------------

    async def close_write(self) -> None:
        """Send FIN after what was written; reading goes on. Closing twice is not an error."""
        self._session.close_write(self.state)
        self._after_local_end()

    async def close_read(self) -> None:
        """Read no more and drop unread data; a peer that writes on is reset in the end."""
        self._session.close_read(self.state)
        self._after_local_end()

    async def close(self) -> None:
        """Close both directions; what was written is still delivered."""
        self.close_nowait()

    def close_nowait(self) -> None:
        """Do what `close` does, which never waits."""
        self._session.close_write(self.state)
        self._session.close_read(self.state)
        self._after_local_end()

    async def reset(self, error_code: int = 0) -> None:
        """Abort both directions, with an error code for the peer."""
        self.abort(error_code)

    def abort(self, error_code: int = 0) -> None:
        """Do what `reset` does, which never waits."""
        self._session.reset(self.state, error_code)
        self._after_local_end()

    def _after_local_end(self) -> None:
        self.wake_reader()
        self.wake_writer()
        if self.state.reading is not OPEN and self.state.writing is not OPEN:
            self.state.detach()
        self._scheduler.after_local_end()

    # -- waiting ------------------------------------------------------------------------------

    def wake_reader(self) -> None:
        """Wake the reader, or call back: its state has changed."""
        if self._on_readable is None:
            self._reader.wake()
            return
        try:
            self._on_readable()
        except Exception:  # task's edge: the read loop serves all streams, and only this one ends
            logger.exception("stream %d: reading failed", self.stream_id)
            self._on_readable = None
            self.abort()

    def wake_writer(self) -> None:
        """Wake the writer: its state has changed."""
        self._writer.wake()

    @contextmanager
    def _fail_at(self, deadline: float) -> Iterator[None]:
        with trio.move_on_at(deadline) as scope:
            yield
        if scope.cancelled_caught:
            raise MuxedStreamTimeout(f"the deadline of stream {self.stream_id} has passed")

    def set_deadline(self, ttl: float) -> bool:
        """Let reads and writes fail that are not done within ``ttl`` seconds; 0 means never."""
        return self.set_read_deadline(ttl) and self.set_write_deadline(ttl)

    def set_read_deadline(self, ttl: float) -> bool:
        """Let reads fail that are not done ``ttl`` seconds from now; 0 means never."""
        self._read_deadline = trio.current_time() + ttl if ttl > 0 else None
        return True

    def set_write_deadline(self, ttl: float) -> bool:
        """Let writes fail that are not done ``ttl`` seconds from now; 0 means never."""
        self._write_deadline = trio.current_time() + ttl if ttl > 0 else None
        return True

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the peer's (host, port)."""
        return self.muxed_conn.get_remote_address()
