"""
Our yamux against go-yamux over plain TCP: no security, no multistream, every frame looked at.

Besides what a test asserts, `meeting` asserts after each that neither side ever sent more than it
was allowed, that our control frames are window updates which grant nothing, that each ping got its
pong, and that go-yamux had nothing to complain of.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.exceptions import ConnectionClosedError, MuxedConnUnavailable, MuxedStreamReset
from libp2p.resources import Scope
from tests.support.ends import ACK, GO_AWAY, PING, SYN, WINDOW_UPDATE

from .files import MIB, pattern, random_bytes
from .go_yamux import Meeting, meeting
from .need import need
from .ours import in_thread
from .yamux_wire import FIRST_WINDOW, KIB

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.yamux_stream import YamuxStream

    from .go_yamux import Side

DIALLERS = pytest.mark.parametrize("dialler", ["we", "go"], ids=["we dial", "Go dials"])
OPENERS = pytest.mark.parametrize("opener", ["we", "go"], ids=["we open", "Go opens"])
CODES = pytest.mark.parametrize("code", [1, 0x2A, 0xFFFFFFFF])

PIECE = 64 * KIB
"""How much is written and read at once."""

WINDOWS = {64 * KIB: MIB + 3, 256 * KIB: 4 * MIB + 3, 16 * MIB: 40 * MIB + 3}
"""
The windows, and how much goes through each.

256 KiB is what the specification starts with, fixed here on both sides. 16 MiB is there from the
start: Go's SYN or ACK grants 15.75 MiB on top of the 256, and ours the same with its first window
update. 64 KiB cannot be had from go-yamux, which refuses to be configured with less than 256, nor
on a new stream at all: it means that we let Go have at most 64 KiB as soon as the first 256 are
used up, and give it back in smaller steps. In all rows 64 KiB are written and read at a time.
"""

ALL_AT_ONCE = 1_000
"""As many streams as either side takes from its peer."""


@pytest.fixture(autouse=True)
def _go_is_there() -> None:
    need("yamux-peer")


def resize(stream: YamuxStream, window: int) -> None:
    """Make the receive window this large, which is told to Go as it would be if it had grown."""
    stream.state.receive_window.size = window


async def write(stream: YamuxStream, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        await stream.write(data[start : start + PIECE])
    await stream.close_write()


async def read_and_compare(stream: YamuxStream, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        expected = data[start : start + PIECE]
        assert await stream.read_exactly(len(expected)) == expected
    assert await stream.read() == b""


async def echo(stream: YamuxStream) -> None:
    while pieces := await stream.receive():
        await stream.send(pieces)
    await stream.close_write()


# -- bytes and windows ----------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS, ids=["64 KiB", "256 KiB", "16 MiB"])
@DIALLERS
async def test_go_echoes_every_byte(dialler: Side, window: int) -> None:
    """Writing and reading at once, then its end after ours."""
    data = random_bytes(f"echo {window}", WINDOWS[window])
    async with meeting(dialler, window=max(window, FIRST_WINDOW)) as ends:
        ends.ours.session._holdings.windows = Scope("budget", 0)
        stream = await ends.stream("we", "echo")
        resize(stream, window)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, stream, data)
            nursery.start_soon(read_and_compare, stream, data)
        assert (await ends.outcome(stream)).bytes == len(data)
        assert ends.ours.session.streams == {}
        check_windows(ends, window, first=ACK)


@pytest.mark.parametrize("window", WINDOWS, ids=["64 KiB", "256 KiB", "16 MiB"])
@DIALLERS
async def test_we_echo_every_byte(dialler: Side, window: int) -> None:
    """Go opens the stream, writes, and compares what it reads."""
    async with (
        meeting(dialler, window=max(window, FIRST_WINDOW)) as ends,
        trio.open_nursery() as nursery,
    ):
        ends.ours.session._holdings.windows = Scope("budget", 0)

        def serve(stream: YamuxStream) -> None:
            resize(stream, window)
            nursery.start_soon(echo, stream)

        ends.ours.on_stream(serve)
        await in_thread(ends.go.echo, WINDOWS[window], write_size=PIECE)
        assert ends.ours.session.streams == {}
        check_windows(ends, window, first=SYN)


def check_windows(ends: Meeting, window: int, *, first: int) -> None:
    """Look at what each side granted, first and at most."""
    (begun,) = ends.wire.select(ours=False, kind=WINDOW_UPDATE, flags=first)
    assert begun.length == max(window - FIRST_WINDOW, 0)
    granted = ends.wire.most_credit(ours=False), ends.wire.most_credit(ours=True)
    assert window // 2 <= granted[0] <= window
    assert window // 2 <= granted[1] <= max(window, FIRST_WINDOW)


@DIALLERS
async def test_windows_grow_both_ways_over_a_long_link(dialler: Side) -> None:
    """
    Ours to 16 MiB, and Go is told of all of it.

    Of what Go's grow by, 7.875 MiB are never told to us (see `flow_control`): half is what we get.
    """
    size = 24 * MIB
    async with meeting(dialler, max_window=16 * MIB, delay=0.05) as ends:
        stream = await ends.stream("we", "source", size)
        await stream.close_write()
        await read_and_compare(stream, pattern(size))
        assert stream.state.receive_window.size == 16 * MIB
        assert 12 * MIB < ends.wire.most_credit(ours=False) <= 16 * MIB

        stream = await ends.stream("we", "sink")
        data = random_bytes("grow", size)
        await write(stream, data)
        outcome = await ends.outcome(stream)
        assert outcome.sha256 == hashlib.sha256(data).hexdigest()
        assert 4 * MIB < ends.wire.most_credit(ours=True) <= 16 * MIB


# -- a thousand streams ---------------------------------------------------------------------------


@DIALLERS
async def test_a_thousand_streams_to_go_at_once(dialler: Side) -> None:
    """All are open before the first one ends; one more is refused, and harms none of them."""
    all_answered = trio.Event()
    answered: list[int] = []

    async def ask(ends: Meeting, number: int) -> None:
        stream = await ends.stream("we", "echo")
        await stream.write(number.to_bytes(8))
        answered.append(int.from_bytes(await stream.read_exactly(8)))
        if len(answered) == ALL_AT_ONCE:
            with pytest.raises(MuxedStreamReset) as refused:
                await (await ends.stream("we", "echo")).read()
            assert (refused.value.remote, refused.value.error_code) == (True, 0)
            all_answered.set()
        await all_answered.wait()
        await write(stream, b"and on")
        assert await stream.read() == b"and on"

    async with meeting(dialler, complaint="MaxIncomingStreams exceeded") as ends:
        async with trio.open_nursery() as nursery:
            for number in range(ALL_AT_ONCE):
                nursery.start_soon(ask, ends, number)
        assert sorted(answered) == list(range(ALL_AT_ONCE))
        assert ends.ours.session.streams == {}


@DIALLERS
async def test_a_thousand_streams_from_go_at_once(dialler: Side) -> None:
    """We answer none before all are open; one more is refused with go-libp2p's code for that."""
    all_open = trio.Event()
    came: list[YamuxStream] = []

    async def answer(stream: YamuxStream) -> None:
        await all_open.wait()
        await echo(stream)

    async with meeting(dialler) as ends, trio.open_nursery() as nursery:

        def serve(stream: YamuxStream) -> None:
            came.append(stream)
            nursery.start_soon(answer, stream)
            if len(came) == ALL_AT_ONCE:
                nursery.start_soon(one_more)

        async def one_more() -> None:
            outcome = await in_thread(ends.go.outcome, await in_thread(ends.go.open, "sink"))
            assert (outcome.remote, outcome.code) == (True, 0x1002)
            all_open.set()

        ends.ours.on_stream(serve)
        await in_thread(ends.go.echo, 1_000, parallel=ALL_AT_ONCE)
        assert len(came) == ALL_AT_ONCE
        assert ends.ours.session.streams == {}


# -- ends of streams ------------------------------------------------------------------------------


@CODES
@OPENERS
@DIALLERS
async def test_the_code_of_a_reset_by_go_arrives(dialler: Side, opener: Side, code: int) -> None:
    """At a reader that waits, and at a writer that waits for credit which never comes."""
    async with meeting(dialler) as ends:
        stream = await ends.stream(opener, "hold")
        if opener == "we":
            await ends.outcome(stream)  # Go has taken it
        seen: list[MuxedStreamReset] = []

        async def read() -> None:
            with pytest.raises(MuxedStreamReset) as caught:
                await stream.read()
            seen.append(caught.value)

        async def write() -> None:
            with pytest.raises(MuxedStreamReset) as caught:
                await stream.write(bytes(FIRST_WINDOW + 1))
            seen.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(write)
            await ends.wire.until(lambda: stream.state.send_credit == 0)
            await in_thread(ends.go.reset, stream.stream_id, code)
        assert [(error.remote, error.error_code) for error in seen] == [(True, code)] * 2
        assert ends.ours.session.streams == {}


@CODES
@OPENERS
@DIALLERS
async def test_the_code_of_our_reset_arrives(dialler: Side, opener: Side, code: int) -> None:
    """At Go's reader, and at its writer that has used up the window."""
    async with meeting(dialler) as ends:
        reader = await ends.stream(opener, "sink")
        assert await reader.read() == b""  # Go has closed its direction, and reads
        await reader.reset(code)
        outcome = await ends.outcome(reader)
        assert (outcome.remote, outcome.code, outcome.bytes) == (True, code, 0)

        writer = await ends.stream(opener, "flood")
        await ends.wire.until(lambda: writer.state.receive_window.credit == 0)
        await writer.reset(code)
        outcome = await ends.outcome(writer)
        assert (outcome.remote, outcome.code) == (True, code)
        assert ends.ours.session.streams == {}


@OPENERS
@DIALLERS
async def test_go_closes_its_direction_first(dialler: Side, opener: Side) -> None:
    """We read its end, then write more than the socket takes: our end does not overtake it."""
    data = random_bytes("half", 12 * MIB + 3)
    async with meeting(dialler, window=16 * MIB) as ends:
        stream = await ends.stream(opener, "sink")
        assert await stream.read() == b""
        await stream.write(data)
        await stream.close_write()
        outcome = await ends.outcome(stream)
        assert (outcome.error, outcome.bytes) == ("", len(data))
        assert outcome.sha256 == hashlib.sha256(data).hexdigest()
        assert ends.ours.session.streams == {}


@OPENERS
@DIALLERS
async def test_we_close_our_direction_first(dialler: Side, opener: Side) -> None:
    """Go reads our end, then writes several windows, and all of it arrives."""
    async with meeting(dialler) as ends:
        stream = await ends.stream(opener, "source", MIB + 3)
        await stream.close_write()
        await read_and_compare(stream, pattern(MIB + 3))
        assert (await ends.outcome(stream)).error == ""
        assert ends.ours.session.streams == {}


# -- the connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [2, 0x1006, 0xFFFFFFFF])
@DIALLERS
async def test_the_code_of_a_goaway_by_go_arrives(dialler: Side, code: int) -> None:
    """At the connection, and at a stream that waited."""
    async with meeting(dialler) as ends:
        stream = await ends.stream("we", "hold")
        await ends.outcome(stream)
        await ends.settled()
        await in_thread(ends.go.close, code)
        with pytest.raises(MuxedStreamReset) as caught:
            await stream.read()
        await ends.ours.event_closed.wait()
        cause = ends.ours.close_cause
        assert isinstance(cause, MuxedConnUnavailable)
        assert cause.code == code
        assert caught.value.__cause__ is cause
        with pytest.raises(MuxedConnUnavailable):
            await ends.ours.open_stream()


@DIALLERS
async def test_go_goes_with_a_normal_goaway_or_without_a_word(dialler: Side) -> None:
    """Code 0 is a code; the bare end of the connection has none."""
    async with meeting(dialler) as ends:
        await ends.settled()
        await in_thread(ends.go.go_away)
        await ends.ours.event_closed.wait()
        cause = ends.ours.close_cause
        assert isinstance(cause, MuxedConnUnavailable)
        assert cause.code == 0
    async with meeting(dialler) as ends:
        await ends.settled()
        await in_thread(ends.go.close, 0)
        await ends.ours.event_closed.wait()
        assert isinstance(ends.ours.close_cause, ConnectionClosedError)


@pytest.mark.parametrize("code", [0, 1, 2, 0x1006, 0xFFFFFFFF])
@DIALLERS
async def test_the_code_of_our_goaway_arrives(dialler: Side, code: int) -> None:
    """Behind the data that was written before it; nothing comes after it."""
    async with meeting(dialler, complaint="go away") as ends:
        stream = await ends.stream("we", "hold")
        await stream.write(bytes(FIRST_WINDOW // 2))
        await ends.ours.close(code)
        ended = await in_thread(ends.go.ended)
        assert (ended.remote, ended.code) == (True, code)
        (goodbye,) = ends.wire.select(ours=True, kind=GO_AWAY)
        assert (goodbye.stream_id, goodbye.length) == (0, code)


@DIALLERS
async def test_pings_are_answered_both_ways(dialler: Side) -> None:
    """Go's at the start, on demand and of its keepalive, whose interval is short here; and ours."""
    async with meeting(dialler, keepalive=0.02) as ends:
        assert await in_thread(ends.go.ping) > 0
        await ends.wire.until(lambda: len(ends.wire.select(ours=True, kind=PING, flags=ACK)) >= 5)
        await ends.wire.until(lambda: bool(ends.wire.select(ours=False, kind=PING, flags=ACK)))
        await ends.settled()
        assert ends.ours.session.liveness.rtt > 0
        assert not ends.ours.is_closed
