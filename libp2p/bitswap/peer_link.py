"""
One peer: a stream that our wants go on, a stream that our replies go on, and what comes in.

    wants    ──> one stream for as long as it lasts; whatever comes back on it is read as well,
                 since py-libp2p answers there
    replies  ──> a stream of our own, as nobody else reads the one that his wants came on; kept
                 open while there is work and a little longer
    inbound  <── any number of streams, each read until the peer ends it

A stream that fails costs that stream: its message goes out again on a new one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import trio

from libp2p.bitswap.config import (
    CLOSE_SECONDS,
    LOOK_UP_BATCH,
    MAX_INBOUND_STREAMS_PER_PEER,
    MAX_PARTIAL_BYTES_PER_PEER,
    REPLY_STREAM_IDLE_SECONDS,
    SEND_ATTEMPTS,
    SEND_BACKOFF_SECONDS,
    WANT_SEND_SECONDS,
    WITHOUT_HAVE,
    send_deadline,
)
from libp2p.bitswap.errors import MessageTooLargeError, PeerAnswer
from libp2p.bitswap.message_reader import MessageReader
from libp2p.bitswap.messages import Dialect, Message
from libp2p.exceptions import (
    BaseLibp2pError,
    MissingMessageException,
    MsgioException,
    ParseError,
    ProtocolNotSupportedError,
    StreamError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.abc import IHost, INetStream
    from libp2p.bitswap.block_store import BlockStore
    from libp2p.bitswap.ledger import Ledger, PeerWant, Reply
    from libp2p.bitswap.stats import BitswapStat
    from libp2p.bitswap.want_tracker import WantTracker
    from libp2p.custom_types import TProtocol
    from libp2p.peer.id import ID

logger = logging.getLogger(__name__)


class LinkOwner(Protocol):
    """What a link uses of its client."""

    host: IHost
    block_store: BlockStore
    tracker: WantTracker
    ledger: Ledger
    stats: BitswapStat
    supported_protocols: list[TProtocol]
    store_readers: trio.CapacityLimiter

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        """Act on the messages of a peer."""

    def apply(self) -> None:
        """Wake whoever has something to do after a change of the tracker."""

    def peer_unreachable(self, peer_id: ID) -> None:
        """A peer turned out not to be connected."""

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task in the client's nursery."""


class PeerLink:
    """Everything that is sent to one peer and received from it."""

    def __init__(self, owner: LinkOwner, peer_id: ID) -> None:
        self.peer_id = peer_id
        self._owner = owner
        self._wants = trio.lowlevel.ParkingLot()
        self._replies = trio.lowlevel.ParkingLot()
        self._running: set[str] = set()
        self._scopes: set[trio.CancelScope] = set()
        self._closed = False
        # wants
        self._want_stream: INetStream | None = None
        self._writing_wants = False
        # replies
        self._reply_stream: INetStream | None = None
        self._reply_failures = 0
        # inbound
        self._inbound_count = 0
        self._partial_bytes = 0

    # -- life -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End all tasks of this link; its streams are reset."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    def wake_wants(self) -> None:
        """There may be something to ask."""
        self._wake("wants", self._wants, self._write_wants)

    def wake_replies(self) -> None:
        """There may be something to answer."""
        self._wake("replies", self._replies, self._write_replies)

    def heard(self) -> None:
        """The peer has said something: replies that could not be sent may be tried again."""
        if self._reply_failures:
            self._reply_failures = 0
            self.wake_replies()

    def _wake(
        self, name: str, lot: trio.lowlevel.ParkingLot, task: Callable[[], Awaitable[None]]
    ) -> None:
        # Tasks are started when there is work for the first time: a peer that never trades costs
        # none.
        if name in self._running:
            lot.unpark()
        elif not self._closed:
            self._running.add(name)
            self._owner.start_task(self._run, task)

    async def _run(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        if self._closed:
            return
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await task(*args)
            finally:
                self._scopes.discard(scope)

    # -- wants ----------------------------------------------------------------------------------

    async def _write_wants(self) -> None:
        try:
            while True:
                if self._owner.tracker.has_outgoing(self.peer_id):
                    await self._send_wants()
                else:
                    await self._wants.park()
        finally:
            stream, self._want_stream = self._want_stream, None
            await _end(stream)

    async def _send_wants(self) -> None:
        """Send all wants there are in one message, on another stream if one fails."""
        tracker = self._owner.tracker
        for _ in range(SEND_ATTEMPTS):
            try:
                with trio.fail_after(WANT_SEND_SECONDS):
                    await self._send_wants_once()
                return
            except (BaseLibp2pError, trio.TooSlowError) as error:
                logger.debug("wants to %s failed: %s", self.peer_id, error)
                if _is_refusal(error):
                    self._wants_refused()
                    return
            if self.peer_id not in self._owner.host.get_connected_peers():
                self._owner.peer_unreachable(self.peer_id)
                return
            await _back_off()
        tracker.peer_failed(self.peer_id, PeerAnswer.UNRESPONSIVE, trio.current_time())
        self._owner.apply()

    async def _send_wants_once(self) -> None:
        stream = self._want_stream
        if stream is None:
            stream = await self._open_want_stream()
        # Only now, so that the message has all that has come up until this moment.
        entries = self._owner.tracker.take_message(self.peer_id, trio.current_time())
        if not entries:
            return
        self._owner.apply()
        sent = False
        self._writing_wants = True
        try:
            for frame in Message(entries).frames():
                await stream.send(frame)
            sent = True
        finally:
            self._writing_wants = False
            if not sent:
                self._owner.tracker.message_lost(self.peer_id, entries)
                self._owner.tracker.send_all_again(self.peer_id)
                if self._want_stream is stream:
                    self._want_stream = None
                await _reset(stream)
        if self._want_stream is not stream:
            await _end(stream)  # the peer has ended its half meanwhile

    async def _open_want_stream(self) -> INetStream:
        owner = self._owner
        stream = await owner.host.new_stream(self.peer_id, owner.supported_protocols)
        owner.tracker.set_supports_have(self.peer_id, stream.get_protocol() not in WITHOUT_HAVE)
        self._want_stream = stream
        owner.start_task(self._run, self._read_want_stream, stream)
        return stream

    async def _read_want_stream(self, stream: INetStream) -> None:
        """Read what py-libp2p answers on our stream, and notice when the peer ends it."""
        failure: BaseLibp2pError | None = None
        try:
            await self.read(stream)
        except (StreamError, ParseError, MsgioException) as error:
            logger.debug("want stream of %s: %s", self.peer_id, error)
            failure = error
        if self._want_stream is not stream:
            return
        # Helia ends its half at once, py-libp2p when it stops listening: either way the next
        # message gets a stream of its own, and the peer's end of this one is no error.
        self._want_stream = None
        if failure is not None:
            await _reset(stream)
            if _is_refusal(failure):  # a protocol agreed on lazily is refused only now
                self._wants_refused()
            else:
                self._owner.tracker.stream_reset(self.peer_id, trio.current_time())
                self._owner.apply()
        elif not self._writing_wants:
            await _end(stream)

    def _wants_refused(self) -> None:
        now = trio.current_time()
        self._owner.tracker.peer_failed(self.peer_id, PeerAnswer.NOT_SUPPORTED, now)
        self._owner.apply()

    # -- replies --------------------------------------------------------------------------------

    async def _write_replies(self) -> None:
        ledger = self._owner.ledger
        try:
            while True:
                if self._reply_failures >= SEND_ATTEMPTS or not ledger.has_work(self.peer_id):
                    await self._wait_for_replies()
                    continue
                for want in ledger.look_ups(self.peer_id, LOOK_UP_BATCH):
                    ledger.resolve(want, await self._size_of(want))
                reply = ledger.next_reply(self.peer_id)
                if reply is not None:
                    await self._send_reply(reply)
        finally:
            stream, self._reply_stream = self._reply_stream, None
            await _end(stream)

    async def _wait_for_replies(self) -> None:
        if self._reply_stream is None:
            await self._replies.park()
            return
        with trio.move_on_after(REPLY_STREAM_IDLE_SECONDS):
            await self._replies.park()
            return
        stream, self._reply_stream = self._reply_stream, None
        await _end(stream)

    async def _size_of(self, want: PeerWant) -> int | None:
        try:
            return await self._owner.block_store.get_size(want.cid.buffer)
        except Exception:  # task's edge: a store of the user's may raise anything
            logger.exception("the block store cannot look up %s", want.cid)
            return None

    async def _read_blocks(self, wants: Sequence[PeerWant]) -> list[bytes | None]:
        if not wants:
            return []
        try:
            async with self._owner.store_readers:
                return await self._owner.block_store.get_blocks([w.cid.buffer for w in wants])
        except Exception:  # task's edge: a store of the user's may raise anything
            logger.exception("the block store cannot read %d blocks", len(wants))
            return [None] * len(wants)

    async def _send_reply(self, reply: Reply) -> None:
        """Send a reply; it is settled only when all of it has been written."""
        ledger = self._owner.ledger
        sent = False
        try:
            message = reply.fill(await self._read_blocks(reply.wants))
            size = sum(map(len, message.blocks.values()))
            if message:
                with trio.fail_after(send_deadline(size)):
                    await self._write_reply(message)
            sent = True
        except (BaseLibp2pError, trio.TooSlowError) as error:
            logger.debug("reply to %s failed: %s", self.peer_id, error)
            self._reply_failures += SEND_ATTEMPTS if _is_refusal(error) else 1
        finally:
            if sent:
                ledger.sent(reply)
            else:
                ledger.failed(reply)
                stream, self._reply_stream = self._reply_stream, None
                await _reset(stream)
        if sent:
            self._reply_failures = 0
            self._owner.stats.blocks_sent += len(message.blocks)
            self._owner.stats.data_sent += size
        elif self._reply_failures < SEND_ATTEMPTS:
            await _back_off()

    async def _write_reply(self, message: Message) -> None:
        if self._reply_stream is None:
            self._reply_stream = await self._owner.host.new_stream(
                self.peer_id, self._owner.supported_protocols
            )
        stream = self._reply_stream
        for frame in message.frames(Dialect.of(stream.get_protocol())):
            await stream.send(frame)

    # -- inbound --------------------------------------------------------------------------------

    async def serve(self, stream: INetStream) -> None:
        """Read a stream that the peer has opened until it ends; what is wrong with it ends it."""
        if self._inbound_count >= MAX_INBOUND_STREAMS_PER_PEER:
            await _reset(stream)
            return
        self._inbound_count += 1
        try:
            await self.read(stream)
        except (ParseError, MsgioException) as error:
            logger.debug("bad message from %s: %s", self.peer_id, error)
            await _reset(stream)
        except StreamError as error:
            logger.debug("stream of %s: %s", self.peer_id, error)
        else:
            await _end(stream)
        finally:
            self._inbound_count -= 1

    async def read(self, stream: INetStream) -> None:
        """
        Read messages until the stream ends.

        :raises StreamError: if it is reset.
        :raises ParseError: if a message is malformed; also `MessageTooLargeError`.
        :raises MissingMessageException: if it ends inside a message.
        """
        reader = MessageReader()
        held = 0  # bytes of an unfinished message, as entered into the account of all streams
        try:
            while buffers := await stream.receive():
                messages = reader.receive(buffers)
                self._partial_bytes += reader.buffered - held
                held = reader.buffered
                if self._partial_bytes > MAX_PARTIAL_BYTES_PER_PEER:
                    raise MessageTooLargeError(f"{self._partial_bytes} bytes are unfinished")
                if messages:
                    await self._owner.receive(self.peer_id, messages)
        finally:
            self._partial_bytes -= held
        if not reader.at_boundary:
            raise MissingMessageException("the stream ended inside a message")


def _is_refusal(error: Exception) -> bool:
    """Tell whether the peer does not speak any of our protocols."""
    return isinstance(error.__cause__, ProtocolNotSupportedError)


async def _back_off() -> None:
    """Give a peer that just failed a moment; there is no event that would say when."""
    await trio.sleep_until(trio.current_time() + SEND_BACKOFF_SECONDS)


async def _end(stream: INetStream | None) -> None:
    """Close a stream politely, within a deadline; without politeness if it is too slow."""
    if stream is None:
        return
    try:
        with trio.move_on_after(CLOSE_SECONDS, shield=True) as scope:
            await stream.close()
        if not scope.cancelled_caught:
            return
    except BaseLibp2pError as error:
        logger.debug("closing %r: %s", stream, error)
    await _reset(stream)


async def _reset(stream: INetStream | None) -> None:
    """Abort a stream: half a message may be on it."""
    if stream is None:
        return
    try:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await stream.reset()
    except BaseLibp2pError as error:
        logger.debug("resetting %r: %s", stream, error)
