"""A yamux stream as its user sees it: the waiting around `StreamState`."""

from __future__ import annotations

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
from libp2p.stream_muxer.yamux.stream_state import OPEN
from libp2p.stream_muxer.yamux.write_line import SHORT_BYTES, TURN_BYTES
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from libp2p.base_types import Buffer
    from libp2p.stream_muxer.yamux.statistics import StreamStatistics
    from libp2p.stream_muxer.yamux.stream_state import StreamState
    from libp2p.stream_muxer.yamux.yamux import Yamux

logger = get_logger(__name__)

#: No window is larger, so one `receive` takes everything.
_EVERYTHING: Final = MAX_WINDOW_SIZE


def _frozen(buffer: Buffer) -> Buffer:
    """Return ``buffer``, or a copy of it if its owner could still change it."""
    if isinstance(buffer, bytes) or (isinstance(buffer, memoryview) and buffer.readonly):
        return buffer
    return bytes(buffer)


class YamuxStream(IMuxedStream):
    """
    One stream of a `Yamux` connection.

    At most one task reads and one writes at a time; a second one gets `trio.BusyResourceError`.
    A read that finds data and a write that finds room return without a checkpoint, until the
    connection's tasks have read and written `yamux.YIELD_BYTES` in that way.
    Cancelling a write never tears a frame, but how much of the data had gone out is not known.
    """

    def __init__(self, muxed_conn: Yamux, state: StreamState) -> None:
        self.muxed_conn: Yamux = muxed_conn
        self.state = state
        self._session = muxed_conn.session
        self._reader = Waiter()
        self._writer = Waiter()
        self._sending = False
        self._on_readable: Callable[[], object] | None = None
        self._read_deadline: float | None = None
        self._write_deadline: float | None = None
        state.handle = self

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
        conn = self.muxed_conn
        if conn.must_yield and self.state.inbox.size:
            await conn.yield_turn()  # before anything is taken: a cancelled read loses nothing
        while (buffers := self.receive_nowait(limit)) is None:
            if self._read_deadline is None:
                await self._reader.wait()
            else:
                with self._fail_at(self._read_deadline):
                    await self._reader.wait()
            conn.has_waited()
        # Taking is quick for any number of bytes, unlike encrypting what is written.
        conn.spend(sum(map(len, buffers)) >> 4)
        return buffers

    def receive_nowait(self, limit: int = _EVERYTHING) -> list[Buffer] | None:
        """
        Return up to ``limit`` bytes that are at hand; None if there are none yet.

        Empty at the clean end. It raises what `receive` does.
        """
        conn, session, state = self.muxed_conn, self._session, self.state
        if not state.inbox.size:
            # Not OPEN means the end, or an error.
            return None if state.reading is OPEN else session.read(state, 0, 0.0)
        if conn.handling:
            return session.read(state, limit, conn.received_at)
        buffers = session.read(state, limit, trio.current_time())
        if session.has_outgoing:
            conn.flush_soon()
        return buffers

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """
        Call ``callback`` whenever `receive_nowait` may have something new; no task is woken then.

        It runs in the connection's read loop: it must not take long, nor raise. There is a call
        for what comes from now on, for the end and for a reset; what is there is its owner's to
        read. None ends this.
        """
        self._on_readable = callback

    def unread(self, data: Buffer) -> None:
        """Put ``data`` back: it is what the next read returns."""
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

        Returns when all of it is queued; at most `session.MAX_OUTGOING_BYTES` are then waiting
        for the socket.

        :raises MuxedStreamReset: if the stream was reset or its connection lost.
        :raises MuxedStreamClosed: if writing was closed here.
        :raises MuxedStreamTimeout: if the write deadline passed.
        """
        conn = self.muxed_conn
        size = sum(map(len, buffers))
        if self._send_now(buffers, size):
            conn.spend(size)
            if conn.must_yield:
                await conn.yield_turn()
            return
        if self._sending:
            raise trio.BusyResourceError("another task is writing to this stream")
        queue = ChunkQueue()
        for buffer in buffers:
            queue.append(_frozen(buffer))
        self._sending = True
        try:
            if self._write_deadline is None:
                await self._send_queue(queue)
            else:
                with self._fail_at(self._write_deadline):
                    await self._send_queue(queue)
        finally:
            self._sending = False

    async def _send_queue(self, queue: ChunkQueue) -> None:
        """Queue frames; where streams compete for the socket, some at a time and then in line."""
        conn, session, state = self.muxed_conn, self._session, self.state
        total = len(queue)
        short = total <= SHORT_BYTES
        turn = 0  # bytes that may be queued before the next in line, if there was one
        lined_up = False
        try:
            while queue:
                room = session.sendable(state)
                if room and conn.may_queue(turn > 0, short):
                    size = min(room, len(queue))
                    session.send(state, queue.take_buffers(size), size)
                    if turn:
                        turn -= size
                        if turn <= 0:
                            turn = 0
                            conn.leave_line(self)
                elif turn:
                    turn = 0
                    conn.leave_line(self)
                elif room:
                    lined_up = True
                    turn = TURN_BYTES if await conn.wait_for_turn(self, short, self._writer) else 0
                else:
                    conn.flush_now()
                    await self._writer.wait()
        finally:
            if lined_up:
                conn.leave_line(self)
        conn.flush_now()
        conn.spend(total)
        if conn.must_yield:
            await conn.yield_turn()

    def send_nowait(self, buffers: Sequence[Buffer]) -> bool:
        """
        Do what `send` does if that needs no waiting; else return False, and nothing is written.

        :raises MuxedStreamReset: if the stream was reset or its connection lost.
        :raises MuxedStreamClosed: if writing was closed here.
        """
        return self._send_now(buffers, sum(map(len, buffers)))

    def _send_now(self, buffers: Sequence[Buffer], size: int) -> bool:
        conn, session, state = self.muxed_conn, self._session, self.state
        room = session.sendable(state)  # a closed stream is an error even for no bytes
        short = size <= SHORT_BYTES
        if self._sending or not size <= room or not conn.may_queue(False, short):
            return False
        for buffer in buffers:
            if type(buffer) is not bytes:
                buffers = list(map(_frozen, buffers))
                break
        session.send(state, buffers, size)
        if conn.handling:
            return True
        if short or session.has_batch:
            conn.flush_now()
        else:
            conn.flush_soon()  # together with what is written next
        return True

    def queue(self, data: bytes) -> None:
        """
        Put a few bytes before what is written next, without sending them yet.

        They go out with the next write, or by themselves once this task waits for something.

        :raises LocalProtocolError: if that is more than the peer allows now.
        """
        if len(data) > self._session.sendable(self.state):
            raise LocalProtocolError(f"no credit for {len(data)} bytes at once")
        self._session.send(self.state, [data], len(data))
        self.muxed_conn.flush_soon()

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; see `send`."""
        await self.send((data,))

    # -- ends ---------------------------------------------------------------------------------

    async def close_write(self) -> None:
        """Send FIN after what was written; reading goes on. Closing twice is not an error."""
        self._session.close_write(self.state)
        self._after_local_end()

    async def close_read(self) -> None:
        """Read no more: what is unread is dropped; a peer that writes on is reset in the end."""
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
            self.state.handle = None  # see `Yamux._wake_ended`
        self.muxed_conn.after_local_end()

    # -- waiting ------------------------------------------------------------------------------

    def wake_reader(self) -> None:
        """The state changed for a reader; for `Yamux`."""
        if self._on_readable is None:
            self._reader.wake()
            return
        try:
            self._on_readable()
        except Exception:  # task's edge: the read loop is all streams', and this one ends alone
            logger.exception("stream %d: reading failed", self.stream_id)
            self._on_readable = None
            self.abort()

    def wake_writer(self) -> None:
        """The state changed for a writer; for `Yamux`."""
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
