"""
Which task writes to a connection next: the write lock, the line of writers, and their turns.

Frames are queued in the session. Whoever wants them sent tries to take the write lock, takes all
that is queued as one batch, and gives it to the secure session in the same step. If the kernel does
not take the whole batch, the lock stays held until the connection's write task has sent the rest:
bytes of another batch in between would tear a record and the frames in it.

Streams queue long data in turns of `TURN_BYTES`, in the order of a line. A short message would wait
there for a turn of every other stream, so short ones have a line of their own, which goes first.
Only as many of them go before a long turn as have its size together, so neither line can starve the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from libp2p.exceptions import IOException, LocalProtocolError
from libp2p.io.waiter import Waiter
from libp2p.stream_muxer.yamux.config import LEAST_PENDING_CONTROL
from libp2p.stream_muxer.yamux.session import TURN_BYTES

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.io.chunk_queue import ChunkQueue
    from libp2p.security.secure_session import SecureSession
    from libp2p.stream_muxer.yamux.session import YamuxSession
    from libp2p.stream_muxer.yamux.stream_state import StreamState

#: Turns at the same time: so many writers go on in one round of the scheduler. With one, a
#: connection that is busy in both directions reads five times as much as it writes. With four,
#: peers fill each other's sockets.
TURNS_AT_ONCE: Final = 2
#: Messages up to this size are short: requests, and answers that a peer waits for.
SHORT_BYTES: Final = 16 * 1024
#: Short messages that may go before a long turn: together they have at most as many bytes.
SHORT_BEFORE_LONG: Final = TURN_BYTES // SHORT_BYTES
#: Bytes that are encrypted and sent in one go, if so many wait. A system call for each 64 KiB slows
#: bulk down by a tenth, and full TLS records can only be made of bytes that are sent together.
BATCH_BYTES: Final = 256 * 1024
#: A writer yields to other tasks after this many bytes that needed no waiting, a reader after
#: sixteen times as many.
YIELD_BYTES: Final = 256 * 1024
#: Bytes that each call counts as besides its data: 250 small calls take about two milliseconds.
CALL_BYTES: Final = 1024


_Writer = TypeVar("_Writer")


class WriteLock:
    """
    Held from the first byte of a batch until the socket has taken its last one.

    Unlike trio's lock, it belongs to no task: a task that writes without waiting takes the lock,
    and leaves it to the connection's write task if the socket is full.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = False

    def try_acquire(self) -> bool:
        """Take the lock; return False if it is held."""
        was_held, self.held = self.held, True
        return not was_held

    def release(self) -> None:
        """Let the next batch go."""
        self.held = False


class WriteLine(Generic[_Writer]):
    """The writers of a connection that wait for their turns, and those that have them."""

    __slots__ = ("_long", "_short", "_short_since_long", "_turns", "is_busy")

    def __init__(self) -> None:
        self._long: dict[_Writer, None] = {}
        self._short: dict[_Writer, None] = {}
        self._turns: dict[_Writer, None] = {}
        self._short_since_long = 0
        #: True while a writer waits or has a turn.
        self.is_busy = False

    def may_pass(self, short: bool) -> bool:
        """Tell whether a writer may queue something without waiting in line."""
        if not self.is_busy:
            return True
        if self._short or not short or self._short_since_long >= SHORT_BEFORE_LONG:
            return False
        self._short_since_long += 1
        return True

    def join(self, writer: _Writer, short: bool) -> None:
        """Put ``writer`` in the line of short messages or in that of long ones."""
        (self._short if short else self._long)[writer] = None
        self.is_busy = True

    def leave(self, writer: _Writer) -> None:
        """End the turn of ``writer``, or take it out of its line."""
        self._long.pop(writer, None)
        self._short.pop(writer, None)
        self._turns.pop(writer, None)
        self.is_busy = bool(self._turns or self._long or self._short)

    def has_turn(self, writer: _Writer) -> bool:
        """Tell whether it is this writer's turn."""
        return writer in self._turns

    def next_turn(self) -> _Writer | None:
        """Begin the next writer's turn and return it; None if none waits, or too many have one."""
        if len(self._turns) >= TURNS_AT_ONCE:
            return None
        if self._short and (not self._long or self._short_since_long < SHORT_BEFORE_LONG):
            line = self._short
            self._short_since_long += 1
        elif self._long:
            line = self._long
            self._short_since_long = 0
        else:
            return None
        writer = next(iter(line))
        del line[writer]
        self._turns[writer] = None
        return writer


class WriteScheduler:
    """The sending half of one connection; the connection owns it and gives it to its streams."""

    __slots__ = (
        *("_ended", "_error", "_line", "_openers", "_secured_conn", "_session", "_timer"),
        *("_unyielded", "_write_lock", "_writer", "corked", "must_yield"),
    )

    def __init__(self, session: YamuxSession, secured_conn: SecureSession) -> None:
        self._session = session
        self._secured_conn = secured_conn
        self._write_lock = WriteLock()
        self._line: WriteLine[Waiter] = WriteLine()
        # The write task, when it has nothing to do.
        self._writer = Waiter()
        self._timer = trio.CancelScope()
        self._openers = trio.lowlevel.ParkingLot()
        self._error: Exception | None = None
        self._ended = False
        self._unyielded = 0
        #: Set while the read loop handles events: all that they cause is sent together afterwards.
        self.corked = False
        #: True once so much was read and written without waiting that other tasks are due.
        self.must_yield = False

    # -- sending ------------------------------------------------------------------------------

    def flush_now(self) -> None:
        """Send what is queued, as far as the kernel takes it without waiting."""
        if self.corked or self._ended or not self._write_lock.try_acquire():
            return  # the task that corked or that holds the lock sends what is queued, too
        batch = self._session.take_outgoing()
        if not batch:
            self._write_lock.release()
            return
        self._send(batch)
        if self._line.is_busy:
            self._begin_turns()
        if len(batch) >= LEAST_PENDING_CONTROL:
            self._let_all_open()

    def flush_soon(self) -> None:
        """
        Send what is queued once the tasks that are ready to run have run.

        Control frames are sent so: a system call costs more than a task switch, and when a peer's
        batch wakes many streams, their answers are sent together.
        """
        if not self.corked:
            self._writer.wake()

    def cork(self) -> None:
        """Send nothing until `uncork`."""
        self.corked = True

    def uncork(self) -> None:
        """Send what was queued since `cork`."""
        self.corked = False
        if self._session.has_outgoing:
            self.flush_now()

    def _send(self, batch: Sequence[Buffer] | None) -> None:
        """Send a batch, or the rest of one; release the lock when the socket has taken it all."""
        conn, session = self._secured_conn, self._session
        try:
            done = conn.send_kept() if batch is None else conn.send_or_keep(batch)
        except (IOException, LocalProtocolError) as error:
            self._error = error
            self.end()
            return
        if not done:
            if batch is not None:
                sealed = sum(map(len, batch))
                session.on_socket_full(trio.current_time(), sealed, conn.delivered_bytes())
                self._writer.wake()
            return
        self._write_lock.release()
        if batch is None:
            session.on_socket_drained()
        if session.has_left:
            self.end()
            conn.shutdown_write()

    async def run(self, deadline: float) -> None:
        """
        Send what has to wait for the socket, until ``deadline`` or an earlier one of the session.

        :raises IOException: or LocalProtocolError, if writing has failed.
        """
        session = self._session
        with trio.move_on_at(deadline) as self._timer:
            while self._error is None and session.next_deadline() >= deadline:
                if self._ended or not (self._write_lock.held or session.has_outgoing):
                    await self._writer.wait()
                elif self._write_lock.held:
                    with suppress(IOException):  # sending raises the same
                        await self._secured_conn.wait_writable()
                    self._send(None)
                else:
                    self.flush_now()
        if self._error is not None:
            raise self._error

    def reset_deadline(self) -> None:
        """End `run` before its deadline: the session has an earlier one."""
        self._timer.cancel()

    def end(self) -> None:
        """Send nothing any more; what is queued stays queued."""
        self._ended = True
        self._writer.wake()

    def close(self) -> None:
        """The connection has ended: wake all tasks that wait to open a stream."""
        self.end()
        self._openers.unpark_all()

    # -- writers ------------------------------------------------------------------------------

    def try_write(self, stream: StreamState, pieces: Sequence[Buffer], size: int) -> bool:
        """
        Queue ``pieces``, ``size`` bytes in all, if that needs no waiting; else return False.

        :raises MuxedStreamReset: or MuxedStreamClosed, if the stream cannot be written to.
        """
        session = self._session
        short = size <= SHORT_BYTES
        if self._line.is_busy and not self._line.may_pass(short):
            session.sendable(stream)  # a closed stream is an error, and no reason to wait
            return False
        if not session.try_send(stream, pieces, size):
            if not session.is_congested:
                return False
            self.flush_now()
            if not session.try_send(stream, pieces, size):
                return False
        self._unyielded += size + CALL_BYTES
        if self._unyielded >= YIELD_BYTES:
            self.must_yield = True
        if not self.corked:
            if short or session.send_queue.data_bytes >= BATCH_BYTES:
                self.flush_now()
            else:
                self._writer.wake()  # to be sent together with what is written next
        return True

    async def write(self, stream: StreamState, queue: ChunkQueue, woken: Waiter) -> None:
        """
        Queue all of ``queue``, waiting for credit, and in line where streams compete.

        :param woken: woken when the stream has credit or has ended, and when its turn begins.
        :raises MuxedStreamReset: or MuxedStreamClosed, if the stream cannot be written to.
        """
        session = self._session
        short = len(queue) <= SHORT_BYTES
        self.spend(len(queue))
        turn = 0  # bytes that may be queued before the next writer in line has its turn
        lined_up = False
        try:
            while queue:
                room = session.sendable(stream)
                if room and self._may_queue(turn > 0, short):
                    size = min(room, len(queue))
                    session.send(stream, queue.take_buffers(size), size)
                    if turn:
                        turn -= size
                        if turn <= 0:
                            turn = 0
                            self._leave_line(woken)
                elif turn:
                    turn = 0
                    self._leave_line(woken)
                elif room:
                    lined_up = True
                    turn = TURN_BYTES if await self._wait_in_line(woken, short) else 0
                else:
                    self.flush_now()
                    await woken.wait()
        finally:
            if lined_up:
                self._leave_line(woken)
        self.flush_now()

    def _may_queue(self, has_turn: bool, short: bool) -> bool:
        """Tell whether a writer may queue a frame now; if not, it has to wait for its turn."""
        if self._session.is_congested:
            self.flush_now()
            if self._session.is_congested:
                return False
        return has_turn or self._line.may_pass(short)

    async def _wait_in_line(self, writer: Waiter, short: bool) -> bool:
        """
        Wait behind the other writers until woken; return whether this writer has its turn.

        Every call needs a call of `_leave_line`.
        """
        self._begin_turns()
        self._line.join(writer, short)
        await writer.wait()
        self.on_wait()
        return self._line.has_turn(writer)

    def _leave_line(self, writer: Waiter) -> None:
        """End the turn of ``writer``, or take it out of its line: it failed or was cancelled."""
        self._line.leave(writer)
        self._begin_turns()

    def _begin_turns(self) -> None:
        """Let the next writers in line go on if there is room."""
        while not self._session.is_congested and (writer := self._line.next_turn()) is not None:
            writer.wake()

    # -- opening ----------------------------------------------------------------------------

    async def wait_to_open(self) -> None:
        """Wait until another stream may be opened, or the connection has ended."""
        await self._openers.park()

    def let_one_open(self) -> None:
        """Wake the task that has waited longest: the peer has acknowledged or ended a stream."""
        self._openers.unpark()

    def after_local_end(self) -> None:
        """Send the end of a stream or of its half; another stream may be opened in its place."""
        self.flush_soon()
        self._let_all_open()

    def _let_all_open(self) -> None:
        if self._openers and self._session.can_open:
            self._openers.unpark_all()

    # -- other tasks --------------------------------------------------------------------------

    def spend(self, size: int) -> None:
        """Note a call that read or wrote ``size`` bytes without waiting."""
        self._unyielded += size + CALL_BYTES
        if self._unyielded >= YIELD_BYTES:
            self.must_yield = True

    def on_wait(self) -> None:
        """Note that a task of this connection has let others run."""
        self.must_yield = False
        self._unyielded = 0

    async def let_others_run(self) -> None:
        """Run the other tasks that are ready."""
        self.on_wait()
        await trio.lowlevel.checkpoint()
