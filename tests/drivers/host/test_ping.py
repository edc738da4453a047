"""Ping, both sides: over streams in memory, and over yamux."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.exceptions import (
    IncompleteReadError,
    PingError,
    StreamEOF,
    StreamFailure,
    StreamReset,
    StreamTimeout,
)
from libp2p.host.ping import (
    ID,
    IDLE_TIMEOUT,
    MAX_INBOUND_STREAMS,
    PING_LENGTH,
    RESP_TIMEOUT,
    PingService,
    handle_ping,
    perform_ping_roundtrip,
    ping_once,
)
from libp2p.io.utils import read_exactly
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.stream_state import Half
from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream
from tests.support.identity_hosts import FakeHost, serve
from tests.support.memory_session import bounded_pair, stream_between, yamux_over
from tests.support.streams import MemoryStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.abc import INetStream
    from libp2p.base_types import TProtocol
    from libp2p.peer.id import ID as PeerID

PAYLOAD = bytes(range(PING_LENGTH))
KINDS = {False: "over memory streams", True: "over yamux"}


class Asker(FakeHost):
    """Opens streams in memory, or of a yamux connection."""

    def __init__(self, nursery: trio.Nursery, answerer: FakeHost, over_yamux: bool) -> None:
        super().__init__(1, nursery)
        self.answerer = answerer
        self.connect_to(answerer)
        self.opened: list[INetStream] = []
        self.credit = DEFAULT_WINDOW_SIZE
        self.near, self.far = map(yamux_over, bounded_pair())
        self._over_yamux = over_yamux
        if over_yamux:
            nursery.start_soon(self.near.run)
            nursery.start_soon(self.far.run)

    async def open(self) -> tuple[INetStream, INetStream]:
        """Return this host's and the other one's end of a stream."""
        ends: tuple[INetStream, INetStream]
        if self._over_yamux:
            opened, accepted = await stream_between(self.near, self.far)
            opened.state.send_credit = self.credit
            ends = NetStream(opened), NetStream(accepted)
        else:
            ends = self.open_to(self.answerer)
        self.opened.append(ends[0])
        return ends

    async def new_stream(
        self, peer_id: PeerID, protocol_ids: Sequence[TProtocol], *, no_dial: bool = False
    ) -> INetStream:
        handler = self.answerer.mux.handlers.get(protocol_ids[0])
        if peer_id != self.answerer.id or handler is None:
            raise StreamFailure("not supported")
        mine, theirs = await self.open()
        self._nursery.start_soon(serve, handler, theirs)
        return mine


class Two:
    """A host that pings and one that answers."""

    def __init__(self, nursery: trio.Nursery, over_yamux: bool) -> None:
        self.nursery = nursery
        self.answerer = FakeHost(2, nursery)
        self.asker = Asker(nursery, self.answerer, over_yamux)
        self.answerer.set_stream_handler(ID, handle_ping)
        self.service = PingService(self.asker.as_host())


def yamux_stream_of(stream: NetStream) -> YamuxStream:
    assert isinstance(stream.muxed_stream, YamuxStream)
    return stream.muxed_stream


def was_reset(stream: INetStream) -> bool:
    if isinstance(stream, NetStream):
        return yamux_stream_of(stream).state.reading is Half.RESET
    assert isinstance(stream, MemoryStream)
    return stream.was_reset


async def has_ended(stream: INetStream) -> bool:
    """Tell whether both sides have closed it."""
    if isinstance(stream, NetStream):
        await wait_all_tasks_blocked()
        return stream.is_closed
    return await stream.receive() == []


@pytest.fixture(params=KINDS, ids=KINDS.get)
async def two(nursery: trio.Nursery, request: pytest.FixtureRequest) -> Two:
    return Two(nursery, request.param)


@pytest.fixture
async def muxed(nursery: trio.Nursery) -> Two:
    return Two(nursery, over_yamux=True)


class TestAsking:
    async def test_round_trips_in_microseconds_and_in_whole_milliseconds(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        delays = iter([0.0014567, 0.25] * 3)

        async def answer_late(stream: INetStream) -> None:
            for _ in range(2):
                payload = await read_exactly(stream, PING_LENGTH)
                await trio.sleep(next(delays))
                await stream.write(payload)
            await stream.close()

        two.answerer.set_stream_handler(ID, answer_late)
        peer = two.answerer.id
        assert await two.service.ping_microseconds(peer, 2) == pytest.approx([1456.7, 250_000])
        assert await two.service.ping(peer, 2) == [1, 250]
        assert [rtt async for rtt in two.service.ping_iter(peer, 2)] == [1, 250]
        assert 0.0014567 < two.asker.peerstore.latency_EWMA(peer) < 0.25

    async def test_a_ping_in_memory_takes_a_part_of_a_millisecond(self, two: Two) -> None:
        (microseconds,) = await two.service.ping_microseconds(two.answerer.id)
        assert isinstance(microseconds, float)
        assert 1 < microseconds < 1e6

    @pytest.mark.parametrize("per_stream", [1, 3])
    async def test_pinging_goes_on_when_the_peer_has_closed_the_stream(
        self, two: Two, per_stream: int
    ) -> None:
        async def answer_a_few(stream: INetStream) -> None:
            for _ in range(per_stream):
                await stream.write(await read_exactly(stream, PING_LENGTH))
            await stream.close()

        two.answerer.set_stream_handler(ID, answer_a_few)
        assert len(await two.service.ping(two.answerer.id, 7)) == 7
        assert len(two.asker.opened) == -(-7 // per_stream)
        assert not any(map(was_reset, two.asker.opened))

    async def test_one_stream_for_all_pings_and_closed_after(self, two: Two) -> None:
        await two.service.ping(two.answerer.id, 5)
        (stream,) = two.asker.opened
        assert await has_ended(stream)
        assert not was_reset(stream)

    async def test_pings_are_yielded_as_they_come(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        assert [rtt async for rtt in two.service.ping_iter(two.answerer.id, 2)] == [0, 0]
        assert not was_reset(two.asker.opened[0])

    async def test_one_who_stops_iterating_resets(self, two: Two) -> None:
        pings = two.service.ping_iter(two.answerer.id, 5)
        async for _ in pings:
            break
        await pings.aclose()  # type: ignore[attr-defined]
        assert was_reset(two.asker.opened[0])

    @pytest.mark.parametrize("count", [0, -1])
    async def test_at_least_one(self, two: Two, count: int) -> None:
        with pytest.raises(ValueError, match="ping_amt must be 1 or more"):
            await two.service.ping(two.answerer.id, count)
        with pytest.raises(ValueError, match="ping_amt must be 1 or more"):
            await anext(aiter(two.service.ping_iter(two.answerer.id, count)))
        assert two.asker.opened == []

    async def test_other_bytes_are_an_error(self, two: Two) -> None:
        async def answer(stream: INetStream) -> None:
            await stream.write(bytes(PING_LENGTH))

        two.answerer.set_stream_handler(ID, answer)
        with pytest.raises(PingError):
            await two.service.ping(two.answerer.id)
        assert was_reset(two.asker.opened[0])

    async def test_hanging_up_is_an_error(self, two: Two) -> None:
        async def hang_up(stream: INetStream) -> None:
            await stream.close()

        two.answerer.set_stream_handler(ID, hang_up)
        with pytest.raises(StreamEOF):
            await two.service.ping(two.answerer.id)

    async def test_silence_is_an_error_after_ten_seconds(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        mine, _ = await two.asker.open()
        started_at = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            await ping_once(mine)
        assert trio.current_time() - started_at == pytest.approx(RESP_TIMEOUT)

    async def test_a_ping_can_be_called_off(self, two: Two, autojump_clock: MockClock) -> None:
        mine, _ = await two.asker.open()
        scope = trio.CancelScope(deadline=trio.current_time() + 1)
        with pytest.raises(StreamTimeout):
            await perform_ping_roundtrip(mine, scope)

    async def test_on_a_stream_of_ones_own(self, two: Two, autojump_clock: MockClock) -> None:
        stream = await two.asker.new_stream(two.answerer.id, [ID])
        assert await perform_ping_roundtrip(stream) == 0
        await stream.close()


class TestAnswering:
    async def test_pieces_and_batches_are_echoed(self, two: Two, nursery: trio.Nursery) -> None:
        mine, theirs = await two.asker.open()
        nursery.start_soon(handle_ping, theirs)
        await mine.write(PAYLOAD[:10])
        await mine.write(PAYLOAD[10:] + PAYLOAD[::-1])
        await mine.close_write()
        assert await mine.read() == PAYLOAD + PAYLOAD[::-1]

    async def test_what_came_before_is_answered_and_its_end_seen(self, two: Two) -> None:
        mine, theirs = await two.asker.open()
        await mine.write(PAYLOAD)
        await mine.close_write()
        await wait_all_tasks_blocked()
        await handle_ping(theirs)
        assert await mine.read() == PAYLOAD

    async def test_an_end_inside_a_ping_is_an_error(self, two: Two) -> None:
        mine, theirs = await two.asker.open()
        await mine.write(PAYLOAD[:10])
        await mine.close_write()
        with pytest.raises(IncompleteReadError):
            await handle_ping(theirs)

    async def test_a_reset_ends_it_quietly(
        self, two: Two, caplog: pytest.LogCaptureFixture
    ) -> None:
        mine, theirs = await two.asker.open()
        await mine.reset()
        await handle_ping(theirs)
        assert not caplog.records

    async def test_silence_ends_it_after_a_minute_since_the_last_ping(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        mine, theirs = await two.asker.open()
        started_at = trio.current_time()

        async def ping_late() -> None:
            await trio.sleep(IDLE_TIMEOUT - 1)
            await mine.write(PAYLOAD)

        two.nursery.start_soon(ping_late)
        await handle_ping(theirs)
        assert trio.current_time() - started_at == pytest.approx(2 * IDLE_TIMEOUT - 1)
        assert await mine.read() == PAYLOAD

    async def test_streams_per_peer_are_limited(self, two: Two) -> None:
        service = PingService(two.answerer.as_host())
        streams = []
        for _ in range(MAX_INBOUND_STREAMS + 1):
            mine, theirs = await two.asker.open()
            streams.append(mine)
            two.nursery.start_soon(service.handle_ping, theirs)
            await wait_all_tasks_blocked()
        assert [was_reset(stream) for stream in streams] == [False, False, True]
        with pytest.raises(StreamReset):
            await streams[-1].write(PAYLOAD)
        for stream in streams[:-1]:
            await stream.close()
        await wait_all_tasks_blocked()
        mine, theirs = await two.asker.open()
        two.nursery.start_soon(service.handle_ping, theirs)
        assert await ping_once(mine) < 1
        await mine.close()


class TestOverYamux:
    async def test_each_answer_is_timed_and_each_has_its_ten_seconds(
        self, muxed: Two, autojump_clock: MockClock
    ) -> None:
        delays = iter([0.5, 8.0, 9.0, 0.25, 11.0])

        async def answer_late(stream: INetStream) -> None:
            for delay in delays:
                payload = await read_exactly(stream, PING_LENGTH)
                await trio.sleep(delay)
                await stream.write(payload[:5])
                await stream.write(payload[5:])

        muxed.answerer.set_stream_handler(ID, answer_late)
        assert await muxed.service.ping(muxed.answerer.id, 4) == [500, 8000, 9000, 250]
        delays = iter([1.0, 9.0, 11.0])
        started_at = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            await muxed.service.ping(muxed.answerer.id, 3)
        assert trio.current_time() - started_at == pytest.approx(1 + 9 + RESP_TIMEOUT)
        assert was_reset(muxed.asker.opened[1])

    @pytest.mark.parametrize("bad", [bytes(PING_LENGTH), PAYLOAD + b"!"])
    async def test_other_bytes_are_an_error(self, muxed: Two, bad: bytes) -> None:
        async def answer_once(stream: INetStream) -> None:
            await stream.write(await read_exactly(stream, PING_LENGTH))
            await read_exactly(stream, PING_LENGTH)
            await stream.write(bad)

        muxed.answerer.set_stream_handler(ID, answer_once)
        with pytest.raises(PingError):
            await muxed.service.ping(muxed.answerer.id, 2)
        assert was_reset(muxed.asker.opened[0])

    async def test_a_reset_is_an_error(self, muxed: Two) -> None:
        async def answer_twice(stream: INetStream) -> None:
            for _ in range(2):
                await stream.write(await read_exactly(stream, PING_LENGTH))
            await stream.reset()

        muxed.answerer.set_stream_handler(ID, answer_twice)
        with pytest.raises(StreamReset):
            await muxed.service.ping(muxed.answerer.id, 9)

    async def test_cancelling_resets_and_the_connection_goes_on(
        self, muxed: Two, autojump_clock: MockClock
    ) -> None:
        async def answer_twice(stream: INetStream) -> None:
            for _ in range(2):
                await stream.write(await read_exactly(stream, PING_LENGTH))

        muxed.answerer.set_stream_handler(ID, answer_twice)
        with trio.move_on_after(5) as scope:
            await muxed.service.ping(muxed.answerer.id, 3)
        assert scope.cancelled_caught
        assert was_reset(muxed.asker.opened[0])
        assert len(await muxed.service.ping(muxed.answerer.id, 2)) == 2

    async def test_where_a_ping_cannot_be_sent_at_once_the_task_waits_and_goes_on(
        self, muxed: Two
    ) -> None:
        times: list[float] = []

        async def ask() -> None:
            times.extend(await muxed.service.ping_microseconds(muxed.answerer.id, 6))

        async with trio.open_nursery() as nursery:
            muxed.asker.credit = 3 * PING_LENGTH
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            (stream,) = muxed.asker.opened
            assert isinstance(stream, NetStream)
            muxed_stream = yamux_stream_of(stream)
            assert muxed_stream.state.send_credit == 0
            assert times == []
            muxed_stream.state.grant(DEFAULT_WINDOW_SIZE)
            muxed_stream.wake_writer()
        assert len(times) == 6
        assert muxed.asker.opened == [stream]

    async def test_where_an_answer_cannot_be_sent_at_once_the_task_waits_and_goes_on(
        self, muxed: Two
    ) -> None:
        sent = PAYLOAD * (2 * DEFAULT_WINDOW_SIZE // PING_LENGTH)
        mine, theirs = await muxed.asker.open()
        muxed.nursery.start_soon(handle_ping, theirs)
        muxed.nursery.start_soon(mine.write, sent)
        await wait_all_tasks_blocked()
        assert await read_exactly(mine, len(sent)) == sent
        await mine.write(PAYLOAD)
        assert await read_exactly(mine, PING_LENGTH) == PAYLOAD

    async def test_who_reads_no_answers_for_a_minute_is_left(
        self, muxed: Two, autojump_clock: MockClock
    ) -> None:
        mine, theirs = await muxed.asker.open()
        started_at = trio.current_time()
        muxed.nursery.start_soon(mine.write, bytes(2 * DEFAULT_WINDOW_SIZE))
        await handle_ping(theirs)
        assert trio.current_time() - started_at == pytest.approx(IDLE_TIMEOUT)

    async def test_closing_the_other_direction_ends_it_quietly(
        self, muxed: Two, caplog: pytest.LogCaptureFixture
    ) -> None:
        mine, theirs = await muxed.asker.open()
        await theirs.close_write()
        await mine.write(PAYLOAD)
        await handle_ping(theirs)
        assert not caplog.records
        assert await mine.read() == b""
