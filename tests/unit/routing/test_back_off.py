"""When a server that has failed is asked again."""

from __future__ import annotations

import pytest

from libp2p.routing.back_off import (
    BACK_OFF_SECONDS,
    MAX_BACK_OFF_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    BackOff,
    retry_after_of,
)


def test_at_first_a_server_may_be_asked() -> None:
    assert BackOff().wait(0.0) == 0


def test_the_pause_doubles_up_to_a_limit_and_ends_with_success() -> None:
    back_off = BackOff()
    now, pauses = 100.0, []
    for _ in range(60):
        pauses.append(back_off.failed(now))
        assert back_off.wait(now) == pauses[-1]
        now += pauses[-1]
        assert back_off.wait(now) == 0
    assert pauses[:3] == [BACK_OFF_SECONDS, 2 * BACK_OFF_SECONDS, 4 * BACK_OFF_SECONDS]
    assert pauses[-1] == MAX_BACK_OFF_SECONDS
    back_off.failed(now)
    back_off.succeeded()
    assert back_off.wait(now) == 0
    assert back_off.failed(now) == BACK_OFF_SECONDS


def test_questions_that_were_under_way_do_not_count_again() -> None:
    back_off = BackOff()
    assert [back_off.failed(0.0) for _ in range(10)] == [BACK_OFF_SECONDS] * 10


def test_some_failures_in_a_row_may_be_tolerated() -> None:
    back_off = BackOff()
    assert [back_off.failed(0.0, tolerated=2) for _ in range(3)] == [0, 0, BACK_OFF_SECONDS]
    assert back_off.failed(9.0, tolerated=2) == 2 * BACK_OFF_SECONDS
    back_off.succeeded()
    assert back_off.failed(9.0, tolerated=2) == 0


def test_what_the_server_asks_for_is_done() -> None:
    back_off = BackOff()
    assert back_off.failed(0.0, 60.0) == 60
    assert back_off.failed(10.0, 5.0) == 50  # an earlier answer is not taken back
    assert back_off.failed(100.0, 1e9) == MAX_RETRY_AFTER_SECONDS
    assert BackOff().failed(5.0, -3.0) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:01:40", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("\u0664", None),
        ("Mon, 99 Foo 99999999999999999999 00:00:00 GMT", None),
        (None, None),
    ],
)
def test_the_header_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_of(text, 10.0) == seconds


def test_a_number_of_a_million_digits_is_read() -> None:
    assert retry_after_of("9" * 1_000_000, 0.0) == 999_999_999_999
