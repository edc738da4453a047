"""
Peers that mean harm, end to end: what they cost a default host, and whether others notice.

The host is a process of its own, so that the memory that is looked at is its alone. While a peer
attacks it, an honest one goes on with an echo that keeps the processor busy: both then have their
share of it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest
import trio

from libp2p.exceptions import IOException
from libp2p.io.buffer_pool import LARGE_BUFFER_BYTES
from libp2p.network.config import SwarmConfig
from libp2p.protocol_muxer.negotiation import HEADER, encode_message
from libp2p.stream_muxer.yamux.config import (
    MAX_INBOUND_STREAMS,
    MAX_PENDING_CONTROL,
    MAX_SEND_QUEUE_BYTES,
)
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, MAX_CREDIT
from libp2p.stream_muxer.yamux.holdings import MAX_UNREAD_BYTES
from libp2p.stream_muxer.yamux.session import RESOURCE_LIMIT_EXCEEDED
from tests.support.ends import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    RawFrame,
    data_frame,
    frame,
)
from tests.support.fair_time import Stopwatch
from tests.support.hosts import ECHO, HOLD, running_host
from tests.support.raw_dialler import RawDialler, raw_dialler
from tests.support.victim import POUR, Victim

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from libp2p import BasicHost
    from libp2p.abc import INetStream
    from libp2p.base_types import TProtocol

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- the bounds, as docs/limits.rst states them ---------------------------------------------------

#: A stream with its handler's task, and a control frame that waits, as Python objects.
STREAM_BYTES: Final = 8 * KIB
FRAME_BYTES: Final = 256
#: What the allocator rounds up and keeps, and what the honest peer causes.
SLACK_BYTES: Final = 8 * MIB
#: What the honest peer has on its way at once. Without a limit that would be its window, which
#: grows to 16 MiB where others use the machine, and would be taken for the attacker's memory.
UNDER_WAY_BYTES: Final = MIB
#: One connection, beside what lies unread: the read buffer and what is made of it, what is queued
#: and what is sealed already, control frames, streams.
CONNECTION_BYTES: Final = (
    2 * LARGE_BUFFER_BYTES
    + 2 * MAX_SEND_QUEUE_BYTES
    + 2 * MAX_PENDING_CONTROL * FRAME_BYTES
    + MAX_INBOUND_STREAMS * STREAM_BYTES
)
#: What connections may hold unread together. The pieces that it lies in are a third larger at most.
UNREAD_BYTES: Final = MAX_UNREAD_BYTES * 4 // 3
#: A connection that is not upgraded yet.
STRANGER_BYTES: Final = 256 * KIB

#: The honest peer's rate may fall by this factor: the victim serves both, and this process is both.
SLOWDOWN: Final = 6
WINDOW_SECONDS: Final = 0.2
WINDOWS: Final = 8


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with Victim() as process:
        yield process


class Echo:
    """An honest peer's stream that carries as much as it can with little under way."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._written = self._carried = 0
        self._drained = trio.lowlevel.ParkingLot()

    async def pour(self) -> None:
        piece = bytes(64 * KIB)
        while True:
            while self._written - self._carried >= UNDER_WAY_BYTES:
                await self._drained.park()
            await self._stream.write(piece)
            self._written += len(piece)

    async def drain(self) -> None:
        while buffers := await self._stream.receive():
            self._carried += sum(map(len, buffers))
            self._drained.unpark_all()

    async def rate(self, victim: Victim) -> float:
        """Bytes per second, of the next moment in which there was a processor for both."""
        watch, before = Stopwatch(victim.pid), self._carried
        await trio.sleep(WINDOW_SECONDS)
        return (self._carried - before) / watch.seconds


@asynccontextmanager
async def echoing(honest: BasicHost, victim: Victim) -> AsyncIterator[Echo]:
    echo = Echo(await honest.new_stream(victim.info.peer_id, [ECHO]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo.pour)
        nursery.start_soon(echo.drain)
        yield echo
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def nobody_else_notices(victim: Victim, bound: int) -> AsyncIterator[BasicHost]:
    """
    Watch the victim's memory for the block, and at its end an honest peer's rate.

    The attack has to go on until the block ends.
    """
    async with running_host() as honest:
        await honest.connect(victim.info)
        async with echoing(honest, victim) as echo:
            before = sorted([await echo.rate(victim) for _ in range(3)])[1]
            resident = victim.resident_bytes()
            victim.forget_peak()
            yield honest
            rates: list[float] = []
            while len(rates) < WINDOWS and max(rates, default=0) < before / SLOWDOWN:
                rates.append(await echo.rate(victim))
            grown = victim.peak_bytes() - resident
        assert max(rates) >= before / SLOWDOWN, (before, rates)
        assert grown <= bound + SLACK_BYTES, f"{grown / MIB:.1f} MiB"


@asynccontextmanager
async def attacking(victim: Victim) -> AsyncIterator[RawDialler]:
    """A peer past its handshakes that says what it likes, and reads only if it wants to."""
    [address] = victim.info.addrs
    async with raw_dialler(address, victim.info.peer_id) as attacker:
        yield attacker


def opening(stream_id: int, protocol: TProtocol) -> bytes:
    """Open a stream and agree on a protocol without waiting for any answer."""
    proposal = encode_message(HEADER) + encode_message(protocol)
    return frame(WINDOW_UPDATE, SYN, stream_id) + data_frame(stream_id, proposal)


def ids(number: int) -> range:
    """Of so many streams of the dialling side."""
    return range(1, 2 * number, 2)


async def drain(attacker: RawDialler) -> None:
    with suppress(IOException):
        while await attacker.session.receive():
            pass


async def repeat(attacker: RawDialler, wire: bytes, started: trio.Event) -> None:
    """Send the same over and over, as fast as it is taken; the victim may hang up."""
    with suppress(IOException):
        for times in count():
            await attacker.send(wire)
            if times == 10:
                started.set()
    started.set()


# -- floods ---------------------------------------------------------------------------------------

FLOODS: Final = {
    "pings": [frame(PING, SYN, 0, n) for n in range(10_000)],
    "one-byte frames": [
        data_frame(stream_id, b"x") + frame(WINDOW_UPDATE, 0, stream_id, 1)
        for stream_id in ids(200)
        for _ in range(20)
    ],
    "frames for dead streams": [
        frame(kind, flags, stream_id) + data_frame(stream_id, bytes(20), flags)
        for stream_id in range(9001, 9401, 2)
        for flags in (0, ACK, FIN, RST)
        for kind in (DATA, WINDOW_UPDATE)
    ],
    "streams that are opened and reset": [
        opening(stream_id, ECHO) + frame(WINDOW_UPDATE, RST, stream_id)
        for stream_id in range(10_001, 11_001, 2)
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads nothing"])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_of_frames_takes_its_share_of_the_processor_and_no_more(
    victim: Victim, flood: list[bytes], reads: bool
) -> None:
    async with attacking(victim) as attacker, trio.open_nursery() as nursery:
        if reads:
            nursery.start_soon(drain, attacker)
        await attacker.send(*(opening(stream_id, ECHO) for stream_id in ids(200)))
        async with nobody_else_notices(victim, CONNECTION_BYTES):
            started = trio.Event()
            nursery.start_soon(repeat, attacker, b"".join(flood), started)
            with trio.fail_after(20):
                await started.wait()
        nursery.cancel_scope.cancel()


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_of_100_000_streams_1_000_are_taken_and_nothing_is_kept_of_the_others(
    victim: Victim,
) -> None:
    answers: Counter[int] = Counter()
    answered = trio.lowlevel.ParkingLot()

    def is_last(answer: RawFrame) -> bool:
        if answer.stream_id % 2:
            answers[answer.flags] += 1
            answered.unpark_all()
        return answers.total() == 100_000

    async with attacking(victim) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(attacker.receive_up_to, is_last)
        async with nobody_else_notices(victim, CONNECTION_BYTES) as honest:
            for start in range(0, 100_000, 1000):
                while answers.total() < start - 1000:  # who does not read is cut off sooner
                    await answered.park()
                await attacker.send(
                    *(frame(WINDOW_UPDATE, SYN, 2 * n + 1) for n in range(start, start + 1000))
                )
            for _ in range(3):
                stream = await honest.new_stream(victim.info.peer_id, [ECHO])
                await stream.write(b"still there?")
                assert await stream.read(100) == b"still there?"
                await stream.close()
        with trio.fail_after(20):
            while nursery.child_tasks:
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert answers == {ACK: MAX_INBOUND_STREAMS, RST: 100_000 - MAX_INBOUND_STREAMS}


@pytest.mark.slow
async def test_streams_that_nobody_reads_fill_what_the_host_allows_and_are_reset_then(
    victim: Victim,
) -> None:
    streams = UNREAD_BYTES // DEFAULT_WINDOW_SIZE + 100
    refusals: list[int] = []

    def is_last(answer: RawFrame) -> bool:
        if answer.flags & RST and answer.length == RESOURCE_LIMIT_EXCEEDED:
            refusals.append(answer.stream_id)
        return False

    async with attacking(victim) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(attacker.receive_up_to, is_last)
        async with nobody_else_notices(victim, CONNECTION_BYTES + UNREAD_BYTES):
            agreement = opening(1, HOLD)[12 + 12 :]
            rest = bytes(DEFAULT_WINDOW_SIZE - len(agreement))
            for stream_id in ids(streams):
                await attacker.send(opening(stream_id, HOLD), data_frame(stream_id, rest))
        nursery.cancel_scope.cancel()
    assert refusals


@pytest.mark.slow
async def test_a_window_of_single_bytes_costs_little_more_than_its_size(victim: Victim) -> None:
    async with attacking(victim) as attacker:
        await attacker.send(opening(1, HOLD))
        async with nobody_else_notices(victim, CONNECTION_BYTES):
            for _ in range(50):
                await attacker.send(data_frame(1, b"x") * 2000)


# -- peers that wait ------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_peer_that_asks_for_much_and_never_reads_costs_a_queue(victim: Victim) -> None:
    async with attacking(victim) as attacker, nobody_else_notices(victim, CONNECTION_BYTES):
        await attacker.send(*(opening(stream_id, POUR) for stream_id in ids(300)))


@pytest.mark.slow
async def test_a_peer_that_grants_all_the_credit_there_is_costs_a_queue(victim: Victim) -> None:
    grant = MAX_CREDIT - DEFAULT_WINDOW_SIZE
    async with attacking(victim) as attacker, nobody_else_notices(victim, CONNECTION_BYTES):
        for stream_id in ids(300):
            wire = opening(stream_id, POUR) + frame(WINDOW_UPDATE, 0, stream_id, grant)
            await attacker.send(wire)
    async with attacking(victim) as attacker:
        await attacker.send(opening(1, HOLD), frame(WINDOW_UPDATE, 0, 1, grant + 1))
        with trio.fail_after(5):
            assert (await attacker.receive_all())[-1] == RawFrame(GO_AWAY, 0, 0, 1)


@pytest.mark.slow
async def test_peers_that_stop_in_the_middle_of_a_frame_hold_up_nobody(victim: Victim) -> None:
    wire = opening(1, HOLD) + data_frame(1, bytes(100_000))
    cuts = [5, 12, 20, 30, len(opening(1, HOLD)) + 6, len(wire) - 1]
    async with AsyncExitStack() as stack, nobody_else_notices(victim, 2 * len(cuts) * MIB):
        for cut in cuts:
            in_a_frame = await stack.enter_async_context(attacking(victim))
            await in_a_frame.send(wire[:cut])
            in_a_record = await stack.enter_async_context(attacking(victim))
            [*_, record] = in_a_record.session._channel.seal([wire])
            await in_a_record.session.raw_conn.send([bytes(record)[: 2 + cut]])


@pytest.mark.slow
async def test_strangers_that_drip_their_handshakes_neither_cost_much_nor_lock_others_out(
    victim: Victim,
) -> None:
    limit = SwarmConfig().max_pending_inbound
    wire = b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\x00\x20" + bytes(32)
    port = int(victim.info.addrs[0].value_for_protocol("tcp"))
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:

        async def drip() -> None:
            raw = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            with suppress(trio.BrokenResourceError):  # hung up on, to make room
                for n in range(len(wire)):
                    await raw.send_all(wire[n : n + 1])
                    await trio.sleep(0.05)

        async with nobody_else_notices(victim, limit * STRANGER_BYTES):
            for _ in range(limit + 16):
                nursery.start_soon(drip)
            await trio.testing.wait_all_tasks_blocked()
            async with running_host() as late:
                # All are of one address, so it waits until theirs are old enough to be given up.
                with trio.fail_after(SwarmConfig().safe_handshake + 10):
                    await late.connect(victim.info)
        nursery.cancel_scope.cancel()


# -- many peers at once ---------------------------------------------------------------------------

#: Whatever they do together, a host grows by no more.
MANY: Final = 400
MANY_BYTES: Final = 256 * MIB


@asynccontextmanager
async def many_attacking(victim: Victim) -> AsyncIterator[list[RawDialler]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(attacking(victim)) for _ in range(MANY)]


def waste(stream_id: int) -> bytes:
    """A little for a stream that nobody reads, in memory with much for one that is read."""
    return data_frame(stream_id, bytes(4 * KIB)) + frame(PING, SYN, 0, 1) * 8000


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("attack", ["fill", "waste", "pour"])
async def test_many_peers_together_cost_no_more_than_the_host_allows(attack: str) -> None:
    with Victim() as victim:
        before = victim.resident_bytes()
        async with many_attacking(victim) as attackers, trio.open_nursery() as nursery:

            async def act(attacker: RawDialler) -> None:
                protocol = POUR if attack == "pour" else HOLD
                body = waste if attack == "waste" else fill
                with suppress(IOException):
                    for stream_id in ids(8):
                        await attacker.send(opening(stream_id, protocol), body(stream_id))

            def fill(stream_id: int) -> bytes:
                return data_frame(stream_id, bytes(200 * KIB))

            with trio.move_on_after(20):
                async with trio.open_nursery() as acting:
                    for attacker in attackers:
                        if attack != "pour":
                            nursery.start_soon(drain, attacker)
                        acting.start_soon(act, attacker)
            grown = victim.peak_bytes() - before
            nursery.cancel_scope.cancel()
        assert grown <= MANY_BYTES, f"{grown / MIB:.0f} MiB"
