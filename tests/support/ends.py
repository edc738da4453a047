"""Two yamux sessions joined in memory, and frames written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from hypothesis import strategies as st

from libp2p.stream_muxer.yamux.events import Event, StreamOpened, StreamReadable
from libp2p.stream_muxer.yamux.session import YamuxSession

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.resources import Resources
    from libp2p.stream_muxer.yamux.stream_state import StreamState

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8

Chop = Callable[[bytes], Sequence[bytes]]
"""Cuts what is on its way into the pieces in which it arrives."""

_HEADER: Final = Struct(">BBHII")


class RawFrame(NamedTuple):
    """A frame as the specification draws it, independent of the code under test."""

    kind: int
    flags: int
    stream_id: int
    length: int
    body: bytes = b""


def frame(kind: int, flags: int, stream_id: int, length: int = 0, body: bytes = b"") -> bytes:
    """The bytes of any frame, sensible or not."""
    return _HEADER.pack(0, kind, flags, stream_id, length) + body


def data_frame(stream_id: int, body: bytes, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream_id, len(body), body)


def parse(wire: bytes) -> list[RawFrame]:
    """Read whole frames, and nothing but whole frames."""
    frames = []
    offset = 0
    while offset < len(wire):
        version, kind, flags, stream_id, length = _HEADER.unpack_from(wire, offset)
        assert version == 0
        assert kind <= GO_AWAY
        offset += _HEADER.size
        body = wire[offset : offset + length] if kind == DATA else b""
        if kind == DATA:
            assert len(body) == length, "a frame was cut short"
            offset += length
        frames.append(RawFrame(kind, flags, stream_id, length, body))
    return frames


def whole(data: bytes) -> Sequence[bytes]:
    return [data] if data else []


def byte_by_byte(data: bytes) -> Sequence[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def chopped_by(cuts: Sequence[int]) -> Chop:
    """Pieces of the lengths in ``cuts``, over and over."""

    def chop(data: bytes) -> Sequence[bytes]:
        pieces, offset, turn = [], 0, 0
        while offset < len(data):
            size = cuts[turn % len(cuts)]
            pieces.append(data[offset : offset + size])
            offset, turn = offset + size, turn + 1
        return pieces

    return chop


#: Any way to split what is sent: tiny pieces, pieces around a header's length, large ones.
chops: st.SearchStrategy[Chop] = st.one_of(
    st.just(whole),
    st.just(byte_by_byte),
    st.lists(st.integers(1, 40), min_size=1, max_size=6).map(chopped_by),
    st.lists(st.integers(1, 100_000), min_size=1, max_size=6).map(chopped_by),
)


_RAMP = bytes(7 * i & 0xFF for i in range(256))


def octets(max_size: int, min_size: int = 0) -> st.SearchStrategy[bytes]:
    """
    Bytes of many lengths, no two neighbours alike.

    Not `st.binary`: hypothesis then compares bytes with numbers, an error under ``python -bb``.
    """
    return st.builds(
        lambda first, size: (_RAMP * (size // 256 + 2))[first : first + size],
        st.integers(0, 255),
        st.integers(min_size, max_size),
    )


def outgoing(session: YamuxSession) -> bytes:
    """Take what ``session`` wants to send, joined."""
    batch = session.take_outgoing()
    assert not session.has_outgoing
    return b"".join(batch)


def sent(session: YamuxSession) -> list[RawFrame]:
    """Take what ``session`` wants to send, as frames."""
    return parse(outgoing(session))


def deliver(
    session: YamuxSession, data: bytes, now: float = 0.0, chop: Chop = whole
) -> list[Event]:
    """Give ``data`` to ``session``, each piece in a call of its own."""
    events: list[Event] = []
    for piece in chop(data):
        for some in session.receive([piece], now):
            events += some
    return events


def join(
    a: YamuxSession, b: YamuxSession, now: float = 0.0, chop: Chop = whole
) -> tuple[list[Event], list[Event]]:
    """Carry frames both ways until neither side has any; return the events of ``a`` and ``b``."""
    events_a: list[Event] = []
    events_b: list[Event] = []
    while a.has_outgoing or b.has_outgoing:
        events_b += deliver(b, outgoing(a), now, chop)
        events_a += deliver(a, outgoing(b), now, chop)
    return events_a, events_b


def opened(events: Sequence[Event]) -> list[StreamState]:
    """The streams that ``events`` announce."""
    return [event.stream for event in events if isinstance(event, StreamOpened)]


def readable(events: Sequence[Event]) -> list[StreamState]:
    """The streams whose readers ``events`` would wake."""
    return [event.stream for event in events if isinstance(event, StreamReadable)]


def pair(resources: Resources | None = None) -> tuple[YamuxSession, YamuxSession]:
    """The dialling and the listening end, which may belong to a host."""
    return YamuxSession(is_initiator=True), YamuxSession(is_initiator=False, resources=resources)


def listener(
    resources: Resources | None = None, on_cut: Callable[[StreamState], object] | None = None
) -> YamuxSession:
    """A session whose peer is played by hand: the peer dialled, its stream ids are odd."""
    return YamuxSession(is_initiator=False, resources=resources, on_cut=on_cut)


def inbound(session: YamuxSession, stream_id: int = 1) -> StreamState:
    """A stream that the peer opened and this side took; nothing is left to send."""
    (stream,) = opened(deliver(session, frame(WINDOW_UPDATE, SYN, stream_id)))
    session.accept(stream)
    session.take_outgoing()
    return stream


def stream_pair(
    a: YamuxSession, b: YamuxSession, now: float = 0.0
) -> tuple[StreamState, StreamState]:
    """Both ends of a stream that ``a`` opened and ``b`` accepted."""
    ours = a.open_stream(now)
    (theirs,) = opened(join(a, b, now)[1])
    b.accept(theirs)
    join(a, b, now)
    return ours, theirs


def write(session: YamuxSession, stream: StreamState, data: Buffer) -> int:
    """Queue as much of ``data`` as the window allows; return how much that was."""
    view, done = memoryview(data), 0
    while done < len(view):
        size = min(session.sendable(stream), len(view) - done)
        if not size:
            break
        session.send(stream, [view[done : done + size]], size)
        done += size
    return done


def read(session: YamuxSession, stream: StreamState, limit: int = 2**24, now: float = 0.0) -> bytes:
    """Read what is there, joined."""
    return b"".join(session.read(stream, limit, now))
