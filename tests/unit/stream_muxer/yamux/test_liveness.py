"""Whether a peer is still there, by what could be read and written."""

from __future__ import annotations

from libp2p.stream_muxer.yamux.liveness import (
    CLOSE_GRACE,
    CLOSE_PATIENCE,
    CLOSE_TIMEOUT,
    PING_INTERVAL,
    PING_TIMEOUT,
    SECOND_LOOK_AFTER,
    WRITE_PROGRESS_TIMEOUT,
    Farewell,
    Finding,
    Liveness,
)


class Connection:
    """The driver's part: it looks when told to, or ``late`` by so many seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.delivered = 0
        self.ping_sent_at: float | None = None
        self.full_since: float | None = None
        self.liveness = Liveness(0.0)

    def look(self, late: float = 0.0) -> Finding:
        self.now = self.liveness.look_at + late
        finding = self.liveness.look(self.now, self.delivered, self.ping_sent_at, self.full_since)
        assert self.liveness.look_at > self.now or finding in (Finding.SILENT, Finding.STUCK)
        if finding is Finding.PING:
            self.ping_sent_at = self.now
        return finding

    def read(self, pong: bool = False) -> None:
        self.liveness.on_read(self.now)
        if pong:
            self.ping_sent_at = None

    def fill(self) -> None:
        self.full_since = self.now
        self.liveness.on_full(self.now, self.delivered)

    def judged_at(self) -> tuple[float, Finding]:
        """When somebody who never computes gives up, and why."""
        while (finding := self.look()) not in (Finding.SILENT, Finding.STUCK):
            assert self.now < 1000
        return self.now, finding


def test_it_pings_at_once_and_then_now_and_then() -> None:
    connection = Connection()
    pings: list[float] = []
    while len(pings) < 4:
        if connection.look() is Finding.PING:
            pings.append(connection.now)
            connection.read(pong=True)
    assert pings == [turn * PING_INTERVAL for turn in range(4)]


def test_silence_after_a_ping_is_the_end() -> None:
    assert Connection().judged_at() == (PING_TIMEOUT, Finding.SILENT)


def test_a_peer_whose_kernel_has_the_ping_has_twice_the_time() -> None:
    connection = Connection()
    connection.look()
    connection.delivered = 12
    assert connection.judged_at() == (2 * PING_TIMEOUT, Finding.SILENT)


def test_whatever_is_read_is_a_sign_of_life() -> None:
    connection = Connection()
    connection.look()
    connection.now = 15.0
    connection.read()
    assert connection.judged_at() == (15.0 + PING_TIMEOUT, Finding.SILENT)


def test_no_second_ping_goes_out_while_one_is_unanswered() -> None:
    connection = Connection()
    assert connection.look() is Finding.PING
    while connection.now < 3 * PING_INTERVAL:
        connection.now = connection.liveness.look_at - 1.0
        connection.read()
        assert connection.look() is Finding.NOTHING
    connection.read(pong=True)
    assert connection.look() is Finding.PING


def test_a_full_socket_that_nothing_leaves_is_the_end() -> None:
    connection = Connection()
    connection.look()
    connection.now = 5.0
    connection.read(pong=True)
    connection.fill()
    assert connection.judged_at() == (5.0 + WRITE_PROGRESS_TIMEOUT, Finding.STUCK)


def test_a_full_socket_makes_the_next_look_come_sooner_only_if_it_was_later() -> None:
    liveness = Liveness(0.0)
    assert not liveness.on_full(0.0, 0)
    liveness.look_at = 2 * WRITE_PROGRESS_TIMEOUT
    assert liveness.on_full(1.0, 0)
    assert liveness.look_at == 1.0 + WRITE_PROGRESS_TIMEOUT


def test_a_peer_that_takes_a_little_now_and_then_is_alive() -> None:
    connection = Connection()
    connection.look()
    connection.fill()
    for _ in range(20):
        connection.delivered += 1
        assert connection.look() is not Finding.STUCK


def test_behind_a_full_socket_an_unanswered_ping_says_nothing() -> None:
    connection = Connection()
    connection.look()
    connection.now = 1.0
    connection.fill()
    assert connection.judged_at() == (1.0 + WRITE_PROGRESS_TIMEOUT, Finding.STUCK)


def test_who_comes_late_looks_again_before_judging() -> None:
    connection = Connection()
    connection.look()
    assert connection.look(late=10.0) is Finding.NOTHING
    assert connection.liveness.look_at == connection.now + 10.0
    connection.read(pong=True)  # it had waited to be read
    assert connection.look() is Finding.PING


def test_a_second_look_is_not_put_off_again() -> None:
    connection = Connection()
    connection.look()
    assert connection.look(late=0.2) is Finding.NOTHING
    assert connection.liveness.look_at == connection.now + SECOND_LOOK_AFTER
    assert connection.look(late=10.0) is Finding.SILENT


def test_every_silence_has_a_second_look_of_its_own() -> None:
    connection = Connection()
    for _ in range(3):
        while connection.look(late=10.0) is not Finding.NOTHING or connection.ping_sent_at is None:
            pass
        connection.read(pong=True)


# -- closing ---------------------------------------------------------------------------------------


def test_closing_waits_only_a_moment_for_a_peer_that_has_got_everything() -> None:
    farewell = Farewell(5.0, 100)
    assert farewell.goes_on(5.0, 100, missing=0)
    assert not farewell.goes_on(5.0 + CLOSE_GRACE, 100, missing=0)


def test_closing_waits_for_a_peer_that_takes_what_was_written() -> None:
    farewell = Farewell(0.0, 0)
    step = CLOSE_PATIENCE / 2
    for turn in range(1, int(CLOSE_TIMEOUT / step)):
        assert farewell.goes_on(turn * step, turn, missing=1)
    assert not farewell.goes_on(CLOSE_TIMEOUT, 1000, missing=1)


def test_closing_does_not_wait_for_a_peer_that_takes_nothing() -> None:
    farewell = Farewell(0.0, 7)
    assert farewell.goes_on(CLOSE_PATIENCE / 2, 7, missing=1)
    assert not farewell.goes_on(CLOSE_PATIENCE, 7, missing=1)
