"""Points in time as text, to the nanosecond."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import InvalidArgument, ParseError
from libp2p.utils.rfc3339 import from_nanoseconds, to_nanoseconds

#: The years 1 to 9999.
FIRST, LAST = -62135596800 * 10**9, 253402300800 * 10**9 - 1


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2123-08-14T12:17:03.694052Z", 4847689023694052000),
        ("0001-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999999999Z", LAST),
    ],
)
def test_as_go_writes_it(text: str, nanoseconds: int) -> None:
    assert to_nanoseconds(text) == nanoseconds
    assert from_nanoseconds(nanoseconds) == text


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:30:00.5-05:30", 5 * 10**8),
        ("1970-01-01T00:00:00.0000000019Z", 1),
        ("1970-01-01T00:00:00.100000000Z", 10**8),
        ("1970-01-01T00:00:00+00:00", 0),
    ],
)
def test_other_forms_are_read(text: str, nanoseconds: int) -> None:
    assert to_nanoseconds(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-01-01T00:00:00z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00,5Z",
        "1970-1-01T00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-02-30T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:00:00+24:00",
        "0001-01-01T00:00:00+2400",
        " 1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z\n",
        "\u0661970-01-01T00:00:00Z",
        "1970-01-01T00:00:00." + "0" * 100 + "Z",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="point in time"):
        to_nanoseconds(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.5-00:01"])
def test_the_first_and_last_years_end_in_utc(text: str) -> None:
    with pytest.raises(ParseError, match="years 1 to 9999"):
        to_nanoseconds(text)


@pytest.mark.parametrize("nanoseconds", [FIRST - 1, LAST + 1, 10**30])
def test_years_are_limited(nanoseconds: int) -> None:
    with pytest.raises(InvalidArgument, match="years 1 to 9999"):
        from_nanoseconds(nanoseconds)


@given(st.integers(FIRST, LAST))
def test_what_is_written_is_read(nanoseconds: int) -> None:
    text = from_nanoseconds(nanoseconds)
    assert to_nanoseconds(text) == nanoseconds
    moment = datetime.fromisoformat(text)
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)).days == nanoseconds // (86_400 * 10**9)


@given(st.text(max_size=40))
def test_text_is_read_or_refused(text: str) -> None:
    try:
        nanoseconds = to_nanoseconds(text)
    except ParseError:
        return
    assert FIRST <= nanoseconds <= LAST
