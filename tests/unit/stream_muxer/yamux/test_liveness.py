"""Whether a peer is still there: the session's deadlines, without a socket, a clock or a task."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from libp2p.exceptions import ConnectionClosedError, MuxedConnError, RemoteProtocolError
from libp2p.stream_muxer.yamux.config import (
    CLOSE_GRACE,
    CLOSE_PATIENCE,
    CLOSE_TIMEOUT,
    DEFAULT_CONFIG,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_PROGRESS_TIMEOUT,
    YamuxConfig,
)
from libp2p.stream_muxer.yamux.liveness import SECOND_LOOK_AFTER
from libp2p.stream_muxer.yamux.session import YamuxSession
from tests.support.ends import ACK, GO_AWAY, PING, SYN, WINDOW_UPDATE, deliver, frame, sent

if TYPE_CHECKING:
    from tests.support.ends import RawFrame

SILENT = "no sign of life for 20 s"
STUCK = "the peer read nothing for 30 s"


class Connection:
    """The driver's part: it calls when a deadline has passed, or ``late`` by so many seconds."""

    def __init__(self, config: YamuxConfig = DEFAULT_CONFIG) -> None:
        self.session = YamuxSession(is_initiator=True, config=config)
        assert self.session.next_deadline() == inf
        self.now = 0.0
        #: What the peer's kernel has acknowledged, and what it has not.
        self.delivered = 0
        self.undelivered = 0
        self.ping: RawFrame | None = None
        self.session.start(self.now)

    def act(self, late: float = 0.0) -> str | None:
        """Act on the next deadline; return what ended the connection."""
        self.now = self.session.next_deadline() + late
        cause = self.session.on_time(self.now, self.delivered, self.undelivered)
        if cause is not None:
            assert isinstance(cause, MuxedConnError | ConnectionClosedError)
            return str(cause)
        assert self.session.next_deadline() > self.now
        return None

    def was_pinged(self) -> bool:
        """Tell whether a ping is to be sent, and take it."""
        pings = [each for each in sent(self.session) if each.kind == PING]
        if pings:
            (self.ping,) = pings
        return bool(pings)

    def begin(self) -> None:
        """Send the first ping."""
        assert self.act() is None
        assert self.was_pinged()

    def hear(self) -> None:
        """The peer sends something that is no answer."""
        deliver(self.session, frame(PING, SYN, 0, 7), self.now)
        sent(self.session)

    def answer(self) -> None:
        """The peer answers the ping."""
        assert self.ping is not None
        deliver(self.session, frame(PING, ACK, 0, self.ping.length), self.now)

    def fill(self) -> None:
        self.session.on_socket_full(self.now, 1000, self.delivered)

    def given_up(self) -> tuple[float, str]:
        """When a program that never computes gives the peer up, and why."""
        while (cause := self.act()) is None:
            assert self.now < 1000
            self.was_pinged()
        return self.now, cause


def test_it_pings_at_once_and_then_now_and_then() -> None:
    connection = Connection()
    pings: list[float] = []
    while len(pings) < 4:
        assert connection.act() is None
        if connection.was_pinged():
            pings.append(connection.now)
            connection.answer()
    assert pings == [turn * PING_INTERVAL for turn in range(4)]


def test_a_peer_that_is_silently_gone_is_given_up() -> None:
    assert Connection().given_up() == (PING_TIMEOUT, SILENT)


def test_a_peer_that_disappears_later_is_given_up_after_the_next_ping() -> None:
    connection = Connection()
    connection.begin()
    connection.answer()
    assert connection.given_up() == (PING_INTERVAL + PING_TIMEOUT, SILENT)


def test_a_peer_whose_kernel_has_the_ping_has_twice_the_time() -> None:
    connection = Connection()
    connection.begin()
    connection.delivered = 12
    assert connection.given_up() == (2 * PING_TIMEOUT, SILENT)


def test_whatever_is_received_is_a_sign_of_life() -> None:
    connection = Connection()
    connection.begin()
    connection.now = 15.0
    connection.hear()
    assert connection.given_up() == (15.0 + PING_TIMEOUT, SILENT)


def test_no_second_ping_goes_out_while_one_is_unanswered() -> None:
    connection = Connection()
    connection.begin()
    while connection.now < 3 * PING_INTERVAL:
        connection.now = connection.session.next_deadline() - 1.0
        connection.hear()
        assert connection.act() is None
        assert not connection.was_pinged()
    connection.answer()
    assert connection.act() is None
    assert connection.was_pinged()


def test_a_full_socket_that_nothing_leaves_is_the_end() -> None:
    connection = Connection()
    connection.begin()
    connection.now = 5.0
    connection.answer()
    connection.fill()
    assert connection.given_up() == (5.0 + WRITE_PROGRESS_TIMEOUT, STUCK)


def test_a_socket_that_is_no_longer_full_says_nothing() -> None:
    connection = Connection()
    connection.begin()
    connection.now = 5.0
    connection.answer()
    connection.fill()
    connection.session.on_socket_drained()
    assert connection.given_up() == (PING_INTERVAL + PING_TIMEOUT, SILENT)


def test_a_full_socket_makes_the_next_deadline_earlier_only_if_it_was_later() -> None:
    connection = Connection(YamuxConfig(ping_interval=1000))
    connection.fill()
    assert connection.session.next_deadline() == 0.0
    connection.begin()
    connection.answer()
    assert connection.act() is None  # there is nothing to do before the next ping
    assert connection.session.next_deadline() == WRITE_PROGRESS_TIMEOUT
    connection.session.on_socket_drained()
    assert connection.act() is None
    assert connection.session.next_deadline() == 1000
    connection.now = 100.0
    connection.fill()
    assert connection.session.next_deadline() == 100 + WRITE_PROGRESS_TIMEOUT


def test_a_peer_that_takes_a_little_now_and_then_is_alive() -> None:
    connection = Connection()
    connection.begin()
    connection.fill()
    for _ in range(20):
        connection.delivered += 1
        assert connection.act() is None


def test_behind_a_full_socket_an_unanswered_ping_says_nothing() -> None:
    connection = Connection()
    connection.begin()
    connection.now = 1.0
    connection.fill()
    assert connection.given_up() == (1.0 + WRITE_PROGRESS_TIMEOUT, STUCK)


def test_a_busy_program_does_not_take_its_peer_for_dead() -> None:
    connection = Connection()
    connection.begin()
    assert connection.act(late=10.0) is None
    assert connection.session.next_deadline() == connection.now + 10.0
    connection.answer()  # it had been waiting to be read
    assert connection.act() is None
    assert connection.was_pinged()


def test_a_late_look_is_repeated_once_only() -> None:
    connection = Connection()
    connection.begin()
    assert connection.act(late=0.2) is None
    assert connection.session.next_deadline() == connection.now + SECOND_LOOK_AFTER
    assert connection.act(late=10.0) == SILENT


def test_every_silence_has_a_second_look_of_its_own() -> None:
    connection = Connection()
    for _ in range(3):
        while not connection.was_pinged():
            assert connection.act(late=10.0) is None
        assert connection.act(late=10.0) is None
        connection.answer()


def test_times_are_those_of_the_configuration() -> None:
    config = YamuxConfig(ping_timeout=3, write_progress_timeout=5)
    assert Connection(config).given_up() == (3.0, "no sign of life for 3 s")
    stuck = Connection(config)
    stuck.begin()
    stuck.fill()
    assert stuck.given_up() == (5.0, "the peer read nothing for 5 s")


# -- closing ---------------------------------------------------------------------------------------


def closing(undelivered: int = 0) -> Connection:
    """A connection that was closed at 100 s, with so many bytes that the peer has not got."""
    connection = Connection()
    connection.begin()
    connection.now, connection.undelivered = 100.0, undelivered
    connection.session.leave(0x1006, connection.now, connection.delivered)
    return connection


def test_the_last_frame_is_sent_once_and_nothing_after_it() -> None:
    connection = closing()
    session = connection.session
    assert session.missing_bytes(0) == 12
    assert [each.kind for each in sent(session)] == [GO_AWAY]
    assert session.has_left
    deliver(session, frame(PING, SYN, 0, 7), connection.now)
    assert not session.has_outgoing
    assert session.take_outgoing() == []
    assert session.missing_bytes(30) == 30


def test_closing_waits_only_a_moment_for_a_peer_that_has_got_everything() -> None:
    connection = closing()
    sent(connection.session)
    assert connection.given_up()[0] == pytest.approx(100 + CLOSE_GRACE)


def test_closing_waits_for_a_peer_that_takes_what_was_written() -> None:
    connection = closing(undelivered=1)
    while connection.act() is None:
        connection.delivered += 1
    assert connection.now == pytest.approx(100 + CLOSE_TIMEOUT, abs=2 * CLOSE_GRACE)


def test_closing_does_not_wait_for_a_peer_that_takes_nothing() -> None:
    connection = closing(undelivered=1)
    assert connection.given_up()[0] == pytest.approx(100 + CLOSE_PATIENCE, abs=2 * CLOSE_GRACE)


def test_a_peer_that_broke_the_rules_is_told_and_has_a_moment_to_read_it() -> None:
    connection = Connection()
    connection.begin()
    stream = connection.session.open_stream(0.0)
    connection.now, connection.undelivered = 100.0, 1000
    ended = connection.session.turn_away(RemoteProtocolError("a bad frame"), connection.now)
    assert ended == [stream]
    assert [each.kind for each in sent(connection.session)] == [WINDOW_UPDATE, GO_AWAY]
    assert connection.given_up()[0] == pytest.approx(100 + CLOSE_GRACE)
