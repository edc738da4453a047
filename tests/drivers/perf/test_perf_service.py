"""The perf service, both sides, over streams in memory."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.base_types import TProtocol
from libp2p.exceptions import RemoteProtocolError, StreamFailure, StreamReset
from libp2p.perf import PROTOCOL_NAME, WRITE_BLOCK_SIZE, PerfResult, PerfService
from libp2p.perf.perf_service import SERVED_STREAMS, SIZE_BYTES
from tests.support.identity_hosts import FakeHost

if TYPE_CHECKING:
    from libp2p.abc import INetStream
    from libp2p.peer.peerinfo import PeerInfo

PROTOCOL = TProtocol(PROTOCOL_NAME)


class Host(FakeHost):
    """A host that can also stop serving, and connect."""

    connected_to: PeerInfo | None = None

    def remove_stream_handler(self, protocol: TProtocol) -> None:
        del self.mux.handlers[protocol]

    async def connect(self, peer: PeerInfo) -> None:
        self.connected_to = peer


class Two:
    """A host that measures and one that serves."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.asker, self.answerer = Host(1, nursery), Host(2, nursery)
        self.asker.connect_to(self.answerer)
        self.client = PerfService(self.asker.as_host())
        self.server = PerfService(self.answerer.as_host())


@pytest.fixture
async def two(nursery: trio.Nursery) -> Two:
    return Two(nursery)


def asked(size: int) -> bytes:
    return size.to_bytes(SIZE_BYTES, "big")


@pytest.mark.parametrize(
    ("up", "down"), [(0, 0), (1, 0), (0, 1), (3 * WRITE_BLOCK_SIZE + 1, 5 * WRITE_BLOCK_SIZE - 1)]
)
async def test_both_directions_carry_what_was_asked_for(two: Two, up: int, down: int) -> None:
    await two.server.start()
    result = await two.client.measure(two.answerer.id, up, down)
    assert (result.upload_bytes, result.download_bytes) == (up, down)
    assert result.upload_seconds > 0
    assert result.download_seconds >= 0


async def test_it_is_off_until_started_and_after_stopping(two: Two) -> None:
    assert not two.server.is_started()
    with pytest.raises(StreamFailure):
        await two.client.measure(two.answerer.id, 1, 1)
    await two.server.start()
    await two.server.start()
    assert two.server.is_started()
    await two.client.measure(two.answerer.id, 1, 1)
    await two.server.stop()
    await two.server.stop()
    assert not two.server.is_started()
    with pytest.raises(StreamFailure):
        await two.client.measure(two.answerer.id, 1, 1)


async def test_the_answer_begins_only_after_the_upload_has_ended(
    two: Two, autojump_clock: trio.testing.MockClock
) -> None:
    await two.server.start()
    stream = await two.asker.new_stream(two.answerer.id, [PROTOCOL])
    await stream.write(asked(3) + b"upload")
    with trio.move_on_after(60) as waiting:
        await stream.receive()
    assert waiting.cancelled_caught
    await stream.close_write()
    assert await stream.read() == bytes(3)


async def test_an_upload_that_breaks_off_is_not_answered(two: Two) -> None:
    await two.server.start()
    stream = await two.asker.new_stream(two.answerer.id, [PROTOCOL])
    await stream.write(asked(3)[:4])
    await stream.close_write()
    with pytest.raises(StreamReset):
        await stream.receive()


async def test_more_streams_than_can_be_served_are_refused(two: Two) -> None:
    await two.server.start()
    streams = [
        await two.asker.new_stream(two.answerer.id, [PROTOCOL]) for _ in range(SERVED_STREAMS)
    ]
    await trio.testing.wait_all_tasks_blocked()
    refused = await two.asker.new_stream(two.answerer.id, [PROTOCOL])
    with pytest.raises(StreamReset):
        await refused.receive()
    for stream in streams:
        await stream.write(asked(1))
        await stream.close_write()
        assert await stream.read() == bytes(1)
    await two.client.measure(two.answerer.id, 1, 1)


@pytest.mark.parametrize("answer", [b"", b"ab", b"abcd"])
async def test_another_number_of_bytes_is_the_peers_fault(two: Two, answer: bytes) -> None:
    async def serve(stream: INetStream) -> None:
        await stream.read()
        await stream.write(answer)
        await stream.close()

    two.answerer.set_stream_handler(PROTOCOL, serve)
    with pytest.raises(RemoteProtocolError):
        await two.client.measure(two.answerer.id, 0, 3)
    assert two.asker.streams[-1].was_reset


async def test_calling_off_a_measurement_resets_its_stream(
    two: Two, autojump_clock: trio.testing.MockClock
) -> None:
    async def never_answer(stream: INetStream) -> None:
        await trio.sleep_forever()

    two.answerer.set_stream_handler(PROTOCOL, never_answer)
    with trio.move_on_after(5):
        await two.client.measure(two.answerer.id, 0, 1)
    assert two.asker.streams[-1].was_reset


async def test_reports_come_each_second_and_add_up(two: Two) -> None:
    ticks = itertools.count()
    client = PerfService(two.asker.as_host(), clock=lambda: next(ticks) * 0.4)
    await two.server.start()
    address = Multiaddr(f"/ip4/10.0.0.2/tcp/4001/p2p/{two.answerer.id}")
    up, down = 10 * WRITE_BLOCK_SIZE, 7 * WRITE_BLOCK_SIZE
    reports = [report async for report in client.measure_performance(address, up, down)]
    *partial, final = reports
    assert two.asker.connected_to is not None
    assert two.asker.connected_to.peer_id == two.answerer.id
    assert [report["type"] for report in partial] == ["intermediary"] * len(partial)
    assert partial
    assert all(report["time_seconds"] >= 1 for report in partial)
    assert final["type"] == "final"
    assert (final["upload_bytes"], final["download_bytes"]) == (up, down)
    assert sum(report["upload_bytes"] for report in partial) <= up
    assert final["time_seconds"] > sum(report["time_seconds"] for report in partial)


async def test_a_name_and_a_block_size_of_ones_own(two: Two) -> None:
    server = PerfService(two.answerer.as_host(), {"protocol_name": "/mine", "write_block_size": 7})
    client = PerfService(two.asker.as_host(), {"protocol_name": "/mine"})
    await server.start()
    assert (await client.measure(two.answerer.id, 1, 100)).download_bytes == 100
    with pytest.raises(ValueError, match="block"):
        PerfService(two.asker.as_host(), {"write_block_size": 0})


@pytest.mark.parametrize(("up", "down"), [(-1, 0), (0, -1), (0, 2**64)])
async def test_sizes_that_cannot_be(two: Two, up: int, down: int) -> None:
    with pytest.raises(ValueError, match="_bytes must be 0"):
        await two.client.measure(two.answerer.id, up, down)


def test_rates_are_bytes_per_second() -> None:
    result = PerfResult(10, 2.0, 9, 3.0)
    assert (result.upload_rate, result.download_rate) == (5.0, 3.0)
    assert PerfResult(0, 0.0, 0, 0.0).upload_rate == 0
    assert PerfResult(0, 0.0, 0, 0.0).download_rate == 0
