"""
A long link between two yamux sessions, on a virtual clock.

One end writes as fast as the window and the wire allow; the other reads at once, or at a rate of
its own. A wire has a bandwidth and a delay and delivers in any pieces one asks for. There is no
TCP in it: no slow start and no loss, so what is seen is what yamux's windows allow.

`LeakingReceiveWindow` is go-yamux's way to grow a window, for comparison.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle
from struct import iter_unpack
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.resources import Scope
from libp2p.stream_muxer.yamux.config import CONNECTION_RECEIVE_BUDGET
from libp2p.stream_muxer.yamux.events import Event, StreamOpened, StreamReadable
from libp2p.stream_muxer.yamux.flow_control import (
    DEFAULT_WINDOW_SIZE,
    GROWTH_ROUND_TRIPS,
    MAX_WINDOW_SIZE,
    ReceiveWindow,
)
from libp2p.stream_muxer.yamux.frame import (
    MAX_FRAME_PAYLOAD,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
)
from libp2p.stream_muxer.yamux.session import YamuxSession

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.stream_muxer.yamux.stream_state import StreamState

GIGABIT: Final = 125e6
"""1 Gbit/s in bytes per second."""
SEGMENT_BYTES: Final = 64 * 1024
"""How much arrives at once unless a test asks for other pieces: about what one read brings."""
SOCKET_BYTES: Final = 1024 * 1024
"""What the sender's socket holds before a writer has to wait."""
_ZEROS: Final = memoryview(bytes(MAX_FRAME_PAYLOAD))


class Clock:
    """Virtual time: what is due happens in order, at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen at ``time``; of several at the same time, the first asked first."""
        self._count += 1
        heapq.heappush(self._due, (max(time, self.now), self._count, action))

    def step(self, end: float) -> bool:
        """Let the next thing happen that is due until ``end``; False if there is none."""
        if not self._due or self._due[0][0] > end:
            self.now = end
            return False
        self.now, _, action = heapq.heappop(self._due)
        action()
        return True


class Wire:
    """One direction of a link."""

    def __init__(self, clock: Clock, delay: float, bandwidth: float, splits: Iterable[int]) -> None:
        self.deliver: Callable[[list[Buffer]], None] = lambda _: None
        self._clock = clock
        self._delay = delay
        self._bandwidth = bandwidth
        self._splits = cycle(splits)
        self._free_at = 0.0

    @property
    def backlog(self) -> float:
        """Bytes that have been sent and wait for their turn on the wire."""
        return max(self._free_at - self._clock.now, 0.0) * self._bandwidth

    def when_backlog_is(self, size: float) -> float:
        """The time when the backlog will be down to ``size``."""
        return self._free_at - size / self._bandwidth

    def send(self, buffers: Iterable[Buffer]) -> None:
        for segment in self._segments(buffers):
            begin = max(self._free_at, self._clock.now)
            self._free_at = begin + sum(map(len, segment)) / self._bandwidth
            self._clock.at(self._free_at + self._delay, partial(self.deliver, segment))

    def _segments(self, buffers: Iterable[Buffer]) -> Iterator[list[Buffer]]:
        segment: list[Buffer] = []
        room = next(self._splits)
        for buffer in buffers:
            rest = memoryview(buffer)
            while len(rest) >= room:
                yield [*segment, rest[:room]]
                segment, rest, room = [], rest[room:], next(self._splits)
            if len(rest):
                segment.append(rest)
                room -= len(rest)
        if segment:
            yield segment


class End:
    """One session with its wire."""

    def __init__(self, clock: Clock, session: YamuxSession, wire: Wire) -> None:
        self.clock = clock
        self.session = session
        self.wire = wire

    def receive(self, pieces: list[Buffer]) -> None:
        for event in chain.from_iterable(self.session.receive(pieces, self.clock.now)):
            self.on_event(event)
        self.act()

    def on_event(self, event: Event) -> None:
        """What the application does about ``event``."""

    def act(self) -> None:
        """What the application does after any event."""
        self.flush()

    def flush(self) -> None:
        if self.session.has_outgoing:
            self.wire.send(self.session.take_outgoing())


class GreedySender(End):
    """Opens one stream and writes to it for ever."""

    def __init__(self, clock: Clock, session: YamuxSession, wire: Wire) -> None:
        super().__init__(clock, session, wire)
        self.stream = session.open_stream(clock.now)
        self._waits_for_socket = False

    def act(self) -> None:
        while size := min(self.session.sendable(self.stream), len(_ZEROS)):
            if self.wire.backlog >= SOCKET_BYTES:
                self._resume_later()
                break
            self.session.send(self.stream, [_ZEROS[:size]], size)
            self.flush()
        self.flush()

    def _resume_later(self) -> None:
        if not self._waits_for_socket:
            self._waits_for_socket = True
            self.clock.at(self.wire.when_backlog_is(SOCKET_BYTES / 2), self._resume)

    def _resume(self) -> None:
        self._waits_for_socket = False
        self.act()


class Mark(NamedTuple):
    """How far the reader was at some time."""

    time: float
    bytes_read: int
    window: int


class Reader(End):
    """Reads the peer's stream: all there is, or no faster than `LinkSettings.reader_rate`."""

    def __init__(
        self, clock: Clock, session: YamuxSession, wire: Wire, settings: LinkSettings
    ) -> None:
        super().__init__(clock, session, wire)
        self.stream: StreamState | None = None
        self.bytes_read = 0
        self.bytes_granted = DEFAULT_WINDOW_SIZE
        self.updates_sent = 0
        self.history: list[Mark] = [Mark(clock.now, 0, DEFAULT_WINDOW_SIZE)]
        self._rate = settings.reader_rate
        self._window_type = settings.window_type
        self._busy = False
        if settings.measure_rtt:
            session.ping(clock.now)

    def on_event(self, event: Event) -> None:
        if isinstance(event, StreamOpened):
            self.stream = event.stream
            window = self._window_type(self.clock.now, self.session._holdings.windows)
            window.credit = event.stream.receive_window.credit  # data may have come with the SYN
            event.stream.receive_window = window
            self.session.accept(event.stream)
        elif isinstance(event, StreamReadable) and not self._busy:
            self._read(event.stream)

    def flush(self) -> None:
        """Send; what goes this way has no body, so frames are headers one after the other."""
        batch = self.session.take_outgoing()
        for _, kind, _, _, length in iter_unpack(YAMUX_HEADER_FORMAT, b"".join(batch)):
            if kind == TYPE_WINDOW_UPDATE and length:
                self.bytes_granted += length
                self.updates_sent += 1
        self.wire.send(batch)

    def _read(self, stream: StreamState) -> None:
        limit = MAX_WINDOW_SIZE if self._rate is None else SEGMENT_BYTES
        size = sum(map(len, self.session.read(stream, limit, self.clock.now)))
        self.bytes_read += size
        self.history.append(Mark(self.clock.now, self.bytes_read, stream.receive_window.size))
        if self._rate is not None and size:
            self._busy = True
            self.clock.at(self.clock.now + size / self._rate, partial(self._read_on, stream))

    def _read_on(self, stream: StreamState) -> None:
        self._busy = False
        self._read(stream)
        self.act()


class LeakingReceiveWindow(ReceiveWindow):
    """
    Grows as go-yamux 5.1 does: credit first, then growth, then the credit once more.

    The second computation replaces what the first one found, after the account was already raised
    by it. So at each doubling half a window is booked as given but never told to the peer.
    """

    __slots__ = ("_leaking_epoch_start",)

    def __init__(self, now: float, budget: Scope) -> None:
        super().__init__(now, budget)
        self._leaking_epoch_start = now

    def consumed(self, size: int, buffered: int, now: float, rtt: float) -> int:
        delta = self.size - self.credit - buffered
        if delta < self.size // 2:
            return 0
        self.credit += delta
        if now - self._leaking_epoch_start < GROWTH_ROUND_TRIPS * rtt:
            before = self.size
            self._grow()
            if self.size > before:
                delta = self.size - self.credit - buffered  # the first one is lost here
                self.credit += delta
        self._leaking_epoch_start = now
        return delta


@dataclass(frozen=True)
class LinkSettings:
    """What joins the two ends, and how the reading end behaves."""

    round_trip: float
    """Seconds there and back."""
    bandwidth: float = GIGABIT
    """Bytes per second."""
    reader_rate: float | None = None
    """Bytes per second that the application reads; None: all at once."""
    splits: Sequence[int] = (SEGMENT_BYTES,)
    """In pieces of which sizes, over and over, bytes arrive."""
    window_type: type[ReceiveWindow] = ReceiveWindow
    budget: int = CONNECTION_RECEIVE_BUDGET
    measure_rtt: bool = True
    """Whether the reading end pings at the start, as the driver does."""


class VirtualLink:
    """A sender and a reader, joined."""

    def __init__(self, settings: LinkSettings) -> None:
        self.clock = Clock()
        delay, bandwidth = settings.round_trip / 2, settings.bandwidth
        there = Wire(self.clock, delay, bandwidth, settings.splits)
        back = Wire(self.clock, delay, bandwidth, settings.splits)
        listener = YamuxSession(is_initiator=False)
        listener._holdings.windows = Scope("windows", settings.budget)
        self.reader = Reader(self.clock, listener, back, settings)
        self.sender = GreedySender(self.clock, YamuxSession(is_initiator=True), there)
        there.deliver = self.reader.receive
        back.deliver = self.sender.receive
        self.reader.act()
        self.sender.act()

    def run(self, seconds: float) -> Iterator[VirtualLink]:
        """Let so much time pass; yields after whatever happens in it."""
        end = self.clock.now + seconds
        while self.clock.step(end):
            yield self

    def run_all(self, seconds: float) -> VirtualLink:
        """Let so much time pass without looking."""
        for _ in self.run(seconds):
            pass
        return self

    @property
    def window(self) -> int:
        """The reader's window now."""
        return self.reader.history[-1].window

    @property
    def lost_credit(self) -> int:
        """
        What is missing from the window: credit that neither side knows of any more.

        Credit that was sent and is not used up, data under way, data unread, and credit that is
        owed make up the window, at any time.
        """
        stream = self.reader.stream
        if stream is None:
            return 0
        window, unread = stream.receive_window, len(stream.inbox)
        credit_and_data_under_way = self.reader.bytes_granted - self.reader.bytes_read - unread
        owed = window.size - window.credit - unread
        return window.size - (credit_and_data_under_way + unread + owed)

    def rate(self, begin: float, end: float) -> float:
        """Bytes per second that were read between two times."""
        return (self._bytes_read_at(end) - self._bytes_read_at(begin)) / (end - begin)

    def _bytes_read_at(self, time: float) -> int:
        history = self.reader.history
        return history[bisect_right(history, time, key=lambda mark: mark.time) - 1].bytes_read
