"""
Two joined sessions under every order of calls, with frames delivered a few bytes at a time.

The model knows what the applications did and what is on the wire; it checks that no byte is lost
or doubled, that all credit is accounted for, that nobody who could go on is left asleep, and that
nothing remains of streams that have ended.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libp2p.exceptions import MuxedConnUnavailable, MuxedStreamClosed, MuxedStreamReset
from libp2p.stream_muxer.yamux import session as session_module
from libp2p.stream_muxer.yamux.frame import HEADER_SIZE, MAX_FRAME_PAYLOAD
from libp2p.stream_muxer.yamux.session import (
    GoAwayReceived,
    OpenAllowed,
    PongReceived,
    StreamOpened,
    StreamReadable,
    StreamWritable,
    YamuxSession,
)
from libp2p.stream_muxer.yamux.stream_state import Half
from tests.support.ends import ACK, DATA, FIN, PING, RST, SYN, WINDOW_UPDATE, RawFrame, parse

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.session import Event
    from libp2p.stream_muxer.yamux.stream_state import StreamState

SMALL_LIMITS = {
    "MAX_UNACKNOWLEDGED": 3,
    "ACCEPT_BACKLOG": 2,
    "MAX_LINGERING": 1,
    "MAX_PENDING_PONGS": 2,
}
"""So that a few dozen steps reach every limit."""

#: What an application may write or read at once: little, a frame and its edges, a window.
AMOUNTS = [1, 100, 5000, MAX_FRAME_PAYLOAD, MAX_FRAME_PAYLOAD + 1, 2**17, 2**18, 2**24]
#: How much of what is under way arrives: less than a header, a few frames, all of it.
DELIVERIES = [1, HEADER_SIZE, HEADER_SIZE + 1, 70_000, 2**17, 2**24]
amounts = st.sampled_from(AMOUNTS)
deliveries = st.sampled_from(DELIVERIES)
picks = st.integers(0, 100)
sides = st.sampled_from([0, 1])


def pattern(stream_id: int, side: int, offset: int, size: int) -> bytes:
    """What ``side`` writes to the stream at ``offset``: any loss or repetition shows."""
    period = bytes((i * 7 + stream_id * 31 + side * 101) % 251 for i in range(251))
    start = offset % 251
    return (period * (size // 251 + 2))[start : start + size]


@dataclass(eq=False)
class StreamEnd:
    """One side's view of a stream, and what its application has done with it."""

    side: int
    state: StreamState
    written: int = 0
    read: int = 0
    finished_writing: bool = False
    taken: bool = False


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

    limits: Mapping[str, int] = MappingProxyType({})

    @initialize(rtt=st.sampled_from([0.0, 0.01, 5.0]))
    def connect(self, rtt: float) -> None:
        self.patch = pytest.MonkeyPatch()
        for name, value in self.limits.items():
            self.patch.setattr(session_module, name, value)
        self.now = 0.0
        self.sessions = (YamuxSession(is_initiator=True), YamuxSession(is_initiator=False))
        for session in self.sessions:
            session.rtt = rtt
        self.directions = (Direction(), Direction())
        self.ends: tuple[dict[int, StreamEnd], dict[int, StreamEnd]] = ({}, {})
        self.backlogs: tuple[list[StreamEnd], list[StreamEnd]] = ([], [])
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
        session = self.sessions[side]
        if self.said_goodbye[side]:
            with pytest.raises(MuxedConnUnavailable):
                session.open_stream(self.now)
        elif session.can_open:
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
        if end is None:
            return
        session, state = self.sessions[side], end.state
        while size and state.writing is Half.OPEN:
            part = min(size, session.sendable(state))
            if not part:
                return
            assert part <= MAX_FRAME_PAYLOAD
            session.send(state, [pattern(state.stream_id, side, end.written, part)], part)
            end.written += part
            size -= part
            self.directions[side].queued[state.stream_id] += part
        if state.writing is not Half.OPEN:
            expected = MuxedStreamClosed if state.writing is Half.CLOSED else MuxedStreamReset
            with pytest.raises(expected):
                session.sendable(state)

    @rule(side=sides, choice=picks, limit=amounts)
    def read(self, side: int, choice: int, limit: int) -> None:
        end = self.pick(side, choice)
        if end is not None:
            self._read(end, limit)

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
                self.cut.add(end.state.stream_id)  # the peer may be reset if it writes on
            session.close_read(end.state)

    @rule(side=sides, choice=picks, code=st.integers(0, 2**32 - 1))
    def reset(self, side: int, choice: int, code: int) -> None:
        end = self.pick(side, choice)
        if end is not None:
            self.cut.add(end.state.stream_id)
            self.sessions[side].reset(end.state, code)

    # -- the connection -----------------------------------------------------------------------

    @rule(side=sides)
    def ping(self, side: int) -> None:
        in_flight = self.sessions[side].ping_sent_at is not None
        assert self.sessions[side].ping(self.now) is not in_flight
        self.pings[side] += not in_flight

    @precondition(lambda self: sum(len(ends) for ends in self.ends) > 12)
    @rule(side=sides)
    def go_away(self, side: int) -> None:
        self.sessions[side].go_away(0)
        self.said_goodbye[side] = True

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
        asleep = self._who_would_sleep(1 - side)
        cut = max(cut, len(arriving) // 500)
        pieces = [memoryview(arriving)[i : i + cut] for i in range(0, len(arriving), cut)]
        events = receiver.receive(pieces, self.now)
        self._note(1 - side, events)
        self._check_woken(1 - side, asleep, events)

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
            elif isinstance(event, PongReceived):
                self.pings[side] -= 1

    def _who_would_sleep(self, side: int) -> tuple[bool, set[int], set[int]]:
        """Whether opening has to wait, and which streams' readers and writers do."""
        states = [end.state for end in self.ends[side].values()]
        return (
            not self.sessions[side].can_open,
            {s.stream_id for s in states if s.reading is Half.OPEN and not s.inbox},
            {s.stream_id for s in states if s.writing is Half.OPEN and not s.send_credit},
        )

    def _check_woken(
        self, side: int, before: tuple[bool, set[int], set[int]], events: list[Event]
    ) -> None:
        opening, readers, writers = self._who_would_sleep(side)
        if before[0] and not opening:
            assert any(isinstance(event, OpenAllowed) for event in events)
        readable = {e.stream.stream_id for e in events if isinstance(e, StreamReadable)}
        writable = {e.stream.stream_id for e in events if isinstance(e, StreamWritable)}
        assert before[1] - readers <= readable
        assert before[2] - writers <= writable

    # -- what always holds --------------------------------------------------------------------

    def check(self) -> None:
        """All invariants, for those who do not run the machine by its rules."""
        self.counters_agree_with_the_table()
        self.every_window_adds_up()
        self.no_credit_is_lost_or_invented()

    @invariant()
    def counters_agree_with_the_table(self) -> None:
        for side, session in enumerate(self.sessions):
            outbound = [s for s in session.streams.values() if s.outbound]
            assert session._unacknowledged == sum(not s.acknowledged for s in outbound)
            assert session._inbound == len(session.streams) - len(outbound)
            assert session._unaccepted == len(self.backlogs[side])
            assert set(session._lingering) <= set(session.streams)
            assert len(session._lingering) <= session_module.MAX_LINGERING
            assert session._unacknowledged <= session_module.MAX_UNACKNOWLEDGED
            assert session._unaccepted <= session_module.ACCEPT_BACKLOG
            assert not any(s.finished for s in session.streams.values())

    @invariant()
    def every_window_adds_up(self) -> None:
        for session in self.sessions:
            for state in session.streams.values():
                window = state.receive_window
                owed = window.size - window.credit - len(state.inbox)
                assert 0 <= window.credit <= window.size
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

    def _data_under_way(self, side: int, stream_id: int) -> int:
        direction = self.directions[side]
        return direction.queued[stream_id] + sum(
            min(frame.length, end - direction.delivered)
            for end, frame in direction.under_way
            if frame.kind == DATA and frame.stream_id == stream_id
        )

    def _credit_under_way(self, side: int, stream_id: int) -> int:
        queued = self.sessions[side]._outgoing.window_updates.get(stream_id, 0)
        return queued + sum(
            frame.length
            for _, frame in self.directions[side].under_way
            if (frame.kind, frame.flags, frame.stream_id) == (WINDOW_UPDATE, 0, stream_id)
        )

    # -- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "sessions"):
            return
        try:
            self._finish()
        finally:
            self.patch.undo()

    def _finish(self) -> None:
        self.settle()
        for ends in self.ends:
            for end in ends.values():
                while self._read(end, 2**24):
                    pass
                self._close(end, writing=True, reading=False)
        self.settle()
        for side, ends in enumerate(self.ends):
            for stream_id, end in ends.items():
                while self._read(end, 2**24):
                    pass
                self._check_complete(end, self.ends[1 - side].get(stream_id))
                self._close(end, writing=False, reading=True)
        self.settle()
        self._check_nothing_is_left()

    def _check_complete(self, end: StreamEnd, other: StreamEnd | None) -> None:
        """A clean end means that all has been read; anything else has a reason."""
        state = end.state
        if state.reading is Half.EOF:
            assert other is not None
            assert other.finished_writing
            assert end.read == other.written
        elif state.reading is Half.RESET:
            assert state.stream_id in self.cut
        else:
            assert state.reading is Half.CLOSED
        if state.writing is Half.RESET:
            assert state.stream_id in self.cut

    def _check_nothing_is_left(self) -> None:
        for side, session in enumerate(self.sessions):
            assert not session.streams
            assert not session._lingering
            assert session._unacknowledged == session._inbound == session._unaccepted == 0
            assert session.budget.used == 0
            assert session.statistics.pongs_unsolicited == 0
            assert session.ping_sent_at is None
            assert self.pings[side] == 0
            assert self.heard_goodbye[side] == self.said_goodbye[1 - side]
            assert session.can_open


class JoinedSessionsWithSmallLimits(JoinedSessions):
    limits = MappingProxyType(SMALL_LIMITS)


MACHINES = pytest.mark.parametrize("machine", [JoinedSessions, JoinedSessionsWithSmallLimits])


@pytest.mark.slow
@MACHINES
def test_two_sessions_agree_under_every_order_of_calls(machine: type[JoinedSessions]) -> None:
    run_state_machine_as_test(machine)


def _step(model: JoinedSessions, rng: random.Random) -> None:
    """One call with arguments that move data more often than they end streams."""
    side, choice, amount = rng.randrange(2), rng.randrange(100), rng.choice(AMOUNTS)
    calls: dict[str, tuple[int, Callable[[], None]]] = {
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
        "close": (2, lambda: model.close(side, choice)),
        "close_write": (2, lambda: model.close_write(side, choice)),
        "close_read": (1, lambda: model.close_read(side, choice)),
        "reset": (1, lambda: model.reset(side, choice, amount)),
        "ping": (2, lambda: model.ping(side)),
        "wait": (5, lambda: model.wait(rng.random() / 10)),
    }
    weights = [weight for weight, _ in calls.values()]
    name = rng.choices(list(calls), weights)[0]
    calls[name][1]()


@pytest.mark.slow
@MACHINES
@given(seed=st.integers(0, 2**64), rtt=st.sampled_from([0.0, 0.01, 5.0]))
def test_two_sessions_agree_over_long_walks(
    machine: type[JoinedSessions], seed: int, rtt: float
) -> None:
    """The same model, led by chance through a hundred calls: further than rules alone get."""
    rng = random.Random(seed)
    model = machine()
    model.connect(rtt)
    try:
        for _ in range(rng.randrange(100)):
            _step(model, rng)
            model.check()
        if rng.random() < 0.2:
            model.go_away(rng.randrange(2))
    finally:
        model.teardown()
