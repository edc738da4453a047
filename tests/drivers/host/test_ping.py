"""Ping, both sides, over streams in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.exceptions import IncompleteReadError, PingError, StreamEOF, StreamReset, StreamTimeout
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
from tests.support.identity_hosts import FakeHost

if TYPE_CHECKING:
    from libp2p.abc import INetStream

PAYLOAD = bytes(range(PING_LENGTH))


class Two:
    """A host that pings and one that answers."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.asker, self.answerer = FakeHost(1, nursery), FakeHost(2, nursery)
        self.asker.connect_to(self.answerer)
        self.answerer.set_stream_handler(ID, handle_ping)
        self.service = PingService(self.asker.as_host())


@pytest.fixture
async def two(nursery: trio.Nursery) -> Two:
    return Two(nursery)


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
        assert len(two.asker.streams) == -(-7 // per_stream)
        assert not any(stream.was_reset for stream in two.asker.streams)

    async def test_one_stream_for_all_pings_and_closed_after(self, two: Two) -> None:
        await two.service.ping(two.answerer.id, 5)
        (stream,) = two.asker.streams
        assert await stream.receive() == []
        assert not stream.was_reset

    async def test_pings_are_yielded_as_they_come(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        assert [rtt async for rtt in two.service.ping_iter(two.answerer.id, 2)] == [0, 0]
        assert not two.asker.streams[0].was_reset

    async def test_one_who_stops_iterating_resets(self, two: Two) -> None:
        pings = two.service.ping_iter(two.answerer.id, 5)
        async for _ in pings:
            break
        await pings.aclose()  # type: ignore[attr-defined]
        assert two.asker.streams[0].was_reset

    @pytest.mark.parametrize("count", [0, -1])
    async def test_at_least_one(self, two: Two, count: int) -> None:
        with pytest.raises(ValueError, match="times"):
            await two.service.ping(two.answerer.id, count)
        with pytest.raises(ValueError, match="times"):
            await anext(aiter(two.service.ping_iter(two.answerer.id, count)))
        assert two.asker.streams == []

    async def test_other_bytes_are_an_error(self, two: Two) -> None:
        async def answer(stream: INetStream) -> None:
            await stream.write(bytes(PING_LENGTH))

        two.answerer.set_stream_handler(ID, answer)
        with pytest.raises(PingError):
            await two.service.ping(two.answerer.id)
        assert two.asker.streams[0].was_reset

    async def test_hanging_up_is_an_error(self, two: Two) -> None:
        async def hang_up(stream: INetStream) -> None:
            await stream.close()

        two.answerer.set_stream_handler(ID, hang_up)
        with pytest.raises(StreamEOF):
            await two.service.ping(two.answerer.id)

    async def test_silence_is_an_error_after_ten_seconds(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        mine, _ = two.asker.open_to(two.answerer)
        started_at = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            await ping_once(mine)
        assert trio.current_time() - started_at == pytest.approx(RESP_TIMEOUT)

    async def test_a_ping_can_be_called_off(self, two: Two, autojump_clock: MockClock) -> None:
        mine, _ = two.asker.open_to(two.answerer)
        scope = trio.CancelScope(deadline=trio.current_time() + 1)
        with pytest.raises(StreamTimeout):
            await perform_ping_roundtrip(mine, scope)

    async def test_on_a_stream_of_ones_own(self, two: Two, autojump_clock: MockClock) -> None:
        stream = await two.asker.new_stream(two.answerer.id, [ID])
        assert await perform_ping_roundtrip(stream) == 0
        await stream.close()


class TestAnswering:
    async def test_pieces_and_batches_are_echoed(self, two: Two, nursery: trio.Nursery) -> None:
        mine, theirs = two.asker.open_to(two.answerer)
        nursery.start_soon(handle_ping, theirs)
        await mine.write(PAYLOAD[:10])
        await mine.write(PAYLOAD[10:] + PAYLOAD[::-1])
        await mine.close_write()
        assert await mine.read() == PAYLOAD + PAYLOAD[::-1]

    async def test_an_end_inside_a_ping_is_an_error(self, two: Two) -> None:
        mine, theirs = two.asker.open_to(two.answerer)
        await mine.write(PAYLOAD[:10])
        await mine.close_write()
        with pytest.raises(IncompleteReadError):
            await handle_ping(theirs)

    async def test_a_reset_ends_it_quietly(self, two: Two) -> None:
        mine, theirs = two.asker.open_to(two.answerer)
        await mine.reset()
        await handle_ping(theirs)

    async def test_silence_ends_it_after_a_minute_since_the_last_ping(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        mine, theirs = two.asker.open_to(two.answerer)
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
            mine, theirs = two.asker.open_to(two.answerer)
            streams.append(mine)
            two.nursery.start_soon(service.handle_ping, theirs)
            await wait_all_tasks_blocked()
        assert [stream.was_reset for stream in streams] == [False, False, True]
        with pytest.raises(StreamReset):
            await streams[-1].write(PAYLOAD)
        for stream in streams[:-1]:
            await stream.close()
        await wait_all_tasks_blocked()
        mine, theirs = two.asker.open_to(two.answerer)
        two.nursery.start_soon(service.handle_ping, theirs)
        assert await ping_once(mine) < 1
        await mine.close()
