"""
What answers one peer: it looks blocks up, reads them and writes replies.

A task does that; a few small blocks that are at hand are sent where they are asked for, while it
rests. Replies go on a stream of our own, as nobody reads the one that his wants came on; it is kept
open while there is work and a little longer. The store is asked only in a turn (`turns`), which
ends before anything is written: who does not read holds up nobody else. While one reply is being
written the next one is read, unless the store is too quick for that to pay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias, cast

import trio

from libp2p.bitswap.config import (
    ANSWER_NOW_BYTES,
    ANSWERS_NOW,
    EARLY_HAVE_SECONDS,
    LOOK_UP_BATCH,
    MAX_KEPT_BYTES,
    MAX_READ_AHEAD_BYTES,
    PRIOR_BLOCK_SIZE,
    READ_AHEAD_SECONDS,
    REPLY_STREAM_IDLE_SECONDS,
    SEND_ATTEMPTS,
    send_deadline,
)
from libp2p.bitswap.net.stream_ends import back_off, end_stream, is_refusal, reset_stream
from libp2p.bitswap.serve.send_rate import Pace
from libp2p.bitswap.wire.message import Dialect, speaks_have
from libp2p.exceptions import BaseLibp2pError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.base_types import Buffer
    from libp2p.bitswap.serve.ledger import PeerWant, Reply
    from libp2p.bitswap.serve.server import Server
    from libp2p.bitswap.serve.store_reader import Found
    from libp2p.bitswap.wire.message import Message
    from libp2p.peer.id import ID

logger = get_logger(__name__)

_Read: TypeAlias = "tuple[Reply, list[bytes | None]]"


class ReplySender:
    """What is sent to one peer in answer to its wants."""

    def __init__(self, server: Server, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._server = server
        self._ledger = server.ledger
        self._lot = trio.lowlevel.ParkingLot()
        self._scope: trio.CancelScope | None = None
        self._closed = False
        self._stream: INetStream | None = None
        self._dialect = Dialect.V1
        self._speaks_have = True
        self._used_at = 0.0  # when something was written last
        self._rests = False  # waits for something to do
        self._failures = 0
        self._pace = Pace()
        self._ahead: _Read | None = None
        # Blocks that were read to be looked up, for the replies to come.
        self._kept: dict[PeerWant, bytes] = {}
        self._kept_bytes = 0
        self._usual_size = PRIOR_BLOCK_SIZE
        self._outgoing = server.outgoing.open(str(peer_id), cut=self._cut, weigh=self._weight)
        self._writing: trio.CancelScope | None = None
        self._writing_since = 0.0
        self._read_seconds = 0.0  # that the last reading took
        self._held_up_at: float | None = None  # since when blocks wait for a turn

    def close(self) -> None:
        """End the task; a reply that is being written is cut off by a reset."""
        self._closed = True
        self._rests = False
        self._outgoing.close()
        if self._scope is not None:
            self._scope.cancel()

    def wake(self) -> None:
        """There may be something to answer."""
        self._rests = False
        # The task starts with the first want: a peer that never asks costs none.
        if self._scope is not None:
            self._lot.unpark()
        elif not self._closed:
            self._scope = trio.CancelScope()
            self._server.owner.start_task(self._run, self._scope)

    def answer(self) -> None:
        """Something was asked: answer it now, as far as that takes no time."""
        pending = self._ledger.pending(self.peer_id)
        if pending and not (self._rests and pending <= ANSWERS_NOW and self._answer_now()):
            self.wake()

    def heard(self) -> None:
        """The peer has said something: replies that could not be sent may be tried again."""
        if self._failures:
            self._failures = 0
            self.wake()

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                while True:
                    await self._step()
            except Exception as error:  # noqa: BLE001 - task's edge: it costs this peer
                self._server.owner.faults.note("what replies are sent with", error)
                self._server.owner.peer_unreachable(self.peer_id)
            finally:
                self._drop_ahead()
                self._drop_kept()
                stream, self._stream = self._stream, None
                await end_stream(stream)

    async def _step(self) -> None:
        if self._failures >= SEND_ATTEMPTS:
            self._drop_ahead()
            await self._rest()
        elif self._ahead is not None:
            read, self._ahead = self._ahead, None
            await self._send(*read)
        elif not self._ledger.has_work(self.peer_id):
            await self._rest()
        else:
            await self._answer()

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._ledger.failed(self._ahead[0])
            self._release(self._ahead[0].size)
            self._ahead = None

    # -- what is held ---------------------------------------------------------------------------

    def _release(self, size: int) -> None:
        """Blocks of a reply are written, or will not be."""
        self._outgoing.release(min(size, self._outgoing.held))  # less if it was cut off

    def _weight(self) -> float:
        if self._writing is None:
            return float(self._outgoing.held)
        return self._outgoing.held * (1 + trio.current_time() - self._writing_since)

    def _cut(self) -> None:
        """All peers together hold too much, and this one the most for the longest time."""
        if self._writing is not None:
            self._writing.cancel()
        self._drop_kept()
        self._release(self._outgoing.held)

    def _keep(self, want: PeerWant, data: bytes) -> None:
        """Keep a block that has been read for the reply with it, if there is room."""
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

    async def _rest(self) -> None:
        """Wait until there is something to answer that `answer` does not."""
        self._server.withdraw(self.peer_id)
        self._held_up_at = None
        idle_at = math.inf if self._stream is None else self._used_at + REPLY_STREAM_IDLE_SECONDS
        self._rests = True
        try:
            with trio.move_on_at(idle_at) as scope:
                await self._lot.park()
        finally:
            self._rests = False
        if scope.cancelled_caught and self._used_at + REPLY_STREAM_IDLE_SECONDS <= idle_at:
            stream, self._stream = self._stream, None
            await end_stream(stream)

    def _answer_now(self) -> bool:
        """Answer what is new, which is all that there is; return False if some is left."""
        ledger, peer_id = self._ledger, self.peer_id
        if self._stream is None or self._server.is_contested:
            return False
        wants = ledger.look_ups(peer_id, ANSWERS_NOW)
        found = self._server.store.blocks_now(wants)
        if found is None:
            ledger.look_up_later(wants)
            return False
        for want, data in zip(wants, found, strict=True):
            ledger.resolve(want, None if data is None else len(data))
        reply = ledger.next_reply(peer_id, self._pace.target)
        if reply is not None:
            here = dict(zip(wants, found, strict=True))
            blocks = [here[want] for want in reply.wants]
            if reply.size > ANSWER_NOW_BYTES or not self._send_now(self._stream, reply, blocks):
                self._ahead = reply, blocks
                self._outgoing.hold(reply.size)
        return self._ahead is None and not ledger.has_work(peer_id)

    def _send_now(self, stream: INetStream, reply: Reply, blocks: list[bytes | None]) -> bool:
        """Send a reply, unless that has to wait or fails: then it is the task's."""
        if self._is_slow(reply):
            return False
        message = reply.fill(blocks)
        frames = self._frames(message) if message else []  # one, as so few answers fit into it
        try:
            if not all(map(stream.send_nowait, frames)):
                return False
        except BaseLibp2pError:
            return False
        if frames:
            self._server.owner.tracing.sent(self.peer_id, message)
        self._note_sent(reply, message, trio.current_time())
        return True

    # -- in a turn ------------------------------------------------------------------------------

    async def _answer(self) -> None:
        """Take a turn and send what comes of it; without one, what can be said all the same."""
        now = trio.current_time()
        ready_at = self._server.ready_at(self.peer_id, now)
        looks = 2 * self._kept_bytes <= MAX_KEPT_BYTES and self._ledger.has_look_ups(self.peer_id)
        may_begin = looks or (ready_at <= now and self._ledger.has_blocks(self.peer_id))
        if may_begin and self._server.begin(self.peer_id, now, for_blocks=not looks):
            read = await self._take_turn(looks, ready_at <= now)
        elif (reply := self._ledger.next_reply(self.peer_id, with_blocks=False)) is not None:
            self._server.withdraw(self.peer_id)  # a turn must not begin while this is written
            read = reply, []
        else:
            await self._wait_for_turn(math.inf if may_begin else ready_at)
            return
        if read is not None:
            await self._send(*read)
        else:
            await trio.lowlevel.checkpoint()

    async def _take_turn(self, looks: bool, with_blocks: bool) -> _Read | None:
        """Look up what is new, and read the next reply."""
        read = None
        try:
            if looks:
                await self._look_up()
            read = await self._read(with_blocks and self._server.may_send(self.peer_id))
        finally:
            self._server.end(self.peer_id, read[0].size if read else 0)
        return read

    async def _look_up(self) -> None:
        """Look up what is new."""
        store = self._server.store
        reads = not store.knows_sizes and not store.takes_no_time
        limit = LOOK_UP_BATCH
        if reads:
            limit = min(max((MAX_KEPT_BYTES - self._kept_bytes) // self._usual_size, 1), limit)
        wants = self._ledger.look_ups(self.peer_id, limit)
        found = await store.look_up(wants)
        read = 0
        for want, block in found.items():
            if not isinstance(block, bytes):
                self._ledger.resolve(want, block)
                continue
            self._ledger.resolve(want, len(block))
            read += len(block)
            if reads and want.waits_for_block:
                self._keep(want, block)
        if len(found) < len(wants):
            self._server.put_aside(want for want in wants if want not in found)
        if read:
            self._usual_size = max(read // len(found), 1)

    async def _read(self, with_blocks: bool) -> _Read | None:
        reply = self._ledger.next_reply(self.peer_id, self._pace.target, with_blocks=with_blocks)
        if reply is None:
            return None
        if not reply.wants:
            return reply, []
        start = trio.current_time()
        self._held_up_at = None
        if self._server.uplink.limits_any:
            self._server.uplink.spend(self.peer_id, reply.size, start)
        blocks = None
        try:
            blocks = await self._blocks_of(reply)
        finally:
            if blocks is None:
                self._ledger.failed(reply)
        self._outgoing.hold(reply.size)
        self._read_seconds = trio.current_time() - start
        return reply, blocks

    async def _blocks_of(self, reply: Reply) -> list[bytes | None]:
        """Read the blocks of a reply; what the store fails at is left out of it."""
        found: dict[PeerWant, Found] = {}
        for want in reply.wants:
            if (data := self._take_kept(want)) is not None:
                found[want] = data
        missing = [want for want in reply.wants if want not in found]
        if missing:
            found |= await self._server.store.blocks(missing)
            lost = [want for want in missing if want not in found]
            if lost:
                reply.leave_out(lost)
                self._server.put_aside(lost)
        return [cast("bytes | None", found[want]) for want in reply.wants]

    async def _wait_for_turn(self, ready_at: float) -> None:
        """Wait, and say HAVE meanwhile if it takes long: a Go client takes silence for no."""
        now = trio.current_time()
        if self._held_up_at is None:
            self._held_up_at = now
        have_at = self._held_up_at + EARLY_HAVE_SECONDS
        if now >= have_at:
            if (haves := self._ledger.early_haves(self.peer_id)) is not None:
                self._server.withdraw(self.peer_id)
                await self._deliver(haves)
                return
            have_at = math.inf
        with trio.move_on_at(min(ready_at, have_at)):
            await self._lot.park()

    # -- out of it ------------------------------------------------------------------------------

    async def _send(self, reply: Reply, blocks: list[bytes | None]) -> None:
        """Send a reply, and read the next one meanwhile."""
        server = self._server
        if (
            self._read_seconds > READ_AHEAD_SECONDS
            and self._ledger.has_blocks(self.peer_id)
            and self._ledger.sending_bytes < MAX_READ_AHEAD_BYTES
            and server.begin_at_once(self.peer_id)
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_ahead)
                await self._settle(reply, blocks)
        else:
            await self._settle(reply, blocks)

    async def _read_ahead(self) -> None:
        read = None
        try:
            read = self._ahead = await self._read(True)
        finally:
            self._server.end(self.peer_id, read[0].size if read else 0)

    async def _settle(self, reply: Reply, blocks: list[bytes | None]) -> None:
        """Send a reply; it is settled only when all of it has been written."""
        sent = False
        start = trio.current_time()
        try:
            slow = self._is_slow(reply)
            haves = self._ledger.early_haves(self.peer_id, reply) if slow else None
            if haves is not None and not await self._deliver(haves):
                return
            message = reply.fill(blocks)
            size = sum(map(len, message.blocks.values()))
            sent = not message or await self._deliver(message, size)
        finally:
            self._release(reply.size)
            if not sent:
                self._ledger.failed(reply)
        if sent:
            self._note_sent(reply, message, start)

    def _is_slow(self, reply: Reply) -> bool:
        return self._pace.seconds_for(reply.size) > EARLY_HAVE_SECONDS

    def _note_sent(self, reply: Reply, message: Message, start: float) -> None:
        """All of a reply has been written, from ``start`` to now."""
        self._ledger.sent(reply)
        self._used_at = now = trio.current_time()
        if message.blocks:
            size = sum(map(len, message.blocks.values()))
            self._pace.wrote(size, now - start)
            self._server.count_sent(self.peer_id, message.blocks, size, now)

    async def _deliver(self, message: Message, size: int = 0) -> bool:
        """Write a message; if that fails, the stream is reset and it has to be sent again."""
        sent = False
        try:
            with trio.fail_after(send_deadline(size)) as self._writing:
                self._writing_since = trio.current_time()
                await self._write(message)
            sent = True
            self._failures = 0
        except (BaseLibp2pError, trio.TooSlowError) as error:
            logger.debug("reply to %s failed: %s", self.peer_id, error)
            self._failures += SEND_ATTEMPTS if is_refusal(error) else 1
        finally:
            self._writing = None
            if not sent:
                stream, self._stream = self._stream, None
                await reset_stream(stream)
        if not sent and self._failures < SEND_ATTEMPTS:
            await back_off()
        return sent

    async def _write(self, message: Message) -> None:
        stream = self._stream
        if stream is None:
            owner = self._server.owner
            # Who has gone does not wait for the answer: a server never dials.
            stream = await owner.host.new_stream(
                self.peer_id, owner.supported_protocols, no_dial=True
            )
            self._stream = stream
            self._dialect = Dialect.of(stream.get_protocol())
            self._speaks_have = speaks_have(stream.get_protocol())
        frames = self._frames(message)
        for frame in frames:
            await stream.send(frame)
        if frames:
            self._server.owner.tracing.sent(self.peer_id, message)

    def _frames(self, message: Message) -> list[list[Buffer]]:
        if not message.blocks and not self._speaks_have:
            return []  # presences are all there is, and the peer does not know them
        return message.frames(self._dialect)
