"""The two halves of a stream and how each of them ends."""

from __future__ import annotations

import pytest

from libp2p.exceptions import ConnectionClosedError, MuxedStreamClosed, MuxedStreamReset
from libp2p.resources import Scope
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE, ReceiveWindow
from libp2p.stream_muxer.yamux.stream_state import Half, StreamState


def stream(
    reading: Half = Half.OPEN, writing: Half = Half.OPEN, unread: bytes = b"", outbound: bool = True
) -> StreamState:
    state = StreamState(1, outbound, ReceiveWindow(0.0, Scope("budget", 0)))
    state.reading, state.writing = reading, writing
    state.peer_finished = reading is Half.EOF
    state.inbox.append(unread)
    return state


def test_a_stream_begins_open_with_the_specified_credit() -> None:
    state = stream()
    assert (state.reading, state.writing) == (Half.OPEN, Half.OPEN)
    assert state.send_credit == DEFAULT_WINDOW_SIZE
    assert not state.finished


@pytest.mark.parametrize("outbound", [True, False])
def test_only_inbound_streams_wait_to_be_accepted(outbound: bool) -> None:
    assert stream(outbound=outbound).accepted is outbound


@pytest.mark.parametrize(
    ("peer_finished", "writing", "finished"),
    [
        (False, Half.OPEN, False),
        (False, Half.CLOSED, False),
        (True, Half.OPEN, False),
        (True, Half.CLOSED, True),
        (True, Half.RESET, True),
    ],
)
def test_a_stream_is_finished_when_neither_side_will_send(
    peer_finished: bool, writing: Half, finished: bool
) -> None:
    state = stream(writing=writing)
    state.peer_finished = peer_finished
    assert state.finished is finished


@pytest.mark.parametrize(
    ("before", "remotely", "after"),
    [
        # A reset from this side also drops what was complete but not read.
        ((Half.OPEN, Half.OPEN), False, (Half.RESET, Half.RESET)),
        ((Half.EOF, Half.OPEN), False, (Half.RESET, Half.RESET)),
        ((Half.EOF, Half.CLOSED), False, (Half.RESET, Half.CLOSED)),
        ((Half.CLOSED, Half.OPEN), False, (Half.CLOSED, Half.RESET)),
        ((Half.CLOSED, Half.CLOSED), False, (Half.CLOSED, Half.CLOSED)),
        # A reset from the peer ends the halves that are still open.
        ((Half.OPEN, Half.OPEN), True, (Half.RESET, Half.RESET)),
        ((Half.OPEN, Half.CLOSED), True, (Half.RESET, Half.CLOSED)),
        ((Half.EOF, Half.OPEN), True, (Half.EOF, Half.RESET)),
        ((Half.CLOSED, Half.OPEN), True, (Half.CLOSED, Half.RESET)),
    ],
)
def test_a_reset_ends_halves(
    before: tuple[Half, Half], remotely: bool, after: tuple[Half, Half]
) -> None:
    state = stream(*before)
    state.reset(7, remote=remotely)
    assert (state.reading, state.writing) == after
    assert state.peer_finished


def test_a_reset_drops_what_came_of_an_incomplete_direction() -> None:
    for remotely in (True, False):
        state = stream(unread=b"half of it")
        state.reset(0, remote=remotely)
        assert not state.inbox


def test_what_was_complete_before_the_peers_reset_can_still_be_read() -> None:
    state = stream(reading=Half.EOF, unread=b"all of it")
    state.reset(0, remote=True)
    assert state.inbox.take_all() == [b"all of it"]


def test_a_lost_connection_leaves_what_had_arrived() -> None:
    state = stream(unread=b"arrived")
    state.lose(ConnectionClosedError("gone"))
    assert state.inbox.take_all() == [b"arrived"]
    assert (state.reading, state.writing) == (Half.RESET, Half.RESET)


def test_a_lost_connection_does_not_undo_a_clean_end() -> None:
    state = stream(reading=Half.EOF, writing=Half.CLOSED)
    state.lose(ConnectionClosedError("gone"))
    assert (state.reading, state.writing) == (Half.EOF, Half.CLOSED)


def test_the_error_of_a_closed_half_says_closed() -> None:
    error = stream(writing=Half.CLOSED).error(Half.CLOSED)
    assert isinstance(error, MuxedStreamClosed)


@pytest.mark.parametrize(("remotely", "who"), [(True, "the peer"), (False, "this side")])
def test_the_error_of_a_reset_tells_code_and_side(remotely: bool, who: str) -> None:
    state = stream()
    state.reset(0x1003, remote=remotely)
    error = state.error(state.reading)
    assert isinstance(error, MuxedStreamReset)
    assert (error.error_code, error.remote) == (0x1003, remotely)
    assert who in str(error)


def test_the_first_reset_is_the_one_that_is_told() -> None:
    state = stream()
    state.reset(5, remote=True)
    state.reset(0, remote=False)
    error = state.error(state.reading)
    assert isinstance(error, MuxedStreamReset)
    assert (error.error_code, error.remote) == (5, True)


def test_the_error_of_a_lost_stream_carries_its_cause() -> None:
    cause = ConnectionClosedError("cable cut")
    state = stream()
    state.lose(cause)
    error = state.error(state.reading)
    assert isinstance(error, MuxedStreamReset)
    assert error.__cause__ is cause
    assert "cable cut" in str(error)


def test_the_drivers_side_is_forgotten_with_the_stream() -> None:
    class Handle:
        def wake_reader(self) -> None: ...

        def wake_writer(self) -> None: ...

    stream = StreamState(1, True, ReceiveWindow(0.0, Scope("windows")))
    handle = Handle()
    stream.attach(handle)
    assert stream.handle is handle
    assert stream.detach() is handle
    assert stream.detach() is None
