"""
Two joined sessions under every order of calls, with frames delivered a few bytes at a time.

The model knows what the applications did, who of them waits, and what is on the wire. It checks
that no window is exceeded and no credit lost, that no byte is lost or doubled, that nobody is left
waiting who could go on, and that nothing remains in the tables of streams that have ended.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from libp2p.exceptions import (
    ConnectionClosedError,
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamReset,
)
from libp2p.stream_muxer.yamux.config import DEFAULT_CONFIG, YamuxConfig
from libp2p.stream_muxer.yamux.events import (
    GoAwayReceived,
    OpenAllowed,
    StreamOpened,
    StreamReadable,
    StreamWritable,
)
from libp2p.stream_muxer.yamux.flow_control import MAX_CREDIT
from libp2p.stream_muxer.yamux.frame import HEADER_SIZE, MAX_FRAME_PAYLOAD
from libp2p.stream_muxer.yamux.session import TURN_BYTES, YamuxSession
from libp2p.stream_muxer.yamux.stream_state import Half
from tests.support.ends import ACK, DATA, FIN, PING, RST, SYN, WINDOW_UPDATE, RawFrame, parse

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.events import Event
    from libp2p.stream_muxer.yamux.stream_state import StreamState

SMALL_LIMITS = YamuxConfig(
    max_unacknowledged=3, accept_backlog=2, max_lingering=1, max_pending_pongs=2
)
"""So that a few dozen steps reach every limit."""

#: What an application may write or read at once: little, a frame and its edges, a window, two.
AMOUNTS = [1, 100, 5000, MAX_FRAME_PAYLOAD, MAX_FRAME_PAYLOAD + 1, 2**17, 2**18, 2**19]
#: More than any stream ever holds.
EVERYTHING = 2**24
#: How much of what is under way arrives: less than a header, a few frames, all of it.
DELIVERIES = [1, HEADER_SIZE, HEADER_SIZE + 1, 70_000, 2**17, 2**24]
amounts = st.sampled_from(AMOUNTS)
deliveries = st.sampled_from(DELIVERIES)
picks = st.integers(0, 100)
sides = st.sampled_from([0, 1])


_PERIOD = bytes(i * 7 % 251 for i in range(251))


def pattern(stream_id: int, side: int, offset: int, size: int) -> bytes:
    """What ``side`` writes to the stream at ``offset``: any loss or repetition shows."""
    start = (offset + stream_id * 31 + side * 101) % 251
    return (_PERIOD * (size // 251 + 2))[start : start + size]


@dataclass(eq=False)
class StreamEnd:
    """One side's view of a stream, and what its application has done with it."""

    side: int
    state: StreamState
    written: int = 0
    read: int = 0
    finished_writing: bool = False
    taken: bool = False
    #: What a task that waits still has to write, and how much one that waits wants to read.
    unwritten: int = 0
    wanted: int = 0

    @property
    def number(self) -> int:
        return self.state.stream_id


@dataclass
class Direction:
    """What is under way from one side to the other."""

    wire: bytearray = field(default_factory=bytearray)
    delivered: int = 0
    sent: int = 0
    #: (offset of its end, frame) of each frame that has not arrived completely.
    under_way: list[tuple[int, RawFrame]] = field(default_factory=list)
    #: Data queued in the session, not yet taken, by stream id.
    queued: Counter[int] = field(default_factory=Counter)


class JoinedSessions(RuleBasedStateMachine):
    """Everything that two applications and the network between them may do."""

    config = DEFAULT_CONFIG

    @initialize(rtt=st.sampled_from([0.0, 0.01, 5.0]), breaks=st.booleans())
    def connect(self, rtt: float, breaks: bool) -> None:
        self.now = 0.0
        self.breaks = breaks
        self.sessions = (
            YamuxSession(is_initiator=True, config=self.config),
            YamuxSession(is_initiator=False, config=self.config),
        )
        for session in self.sessions:
            session.liveness.least_rtt = rtt
        self.directions = (Direction(), Direction())
        self.ends: tuple[dict[int, StreamEnd], dict[int, StreamEnd]] = ({}, {})
        self.backlogs: tuple[list[StreamEnd], list[StreamEnd]] = ([], [])
        #: How many tasks wait to open a stream.
        self.openers = [0, 0]
        self.pings = [0, 0]
        self.pongs = [0, 0]
        self.said_goodbye = [False, False]
        self.heard_goodbye = [False, False]
        #: Streams that something may have cut short: a reset, or a limit.
        self.cut: set[int] = set()
        for side in (0, 1):
            self.open(side)
        self.settle()

    def pick(self, side: int, choice: int) -> StreamEnd | None:
        """A stream that the application of ``side`` has; mostly one that is alive."""
        ends = [end for end in self.ends[side].values() if end.taken]
        alive = [end for end in ends if not end.state.finished]
        if alive and choice % 8:
            ends = alive
        return ends[choice // 8 % len(ends)] if ends else None

    # -- the applications ---------------------------------------------------------------------

    @rule(side=sides)
    def open(self, side: int) -> None:
        if self.said_goodbye[side]:
            with pytest.raises(MuxedConnUnavailable):
                self.sessions[side].open_stream(self.now)
        else:
            self.openers[side] += 1
            self._go_on_opening(side)

    def _go_on_opening(self, side: int) -> None:
        session = self.sessions[side]
        while self.openers[side] and session.can_open:
            self.openers[side] -= 1
            state = session.open_stream(self.now)
            assert state.stream_id not in self.ends[side]
            self.ends[side][state.stream_id] = StreamEnd(side, state, taken=True)

    @rule(side=sides)
    def accept(self, side: int) -> None:
        if self.backlogs[side]:
            end = self.backlogs[side].pop(0)
            self.sessions[side].accept(end.state)
            end.taken = True

    @rule(side=sides, choice=picks, size=amounts)
    def write(self, side: int, choice: int, size: int) -> None:
        end = self.pick(side, choice)
        if end is not None and not end.unwritten:
            end.unwritten = size
            self._go_on_writing(end)

    def _go_on_writing(self, end: StreamEnd) -> None:
        """Let the writer write until it has done, or has to wait for credit."""
        session, state = self.sessions[end.side], end.state
        while end.unwritten and state.writing is Half.OPEN:
            part = min(end.unwritten, session.sendable(state))
            if not part:
                return
            assert part <= TURN_BYTES
            session.send(state, [pattern(end.number, end.side, end.written, part)], part)
            end.written += part
            end.unwritten -= part
            self.directions[end.side].queued[end.number] += part
        if state.writing is not Half.OPEN:
            expected = MuxedStreamClosed if state.writing is Half.CLOSED else MuxedStreamReset
            with pytest.raises(expected):
                session.sendable(state)
            end.unwritten = 0

    @rule(side=sides, choice=picks, limit=amounts)
    def read(self, side: int, choice: int, limit: int) -> None:
        end = self.pick(side, choice)
        if end is not None and not end.wanted:
            end.wanted = limit
            self._go_on_reading(end)

    def _go_on_reading(self, end: StreamEnd) -> None:
        """Let the reader read once, or wait for data."""
        if end.wanted and (self._read(end, end.wanted) or end.state.reading is not Half.OPEN):
            end.wanted = 0

    def _read(self, end: StreamEnd, limit: int) -> bool:
        """Read once; return whether there may be more."""
        session, state = self.sessions[end.side], end.state
        available = len(state.inbox)
        if not available and state.reading in (Half.CLOSED, Half.RESET):
            expected = MuxedStreamClosed if state.reading is Half.CLOSED else MuxedStreamReset
            with pytest.raises(expected):
                session.read(state, limit, self.now)
            return False
        data = b"".join(session.read(state, limit, self.now))
        assert len(data) == min(available, limit)
        assert data == pattern(state.stream_id, 1 - end.side, end.read, len(data))
        end.read += len(data)
        return bool(data)

    @rule(side=sides, choice=picks)
    def cancel(self, side: int, choice: int) -> None:
        """Call off a task that waits for a stream; what it has written so far is under way."""
        self.openers[side] = max(self.openers[side] - choice % 2, 0)
        waiting = [end for end in self.ends[side].values() if end.unwritten or end.wanted]
        if waiting:
            end = waiting[choice % len(waiting)]
            end.unwritten = end.wanted = 0

    @rule(side=sides, choice=picks)
    def close_write(self, side: int, choice: int) -> None:
        end = self.pick(side, choice)
        if end is not None:
            self._close(end, writing=True, reading=False)

    @rule(side=sides, choice=picks)
    def close_read(self, side: int, choice: int) -> None:
        end = self.pick(side, choice)
        if end is not None:
            self._close(end, writing=False, reading=True)

    @rule(side=sides, choice=picks)
    def close(self, side: int, choice: int) -> None:
        end = self.pick(side, choice)
        if end is not None:
            self._close(end, writing=True, reading=True)

    def _close(self, end: StreamEnd, *, writing: bool, reading: bool) -> None:
        session = self.sessions[end.side]
        if writing:
            end.finished_writing |= end.state.writing is Half.OPEN
            session.close_write(end.state)
        if reading:
            if end.state.reading in (Half.OPEN, Half.EOF):
                self.cut.add(end.number)  # the peer may be reset if it writes on
            session.close_read(end.state)
        self._wake_own(end)

    def _wake_own(self, end: StreamEnd) -> None:
        """What this side ends, this side's tasks notice at once."""
        self._go_on_reading(end)
        self._go_on_writing(end)
        self._go_on_opening(end.side)

    @rule(side=sides, choice=picks, code=st.integers(0, 2**32 - 1))
    def reset(self, side: int, choice: int, code: int) -> None:
        end = self.pick(side, choice)
        if end is not None:
            self.cut.add(end.number)
            self.sessions[side].reset(end.state, code)
            self._wake_own(end)

    # -- the connection -----------------------------------------------------------------------

    @rule(side=sides)
    def ping(self, side: int) -> None:
        in_flight = self.sessions[side].liveness.ping_sent_at is not None
        assert self.sessions[side].ping(self.now) is not in_flight
        self.pings[side] += not in_flight

    @rule(side=sides, chance=st.integers(0, 9))
    def go_away(self, side: int, chance: int) -> None:
        if chance < 9:  # at any time, but not soon in every run: little happens after it
            return
        self.sessions[side].go_away(0)
        self.said_goodbye[side] = True
        self.openers[side] = 0  # they are told that the connection is not available

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(side=sides)
    def send(self, side: int) -> None:
        session, direction = self.sessions[side], self.directions[side]
        had_outgoing = session.has_outgoing
        batch = b"".join(session.take_outgoing())
        assert bool(batch) is had_outgoing
        assert not session.is_congested
        at = direction.sent
        for frame in parse(batch):
            self._check_frame(side, frame)
            at += HEADER_SIZE + len(frame.body)
            direction.under_way.append((at, frame))
        direction.queued.clear()
        direction.sent += len(batch)
        direction.wire += batch

    def _check_frame(self, side: int, frame: RawFrame) -> None:
        assert frame.kind != DATA or (frame.length <= MAX_FRAME_PAYLOAD and frame.flags == 0)
        if frame.kind == WINDOW_UPDATE and frame.flags & (SYN | ACK | FIN):
            assert frame.length == 0, "no credit but the specified one comes with an opening"
        if frame.kind == WINDOW_UPDATE and frame.flags & RST:
            self.cut.add(frame.stream_id)
        if frame.kind == PING and frame.flags == ACK:
            self.pongs[side] += 1

    @rule(side=sides, size=deliveries, cut=st.integers(1, 2**16))
    def deliver(self, side: int, size: int, cut: int) -> None:
        """Bytes of ``side`` arrive at the other one, in pieces of ``cut``."""
        direction, receiver = self.directions[side], self.sessions[1 - side]
        arriving = bytes(direction.wire[:size])
        del direction.wire[: len(arriving)]
        direction.delivered += len(arriving)
        while direction.under_way and direction.under_way[0][0] <= direction.delivered:
            direction.under_way.pop(0)
        before = self._who_would_wait(1 - side)
        cut = max(cut, len(arriving) // 500)
        pieces = [memoryview(arriving)[i : i + cut] for i in range(0, len(arriving), cut)]
        events = list(chain.from_iterable(receiver.receive(pieces, self.now)))
        self._check_woken(1 - side, before, events)
        self._note(1 - side, events)

    @rule()
    def settle(self) -> None:
        """Everything arrives and every stream is accepted."""
        while (
            any(session.has_outgoing for session in self.sessions)
            or any(direction.wire for direction in self.directions)
            or any(self.backlogs)
        ):
            for side in (0, 1):
                self.send(side)
                self.deliver(side, 2**30, 2**16)
            for side in (0, 1):
                while self.backlogs[side]:
                    self.accept(side)

    def _note(self, side: int, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, StreamOpened):
                end = StreamEnd(side, event.stream)
                assert event.stream.stream_id not in self.ends[side]
                self.ends[side][event.stream.stream_id] = end
                self.backlogs[side].append(end)
            elif isinstance(event, GoAwayReceived):
                assert not self.heard_goodbye[side]
                assert self.said_goodbye[1 - side]
                self.heard_goodbye[side] = True
            elif isinstance(event, OpenAllowed):
                if not self.said_goodbye[side]:
                    self._go_on_opening(side)
            elif isinstance(event, StreamReadable):
                self._go_on_reading(self.ends[side][event.stream.stream_id])
            else:
                self._go_on_writing(self.ends[side][event.stream.stream_id])

    def _who_would_wait(self, side: int) -> tuple[int, set[int], set[int]]:
        """How many opens are unacknowledged, and whose readers and writers would have to wait."""
        states = [end.state for end in self.ends[side].values()]
        return (
            self.sessions[side]._unacknowledged,
            {s.stream_id for s in states if s.reading is Half.OPEN and not s.inbox},
            {s.stream_id for s in states if s.writing is Half.OPEN and not s.send_credit},
        )

    def _check_woken(
        self, side: int, before: tuple[int, set[int], set[int]], events: list[Event]
    ) -> None:
        """Events tell of every reason to go on, whether anybody waits for it or not."""
        opening, readers, writers = self._who_would_wait(side)
        assert events.count(OpenAllowed()) >= before[0] - opening
        readable = {e.stream.stream_id for e in events if isinstance(e, StreamReadable)}
        writable = {e.stream.stream_id for e in events if isinstance(e, StreamWritable)}
        assert before[1] - readers <= readable
        assert before[2] - writers <= writable

    # -- what always holds --------------------------------------------------------------------

    def check(self) -> None:
        """All invariants, for those who do not run the machine by its rules."""
        self.counters_agree_with_the_table()
        self.no_window_is_exceeded()
        self.no_credit_is_lost_or_invented()
        self.nobody_waits_who_could_go_on()

    @invariant()
    def counters_agree_with_the_table(self) -> None:
        for side, session in enumerate(self.sessions):
            outbound = [s for s in session.streams.values() if s.outbound]
            assert session._unacknowledged == sum(not s.acknowledged for s in outbound)
            assert session._inbound == len(session.streams) - len(outbound)
            assert session._unaccepted == len(self.backlogs[side])
            assert set(session._lingering) <= set(session.streams)
            assert len(session._lingering) <= self.config.max_lingering
            assert session._unacknowledged <= self.config.max_unacknowledged
            assert session._unaccepted <= self.config.accept_backlog
            assert not any(s.finished for s in session.streams.values())

    @invariant()
    def no_window_is_exceeded(self) -> None:
        for session in self.sessions:
            for state in session.streams.values():
                window = state.receive_window
                owed = window.size - window.credit - len(state.inbox)
                assert 0 <= window.credit <= window.size
                assert len(state.inbox) <= window.size
                assert 0 <= state.send_credit <= MAX_CREDIT
                if state.reading is Half.OPEN:
                    assert 0 <= owed < window.size // 8

    @invariant()
    def no_credit_is_lost_or_invented(self) -> None:
        for side in (0, 1):
            sender, receiver = self.sessions[side], self.sessions[1 - side]
            for stream_id, state in sender.streams.items():
                other = receiver.streams.get(stream_id)
                if other is None or state.writing is not Half.OPEN or other.peer_finished:
                    continue
                on_its_way = self._data_under_way(side, stream_id)
                granted = self._credit_under_way(1 - side, stream_id)
                assert state.send_credit + on_its_way + granted == other.receive_window.credit

    @invariant()
    def nobody_waits_who_could_go_on(self) -> None:
        for side, session in enumerate(self.sessions):
            assert not (self.openers[side] and session.can_open)
            for end in self.ends[side].values():
                state = end.state
                assert not end.wanted or (state.reading is Half.OPEN and not state.inbox)
                assert not end.unwritten or (state.writing is Half.OPEN and not state.send_credit)

    def _data_under_way(self, side: int, stream_id: int) -> int:
        direction = self.directions[side]
        return direction.queued[stream_id] + sum(
            min(frame.length, end - direction.delivered)
            for end, frame in direction.under_way
            if frame.kind == DATA and frame.stream_id == stream_id
        )

    def _credit_under_way(self, side: int, stream_id: int) -> int:
        queued = self.sessions[side].send_queue.window_updates.get(stream_id, 0)
        return queued + sum(
            frame.length
            for _, frame in self.directions[side].under_way
            if (frame.kind, frame.flags, frame.stream_id) == (WINDOW_UPDATE, 0, stream_id)
        )

    # -- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "sessions"):
            return
        if sys.exc_info()[0] is not None:
            return  # one failure is enough
        if self.breaks:
            self._break()
        else:
            self._finish()

    def _all_ends(self) -> list[StreamEnd]:
        return [end for ends in self.ends for end in ends.values()]

    def _other(self, end: StreamEnd) -> StreamEnd | None:
        return self.ends[1 - end.side].get(end.number)

    def _finish(self) -> None:
        """Everything is read, everybody closes."""
        self.settle()
        while any([self._read(end, EVERYTHING) for end in self._all_ends()]):
            self.settle()
        assert self.openers == [0, 0]
        for end in self._all_ends():
            self._check_why_its_writer_waits(end)
        for end in self._all_ends():
            self._close(end, writing=True, reading=False)
        self.settle()
        for end in self._all_ends():
            while self._read(end, EVERYTHING):
                pass
            assert not end.wanted
            assert not end.unwritten
            self._check_complete(end, self._other(end))
            self._close(end, writing=False, reading=True)
        self.settle()
        self._check_nothing_is_left()

    def _check_why_its_writer_waits(self, end: StreamEnd) -> None:
        """Only for a peer that has left the reading half alone, and may still have an answer."""
        if end.unwritten:
            other = self._other(end)
            assert other is not None
            assert other.state.reading is Half.CLOSED
            assert other.state.writing is Half.OPEN

    def _break(self) -> None:
        """The connection is lost as it stands: everybody is told, what had come can be read."""
        for side, session in enumerate(self.sessions):
            told = {state.stream_id for state in session.close(ConnectionClosedError("lost"))}
            for end in self.ends[side].values():
                assert end.number in told or not (end.wanted or end.unwritten)
                self._go_on_reading(end)
                self._go_on_writing(end)
                assert not end.wanted
                assert not end.unwritten
                while self._read(end, EVERYTHING):
                    pass
            with pytest.raises(MuxedConnUnavailable):
                session.open_stream(self.now)
            assert not session.streams
            assert not session._lingering
            assert session._holdings.windows.held == 0

    def _check_complete(self, end: StreamEnd, other: StreamEnd | None) -> None:
        """A clean end means that all has been read; anything else has a reason."""
        state = end.state
        if state.reading is Half.EOF:
            assert other is not None
            assert other.finished_writing
            assert end.read == other.written
        elif state.reading is Half.RESET:
            assert end.number in self.cut
        else:
            assert state.reading is Half.CLOSED
        if state.writing is Half.RESET:
            assert end.number in self.cut

    def _check_nothing_is_left(self) -> None:
        for side, session in enumerate(self.sessions):
            assert not session.streams
            assert not session._lingering
            assert session._unacknowledged == session._inbound == session._unaccepted == 0
            assert session._holdings.windows.held == 0
            assert session.statistics().pongs_unsolicited == 0
            assert session.liveness.ping_sent_at is None
            assert self.pings[side] == self.pongs[1 - side]
            assert self.heard_goodbye[side] == self.said_goodbye[1 - side]
            assert session.can_open


class JoinedSessionsWithSmallLimits(JoinedSessions):
    config = SMALL_LIMITS


MACHINES = pytest.mark.parametrize("machine", [JoinedSessions, JoinedSessionsWithSmallLimits])


@pytest.mark.slow
@pytest.mark.hypothesis  # set by hypothesis on the tests that it wraps; `make fuzz` goes by it
@MACHINES
def test_two_sessions_agree_under_every_order_of_calls(machine: type[JoinedSessions]) -> None:
    half = settings(machine.TestCase.settings, max_examples=settings().max_examples // 2)
    run_state_machine_as_test(machine, settings=half)  # each is fifty steps


def _step(model: JoinedSessions, rng: random.Random) -> None:
    """One call with arguments that move data more often than they end streams."""
    side, choice, amount = rng.randrange(2), rng.randrange(100), rng.choice(AMOUNTS)
    calls: dict[str, tuple[float, Callable[[], None]]] = {
        "write": (20, lambda: model.write(side, choice, amount)),
        "read": (20, lambda: model.read(side, choice, amount)),
        "send": (15, lambda: model.send(side)),
        "deliver": (
            15,
            lambda: model.deliver(side, rng.choice(DELIVERIES), rng.choice([1, 11, 2**12, 2**16])),
        ),
        "settle": (3, model.settle),
        "open": (5, lambda: model.open(side)),
        "accept": (5, lambda: model.accept(side)),
        "cancel": (2, lambda: model.cancel(side, choice)),
        "close": (2, lambda: model.close(side, choice)),
        "close_write": (2, lambda: model.close_write(side, choice)),
        "close_read": (1, lambda: model.close_read(side, choice)),
        "reset": (1, lambda: model.reset(side, choice, amount)),
        "ping": (2, lambda: model.ping(side)),
        "go_away": (0.2, lambda: model.go_away(side, chance=9)),
        "wait": (5, lambda: model.wait(rng.random() / 10)),
    }
    weights = [weight for weight, _ in calls.values()]
    name = rng.choices(list(calls), weights)[0]
    calls[name][1]()


@pytest.mark.slow
@MACHINES
@given(seed=st.integers(0, 2**64), rtt=st.sampled_from([0.0, 0.01, 5.0]), breaks=st.booleans())
def test_two_sessions_agree_over_long_walks(
    machine: type[JoinedSessions], seed: int, rtt: float, breaks: bool
) -> None:
    """The same model, led by chance through a hundred calls: further than rules alone get."""
    rng = random.Random(seed)
    model = machine()
    try:
        model.connect(rtt, breaks)
        for _ in range(rng.randrange(100)):
            _step(model, rng)
            model.check()
    finally:
        model.teardown()
