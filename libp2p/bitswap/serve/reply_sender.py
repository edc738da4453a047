"""
The sender of replies to one peer: it looks blocks up, reads them and writes replies.

A small reply is sent in the connection's read loop, as soon as the wants have arrived, if neither
the store nor the stream has to be waited for (`ReplySender.answer`). A task sends all others.
Replies go on a stream that this side opens, as peers do not read the streams that they send wants
on. The stream stays open while there is work and `REPLY_STREAM_IDLE_SECONDS` longer.

The task asks the block store only in a turn (`scheduler`). The turn ends before the reply is
written, so that a peer that does not read holds up no other. While one reply is being written the
next one is read, if the store takes longer than `READ_AHEAD_SECONDS`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import trio

from libp2p.bitswap.common.stream_ends import back_off, end_stream, is_refusal, reset_stream
from libp2p.bitswap.config import (
    ANSWER_NOW_BYTES,
    ANSWERS_NOW,
    LOOK_UP_BATCH,
    MAX_KEPT_BYTES,
    MAX_READ_AHEAD_BYTES,
    PRIOR_BLOCK_SIZE,
    READ_AHEAD_SECONDS,
    REPLY_STREAM_IDLE_SECONDS,
    SEND_ATTEMPTS,
    send_deadline,
)
from libp2p.bitswap.serve.send_rate import SendRate
from libp2p.bitswap.wire.protocols import Dialect, speaks_have
from libp2p.exceptions import BaseLibp2pError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.serve.ledger import Ledger, PeerWant, Reply
    from libp2p.bitswap.serve.rate_limit import RateLimiter
    from libp2p.bitswap.serve.scheduler import StoreScheduler
    from libp2p.bitswap.serve.store_reader import Found, StoreReader
    from libp2p.bitswap.wire.message import Message
    from libp2p.peer.id import ID
    from libp2p.resources import Scope

logger = get_logger(__name__)

_Read: TypeAlias = "tuple[Reply, list[bytes | None]]"
"""A reply and the blocks of its wants, None for a block that is not here any more."""


@dataclass(frozen=True)
class SenderContext:
    """
    The parts of a server that all its senders use.

    :param early_have_seconds: a peer whose blocks are delayed for so long is sent HAVE.
    :param outgoing: counts the bytes of blocks that were read and not written.
    :param open_stream: opens a stream to a connected peer; it never dials.
    :param start_task: runs a task for as long as the server works.
    :param on_written: called with each message that was written, and the time.
    :param on_failure: called with an unexpected error of a sender's task.
    """

    ledger: Ledger
    scheduler: StoreScheduler
    store: StoreReader
    limits: RateLimiter
    early_have_seconds: float
    outgoing: Scope
    open_stream: Callable[[ID], Awaitable[INetStream]]
    start_task: Callable[..., object]
    on_written: Callable[[ID, Message, float], None]
    on_failure: Callable[[ID, Exception], None]


class ReplySender:
    """Sends the replies to one peer."""

    def __init__(self, context: SenderContext, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._context = context
        self._ledger = context.ledger
        self._scheduler = context.scheduler
        self._store = context.store
        self._outgoing = context.outgoing.open(str(peer_id), cut=self._cut, weigh=self._weight)
        self._lot = trio.lowlevel.ParkingLot()
        self._scope: trio.CancelScope | None = None  # of the task, once it was started
        self._closed = False
        self._stream: INetStream | None = None
        self._dialect = Dialect.V1
        self._speaks_have = True
        self._used_at = 0.0  # when a reply was written last
        self._rests = False  # the task has no work
        self._failures = 0
        self._rate = SendRate()
        self._ahead: _Read | None = None  # the reply that is sent next
        # Blocks that were read in a look-up, for later replies.
        self._kept: dict[PeerWant, bytes] = {}
        self._kept_bytes = 0
        self._usual_size = PRIOR_BLOCK_SIZE
        self._writing: trio.CancelScope | None = None
        self._writing_since = 0.0
        self._read_seconds = 0.0  # how long the last reply took to read
        self._held_up_at: float | None = None  # since when blocks wait for a turn

    def close(self) -> None:
        """End the task; a reply that is being written is cut off by a reset."""
        self._closed = True
        self._rests = False
        self._outgoing.close()
        if self._scope is not None:
            self._scope.cancel()

    def wake(self) -> None:
        """Have the task look for work."""
        self._rests = False
        # The first want starts the task: a peer without wants has none.
        if self._scope is not None:
            self._lot.unpark()
        elif not self._closed:
            self._scope = trio.CancelScope()
            self._context.start_task(self._run, self._scope)

    def answer(self) -> None:
        """Answer the new wants: at once if there is nothing to wait for, else by the task."""
        pending = self._ledger.pending(self.peer_id)
        if pending and not (self._rests and pending <= ANSWERS_NOW and self._answer_now()):
            self.wake()

    def heard(self) -> None:
        """Note that the peer has sent a message: failed replies are tried again."""
        if self._failures:
            self._failures = 0
            self.wake()

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                while True:
                    if self._failures >= SEND_ATTEMPTS:
                        self._drop_ahead()
                        await self._rest()
                    elif self._ahead is not None:
                        read, self._ahead = self._ahead, None
                        await self._send(*read)
                    elif self._ledger.pending(self.peer_id):
                        await self._take_turn()
                    else:
                        await self._rest()
            except Exception as error:  # noqa: BLE001 - task's edge: it costs this peer
                self._context.on_failure(self.peer_id, error)
            finally:
                self._drop_ahead()
                self._drop_kept()
                stream, self._stream = self._stream, None
                await end_stream(stream)

    async def _rest(self) -> None:
        """Wait for work that `answer` leaves to the task; close the stream after a while."""
        self._scheduler.withdraw(self.peer_id, trio.current_time())
        self._held_up_at = None
        idle_at = math.inf if self._stream is None else self._used_at + REPLY_STREAM_IDLE_SECONDS
        self._rests = True
        try:
            with trio.CancelScope(deadline=idle_at) as scope:
                await self._lot.park()
        finally:
            self._rests = False
        if scope.cancelled_caught and self._used_at + REPLY_STREAM_IDLE_SECONDS <= idle_at:
            stream, self._stream = self._stream, None
            await end_stream(stream)

    # -- the bytes of blocks that were read -----------------------------------------------------

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._ledger.failed(self._ahead[0])
            self._release(self._ahead[0].size)
            self._ahead = None

    def _release(self, size: int) -> None:
        """Release the bytes of blocks that were written, or were dropped."""
        self._outgoing.release(min(size, self._outgoing.held))  # fewer if `_cut` has released some

    def _weight(self) -> float:
        """Return the bytes held, times the seconds that the current write has taken."""
        if self._writing is None:
            return float(self._outgoing.held)
        return self._outgoing.held * (1 + trio.current_time() - self._writing_since)

    def _cut(self) -> None:
        """Give the current write up: all peers hold too much, and this one has the most weight."""
        if self._writing is not None:
            self._writing.cancel()
        self._drop_kept()
        self._release(self._outgoing.held)

    def _keep(self, want: PeerWant, data: bytes) -> None:
        """Keep a block for a later reply, if there is room."""
        if self._kept_bytes < 2 * MAX_KEPT_BYTES and self._outgoing.try_hold(len(data)):
            self._kept[want] = data
            self._kept_bytes += len(data)

    def _take_kept(self, want: PeerWant) -> bytes | None:
        data = self._kept.pop(want, None)
        if data is not None:
            self._kept_bytes -= len(data)
            self._release(len(data))
        return data

    def _drop_kept(self) -> None:
        for want in list(self._kept):
            self._take_kept(want)

    # -- looking up and reading -----------------------------------------------------------------

    def _answer_now(self) -> bool:
        """Answer all queued wants without waiting; return False if the task has to do the rest."""
        ledger, peer_id = self._ledger, self.peer_id
        if self._stream is None or self._scheduler.is_contested:
            return False
        wants = ledger.look_ups(peer_id, ANSWERS_NOW)
        found = self._store.read_now(wants)
        if found is None:
            ledger.look_up_later(wants)
            return False
        here = self._resolve(zip(wants, found, strict=True))
        reply = ledger.next_reply(peer_id, self._rate.target)
        if reply is not None:
            blocks = [here.get(want) for want in reply.wants]
            if not self._send_now(reply, blocks):
                self._outgoing.hold(reply.size)
                self._ahead = reply, blocks
        return self._ahead is None and not ledger.pending(peer_id)

    def _resolve(self, found: Iterable[tuple[PeerWant, Found]]) -> dict[PeerWant, bytes]:
        """Tell the ledger the sizes of blocks; return the blocks that were read."""
        resolve = self._ledger.resolve
        here: dict[PeerWant, bytes] = {}
        for want, data in found:
            if isinstance(data, bytes):
                here[want] = data
                resolve(want, len(data))
            else:
                resolve(want, data)
        return here

    async def _take_turn(self) -> None:
        """Look up, read and send a reply in a turn; without one, send presences or wait."""
        ledger, scheduler, peer_id = self._ledger, self._scheduler, self.peer_id
        now = trio.current_time()
        ready_at = self._context.limits.peer_ready_at(peer_id, now)
        looks = 2 * self._kept_bytes <= MAX_KEPT_BYTES and ledger.has_look_ups(peer_id)
        may_begin = looks or (ready_at <= now and ledger.has_blocks(peer_id))
        if may_begin and scheduler.ask(peer_id, now, for_blocks=not looks):
            read = None
            try:
                read = await self._look_up_and_read(looks, ready_at <= now)
            finally:
                scheduler.end(peer_id, trio.current_time(), read[0].size if read else 0)
        elif (reply := ledger.next_reply(peer_id, with_blocks=False)) is not None:
            scheduler.withdraw(peer_id, now)  # a turn must not begin while this is written
            read = reply, []
        else:
            await self._wait_for_turn(math.inf if may_begin else ready_at)
            return
        if read is not None:
            await self._send(*read)
        else:
            await trio.lowlevel.checkpoint()

    async def _look_up_and_read(self, looks: bool, with_blocks: bool) -> _Read | None:
        """Look the new wants up if ``looks``, and read the next reply."""
        here: dict[PeerWant, bytes] = {}
        if looks:
            fits = with_blocks and not self._ledger.has_blocks(self.peer_id)
            here = await self._look_up(self._rate.target if fits else 0)
        may_send = with_blocks and self._scheduler.may_send(self.peer_id, trio.current_time())
        read = await self._read(may_send, here)
        if here and not self._store.takes_no_time:
            for want, data in here.items():
                if want.waits_for_block:
                    self._keep(want, data)
        return read

    async def _look_up(self, limit: int) -> dict[PeerWant, bytes]:
        """Look the new wants up; return the blocks that were read for that."""
        most = LOOK_UP_BATCH
        if not self._store.knows_sizes:
            most = min(max((MAX_KEPT_BYTES - self._kept_bytes) // self._usual_size, 1), most)
        wants = self._ledger.look_ups(self.peer_id, most)
        found = await self._store.look_up(wants, limit)
        here = self._resolve(found.items())
        if here:
            self._usual_size = max(sum(map(len, here.values())) // len(here), 1)
        return here

    async def _read(self, with_blocks: bool, here: dict[PeerWant, bytes]) -> _Read | None:
        """Take the next reply, and read its blocks except those in ``here``."""
        reply = self._ledger.next_reply(self.peer_id, self._rate.target, with_blocks=with_blocks)
        if reply is None:
            return None
        if not reply.wants:
            return reply, []
        start = trio.current_time()
        self._held_up_at = None
        self._context.limits.spend(self.peer_id, reply.size, start)
        blocks: list[bytes | None] | None = None
        try:
            blocks = await self._blocks_of(reply, here)
        finally:
            if blocks is None:
                self._ledger.failed(reply)
        self._outgoing.hold(reply.size)
        self._read_seconds = trio.current_time() - start
        return reply, blocks

    async def _blocks_of(self, reply: Reply, here: dict[PeerWant, bytes]) -> list[bytes | None]:
        """Return the blocks of a reply; wants that the store fails at are left out of it."""
        found: dict[PeerWant, bytes | None] = {}
        for want in reply.wants:
            data = here.get(want)
            if data is None:
                data = self._take_kept(want)
            if data is not None:
                found[want] = data
        missing = [want for want in reply.wants if want not in found]
        if missing:
            found |= await self._store.read(missing)
            if len(found) < len(reply.wants):
                reply.leave_out([want for want in missing if want not in found])
        return [found[want] for want in reply.wants]

    async def _wait_for_turn(self, ready_at: float) -> None:
        """Wait for a turn. After a while send HAVEs: a Go client takes silence for DONT_HAVE."""
        now = trio.current_time()
        if self._held_up_at is None:
            self._held_up_at = now
        have_at = self._held_up_at + self._context.early_have_seconds
        if now >= have_at:
            if (haves := self._ledger.early_haves(self.peer_id)) is not None:
                self._scheduler.withdraw(self.peer_id, now)
                await self._write(haves)
                return
            have_at = math.inf
        with trio.CancelScope(deadline=min(ready_at, have_at)):
            await self._lot.park()

    # -- writing --------------------------------------------------------------------------------

    def _send_now(self, reply: Reply, blocks: list[bytes | None]) -> bool:
        """Send a small reply if the stream takes it without waiting; else return False."""
        stream = self._stream
        if stream is None or reply.size > ANSWER_NOW_BYTES or self._is_slow(reply):
            return False
        message = reply.fill(blocks)
        frames = self._frames(message)  # one frame at most: the reply is small
        try:
            if not all(map(stream.send_nowait, frames)):
                return False
        except BaseLibp2pError:
            return False  # the task meets the same error and opens another stream
        now = trio.current_time()
        if frames:
            self._context.on_written(self.peer_id, message, now)
        self._note_sent(reply, message, now, now)
        return True

    async def _send(self, reply: Reply, blocks: list[bytes | None]) -> None:
        """Send a reply; if the store is slow, read the next one at the same time."""
        if self._send_now(reply, blocks):
            self._release(reply.size)
            await trio.lowlevel.checkpoint()
        elif (
            self._read_seconds > READ_AHEAD_SECONDS
            and self._ledger.has_blocks(self.peer_id)
            and self._ledger.sending_bytes < MAX_READ_AHEAD_BYTES
            and self._scheduler.ask_at_once(self.peer_id, trio.current_time())
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_ahead)
                await self._write_reply(reply, blocks)
        else:
            await self._write_reply(reply, blocks)

    async def _read_ahead(self) -> None:
        read = None
        try:
            read = self._ahead = await self._read(True, {})
        finally:
            size = read[0].size if read else 0
            self._scheduler.end(self.peer_id, trio.current_time(), size)

    async def _write_reply(self, reply: Reply, blocks: list[bytes | None]) -> None:
        """Write a reply; its wants end only when the whole reply has been written."""
        sent = False
        start = trio.current_time()
        try:
            haves = None
            if self._is_slow(reply):
                haves = self._ledger.early_haves(self.peer_id, reply)
            if haves is not None and not await self._write(haves):
                return
            message = reply.fill(blocks)
            sent = not message or await self._write(message, reply.size)
        finally:
            self._release(reply.size)
            if not sent:
                self._ledger.failed(reply)
        if sent:
            self._note_sent(reply, message, start, trio.current_time())

    async def _write(self, message: Message, size: int = 0) -> bool:
        """Write a message with ``size`` bytes of blocks; if that fails, reset the stream."""
        now = trio.current_time()
        sent = False
        error: BaseLibp2pError | None = None
        deadline = trio.CancelScope(deadline=now + send_deadline(size))
        try:
            with deadline:
                self._writing, self._writing_since = deadline, now
                stream = self._stream or await self._open_stream()
                frames = self._frames(message)
                for frame in frames:
                    await stream.send(frame)
                sent = True
        except BaseLibp2pError as failure:
            error = failure
        finally:
            self._writing = None
            if not sent:
                stream_left, self._stream = self._stream, None
                await reset_stream(stream_left)
        if sent:
            self._failures = 0
            if frames:
                self._context.on_written(self.peer_id, message, trio.current_time())
            return True
        logger.debug("reply to %s failed: %s", self.peer_id, error or "it took too long")
        self._failures += SEND_ATTEMPTS if error is not None and is_refusal(error) else 1
        if self._failures < SEND_ATTEMPTS:
            await back_off()
        return False

    async def _open_stream(self) -> INetStream:
        stream = self._stream = await self._context.open_stream(self.peer_id)
        self._dialect = Dialect.of(stream.get_protocol())
        self._speaks_have = speaks_have(stream.get_protocol())
        return stream

    def _frames(self, message: Message) -> list[list[Buffer]]:
        if not message or (not message.blocks and not self._speaks_have):
            return []  # an empty message, or presences to a peer that does not know them
        return message.frames(self._dialect)

    def _is_slow(self, reply: Reply) -> bool:
        return self._rate.seconds_for(reply.size) > self._context.early_have_seconds

    def _note_sent(self, reply: Reply, message: Message, start: float, now: float) -> None:
        """Note that a whole reply was written, between ``start`` and ``now``."""
        self._ledger.sent(reply)
        self._used_at = now
        if message.blocks:
            self._rate.wrote(reply.size, now - start)
