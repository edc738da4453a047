"""What a peer's streams push: its order, its bounds, its ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.bitswap.common.timers import Timed, Timers
from libp2p.bitswap.config import (
    DEFAULT_CONFIG,
    INTAKE_NOW_BYTES,
    INTAKE_TURN_BYTES,
    MAX_INTAKE_BYTES,
    MAX_UNSTORED_BYTES,
    MIN_MESSAGE_COST,
    STORE_BATCH_BYTES,
)
from libp2p.bitswap.net.block_writer import BlockWriter
from libp2p.bitswap.net.peer_receiver import PeerReceiver
from libp2p.bitswap.net.receiver import Receiver
from libp2p.bitswap.want.reports import Unavailable
from libp2p.bitswap.want.state import SessionWants, Want
from libp2p.bitswap.wire.entry import Entry
from libp2p.bitswap.wire.message import Message
from libp2p.exceptions import MuxedStreamReset
from libp2p.ipld.cid import CID
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.resources import Resources
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.varint import encode_uvarint
from tests.support.memory_session import joined, stream_between

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from libp2p.bitswap.errors import BitswapError
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

PEER = ID(b"\x00\x04peer")


A_SESSION = SessionWants(1, None, wait=False, presence_only=False, searches=False)
A_WANT = Want(b"", CID.for_block(b""), 1, 0, A_SESSION)


class Tracker:
    def __init__(self) -> None:
        self.bytes = 0

    def bytes_arrived(self, peer_id: ID, size: int, now: float) -> None:
        self.bytes += size

    def is_asked(self, peer_id: ID) -> bool:
        return False

    def has_delivered(self, peer_id: ID, now: float) -> bool:
        return False

    def settle(self, want: Want) -> tuple[int, ...]:
        return (0,)


class Owner:
    """Is a client's parts and notes what they are given; ``answering``, ``storing`` hold it up."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.is_running = True
        self.tracker = Tracker()
        self.faults = FaultLog()
        me: Any = self
        self.server, self.sessions = me, me
        self.writer = BlockWriter(
            lambda: me, me.tracker, me, me, self.faults, DEFAULT_CONFIG, lambda key: {}
        )
        self.resources = Resources()
        self.receiver = Receiver(self.writer, self.resources, DEFAULT_CONFIG)
        self.timers: Timers[Timed] = Timers()
        self.taken: list[bytes] = []
        self.answered: list[CID] = []
        self.kept: list[int] = []
        self.failed: list[str] = []
        self.trouble: Exception | None = None
        self.answer_trouble: Exception | None = None
        self.answering, self.storing = trio.Event(), trio.Event()
        self.answering.set()
        self.storing.set()
        nursery.start_soon(self.writer.run)
        nursery.start_soon(self.receiver.run)

    # a `Service`

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        self.nursery.start_soon(task, *args)

    # a `TimeWatch`

    def set(self, waiter: Timed, when: float) -> None:
        self.timers.set(waiter, when)

    def __contains__(self, waiter: Timed) -> bool:
        return waiter in self.timers

    def drop(self, waiter: Timed) -> None:
        self.timers.drop(waiter)

    # a `MessageHandler`

    def heard(self, peer_id: ID, messages: Sequence[Message]) -> None: ...

    def take(self, peer_id: ID, messages: Sequence[Message], now: float) -> None:
        if self.trouble is not None:
            raise self.trouble
        for message in messages:
            blocks = [
                (Want(cid.multihash, cid, 1, 0, A_SESSION), d) for cid, d in message.blocks.items()
            ]
            self.taken += message.blocks.values()
            if blocks:
                self.writer.add(blocks)

    # a `Server`

    def receive_now(self, peer_id: ID, messages: Sequence[Message]) -> bool:
        return False

    async def receive(self, peer_id: ID, messages: Sequence[Message]) -> None:
        if self.answer_trouble is not None:
            raise self.answer_trouble
        await self.answering.wait()
        self.answered += [cid for message in messages for cid in message.entries]

    def new_block(self, cid: CID, size: int) -> None: ...

    # a `BlockStore`

    def put_blocks_now(self, blocks: Sequence[tuple[CID, bytes]]) -> bool:
        return False

    async def put_blocks(self, blocks: Sequence[tuple[bytes, bytes]]) -> None:
        await self.storing.wait()
        self.kept.append(len(blocks))

    def damage_of(self, cid: CID) -> str | None:
        return None

    # the `Sessions`

    def deliver(self, numbers: Sequence[int], key: bytes, data: bytes) -> None: ...

    def fail(self, numbers: Sequence[int], key: bytes, error: BitswapError) -> None:
        self.failed.append(f"after {sum(self.kept)}")


class Two:
    """A peer that writes, and our intake of it."""

    def __init__(self, nursery: trio.Nursery, a: Yamux, b: Yamux) -> None:
        self.a, self.b = a, b
        self.owner = Owner(nursery)
        parts = cast("Any", self.owner)
        self.peer = PeerReceiver(PEER, self.owner.receiver, parts, parts, parts)

    async def open(self, data: bytes = b"") -> YamuxStream:
        """Open a stream whose first bytes come with the negotiation."""
        theirs, ours = await stream_between(self.a, self.b)
        self.peer.accept(NetStream(ours), [data] if data else [])
        return theirs


@pytest.fixture
async def two(nursery: trio.Nursery) -> AsyncIterator[Two]:
    async with joined(4 * 1024 * 1024) as (a, b):
        yield Two(nursery, a, b)


def with_block(data: bytes) -> bytes:
    return _wire(Message(blocks=[(CID.for_block(data), data)]))


def wanting(name: bytes) -> bytes:
    return _wire(Message([Entry(CID.for_block(name))]))


def _wire(message: Message) -> bytes:
    return b"".join(b"".join(frame) for frame in message.frames())


async def is_reset(stream: YamuxStream) -> bool:
    try:
        await stream.read()
    except MuxedStreamReset:
        return True
    return False


@pytest.mark.parametrize("first", [0, 1, 20, 10_000])
async def test_messages_are_taken_in_order_and_the_stream_is_closed_behind_them(
    two: Two, first: int
) -> None:
    data = b"".join(with_block(bytes((n,)) * 1000) for n in range(50))
    stream = await two.open(data[:first])
    await stream.write(data[first:])
    await stream.close_write()
    assert not await is_reset(stream)
    assert two.owner.taken == [bytes((n,)) * 1000 for n in range(50)]
    assert two.owner.tracker.bytes == len(data)
    assert two.owner.receiver.streams.held == two.owner.receiver.unfinished.held == 0


async def test_a_bad_message_spoils_what_follows_and_not_what_came_before(two: Two) -> None:
    bad = b"\x02\x1a\xff"
    stream = await two.open(with_block(b"one") + bad + with_block(b"two"))
    other = await two.open(with_block(b"three"))
    assert await is_reset(stream)
    await other.close_write()
    assert not await is_reset(other)
    assert two.owner.taken == [b"one", b"three"]


@pytest.mark.parametrize("end", [with_block(b"two")[:-1], encode_uvarint(2**30)])
async def test_what_ends_inside_a_message_or_is_none_is_reset(two: Two, end: bytes) -> None:
    stream = await two.open(with_block(b"one"))
    await stream.write(end)
    await stream.close_write()
    assert await is_reset(stream)
    assert two.owner.taken == [b"one"]
    assert two.owner.receiver.streams.held == two.owner.receiver.unfinished.held == 0


async def test_a_filter_that_takes_its_time_does_not_hold_up_blocks(two: Two) -> None:
    two.owner.answering = trio.Event()
    stream = await two.open(wanting(b"x") + wanting(b"y"))
    await two.open(with_block(b"one"))
    await stream.write(with_block(b"two"))
    await wait_all_tasks_blocked()
    assert two.owner.taken == [b"one", b"two"]
    assert two.owner.answered == []
    two.owner.answering.set()
    await wait_all_tasks_blocked()
    assert two.owner.answered == [CID.for_block(b"x"), CID.for_block(b"y")]


async def test_a_peer_whose_wants_wait_is_not_read_beyond_the_limit_and_then_is(two: Two) -> None:
    two.owner.answering = trio.Event()
    list_of_wants = _wire(Message([Entry(CID.for_block(b"%d" % n)) for n in range(10_000)]))
    stream = await two.open()
    written = 0

    async def write() -> None:
        nonlocal written
        for _ in range(40):
            await stream.write(list_of_wants)
            written += len(list_of_wants)
        await stream.close_write()

    two.owner.nursery.start_soon(write)
    await wait_all_tasks_blocked()
    window = stream.statistics().send_credit
    # What is decoded and waits counts for more than its bytes, so it may be full a little earlier.
    assert two.owner.tracker.bytes >= MAX_INTAKE_BYTES // 2
    assert two.owner.tracker.bytes <= MAX_INTAKE_BYTES + len(list_of_wants) + 512 * 1024
    assert written < 40 * len(list_of_wants)
    assert window == 0
    two.owner.answering.set()
    assert not await is_reset(stream)
    assert len(two.owner.answered) == 400_000


async def test_nothing_is_decoded_while_the_store_is_behind(two: Two) -> None:
    two.owner.storing = trio.Event()
    block = bytes(1024 * 1024)
    stream = await two.open()

    async def write() -> None:
        for n in range(40):
            await stream.write(with_block(bytes((n,)) + block))

    two.owner.nursery.start_soon(write)
    await wait_all_tasks_blocked()
    assert MAX_UNSTORED_BYTES <= sum(map(len, two.owner.taken)) < MAX_UNSTORED_BYTES + 2**21
    two.owner.storing.set()
    await wait_all_tasks_blocked()
    assert len(two.owner.taken) == sum(two.owner.kept) == 40
    assert max(two.owner.kept) <= 1 + STORE_BATCH_BYTES // len(block)


async def test_a_few_bytes_are_acted_on_without_a_task(two: Two) -> None:
    stream = await two.open(with_block(b"one"))
    assert two.owner.taken == [b"one"]
    data = with_block(b"two")
    for at in range(0, len(data), 7):
        await stream.write(data[at : at + 7])
        await wait_all_tasks_blocked()
    assert two.owner.taken == [b"one", b"two"]
    assert len(two.owner.nursery.child_tasks) == 2  # the writer, and who gives turns


@pytest.mark.parametrize("data", [with_block(bytes(INTAKE_NOW_BYTES)), 3 * with_block(b"one")])
async def test_much_or_many_are_taken_by_a_task(two: Two, data: bytes) -> None:
    stream = await two.open()
    await stream.write(data)
    await wait_all_tasks_blocked()
    assert len(two.owner.nursery.child_tasks) == 2
    assert two.owner.taken in ([bytes(INTAKE_NOW_BYTES)], 3 * [b"one"])


async def test_a_few_bytes_wait_as_well_while_the_store_is_behind(two: Two) -> None:
    two.owner.storing = trio.Event()
    two.owner.writer.add([(A_WANT, bytes(MAX_UNSTORED_BYTES))])
    await two.open(with_block(b"one"))
    await wait_all_tasks_blocked()
    assert two.owner.taken == []
    two.owner.storing.set()
    await wait_all_tasks_blocked()
    assert two.owner.taken == [b"one"]


async def test_a_failure_is_told_after_the_blocks_that_came_before_it(
    nursery: trio.Nursery,
) -> None:
    owner = Owner(nursery)
    failure = Unavailable(0, b"", CID.for_block(b"not here"), {})
    owner.writer.fail(failure)
    owner.storing = trio.Event()
    owner.writer.add([(A_WANT, b"one")])
    owner.writer.fail(failure)
    owner.writer.fail(failure)
    owner.writer.add([(A_WANT, b"two")])
    await wait_all_tasks_blocked()
    assert owner.failed == ["after 0"]
    owner.storing.set()
    await wait_all_tasks_blocked()
    assert owner.failed == ["after 0", "after 1", "after 1"]
    assert owner.kept == [1, 1]


async def test_a_client_that_stops_resets_the_streams(two: Two) -> None:
    streams = [await two.open(with_block(b"one")), await two.open()]
    await wait_all_tasks_blocked()
    two.peer.stop()
    assert [await is_reset(stream) for stream in streams] == [True, True]
    assert two.owner.receiver.streams.held == 0


async def test_a_stream_that_goes_on_after_the_client_has_stopped_is_reset(two: Two) -> None:
    stream = await two.open()
    two.owner.is_running = False
    await stream.write(with_block(b"one"))
    assert await is_reset(stream)
    assert two.owner.taken == []


async def test_what_came_before_the_peer_was_lost_is_still_taken(two: Two) -> None:
    await two.open(with_block(b"one"))
    stream = await two.open(with_block(b"two"))
    two.peer.close()
    await wait_all_tasks_blocked()
    assert two.owner.taken == [b"one", b"two"]
    await stream.write(with_block(b"three"))  # the connection was not lost after all
    await wait_all_tasks_blocked()
    assert two.owner.taken[2:] == [b"three"]
    assert len(two.owner.nursery.child_tasks) == 2  # the writer, and who gives turns


async def test_a_flood_of_tiny_messages_lets_others_run(two: Two) -> None:
    stream = await two.open()
    await stream.write(bytes(50_000))  # as many empty messages
    turns = 0
    while two.owner.tracker.bytes < 50_000 or two.peer._has_more:
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns >= 50_000 * MIN_MESSAGE_COST // INTAKE_TURN_BYTES


async def test_an_error_of_our_own_costs_the_peer_its_streams_and_nobody_else(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    two.owner.trouble = ValueError("a tracer of the user's")
    assert await is_reset(await two.open(with_block(b"one")))
    two.owner.trouble = None
    stream = await two.open(with_block(b"two") + wanting(b"x"))
    await wait_all_tasks_blocked()
    two.owner.answer_trouble = ValueError("a bug")
    await stream.write(wanting(b"y"))
    await wait_all_tasks_blocked()
    two.owner.answer_trouble = None
    other = await two.open(wanting(b"z"))
    await wait_all_tasks_blocked()
    assert two.owner.taken == [b"two"]
    assert two.owner.answered == [CID.for_block(b"x"), CID.for_block(b"z")]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    await other.close_write()
    assert not await is_reset(other)


async def test_a_stream_that_cannot_be_ended_costs_the_peer_its_streams_and_nobody_else(
    two: Two, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(self: NetStream) -> None:
        raise ValueError("a bug")

    other, stream = await two.open(), await two.open(with_block(b"one"))
    with monkeypatch.context() as patch:
        patch.setattr(NetStream, "close_nowait", close)
        await stream.close_write()
        assert await is_reset(other)
    third = await two.open(with_block(b"two"))
    await third.close_write()
    assert not await is_reset(third)
    assert two.owner.taken == [b"one", b"two"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_bad_message_that_comes_as_the_client_stops_leaves_no_stream(two: Two) -> None:
    bad = await two.open(b"\x02\x1a\xff")
    two.peer.stop()
    assert await is_reset(bad)


async def test_the_end_of_a_stream_that_a_turn_has_read_in_parts_is_noticed(two: Two) -> None:
    two.owner.storing = trio.Event()
    two.owner.writer.add([(A_WANT, bytes(MAX_UNSTORED_BYTES))])  # no turn yet
    data = [bytes((n,)) * 250 * 1024 for n in range(6)]
    streams = [await two.open() for _ in data]
    for stream, block in zip(streams, data, strict=True):
        await stream.write(with_block(block))
        await stream.close_write()
    await wait_all_tasks_blocked()
    assert two.owner.taken == []
    two.owner.storing.set()
    for stream in streams:
        assert not await is_reset(stream)
    assert sorted(two.owner.taken) == data
