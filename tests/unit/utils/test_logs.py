"""What peers say stands in a log as one line, and is not looked at where the log is off."""

from __future__ import annotations

import logging

import pytest

from libp2p.utils.logs import get_logger
from libp2p.utils.printable import MAX_LINE_CHARACTERS, one_line

FORGED = "me\n2026-01-01 ERROR root: on fire\r\x1b[2J\x9b2J\u2028\u202e\ud800"
"""Line feeds, what clears a terminal, what turns text around, half a letter."""


@pytest.mark.parametrize("text", ["plain", "größer 大", "", "back\\slash"])
def test_what_is_printable_stays(text: str) -> None:
    assert one_line(text) == text


def test_all_else_is_escaped() -> None:
    told = one_line(FORGED)
    assert told.isprintable()
    assert told.startswith(r"me\n2026")
    assert r"\r\x1b[2J\x9b2J\u2028\u202e\ud800" in told


def test_long_texts_are_cut() -> None:
    told = one_line("x" * 10_000_000)
    assert len(told) == MAX_LINE_CHARACTERS
    assert told.endswith("x…")


def test_arguments_and_tracebacks_forge_no_line(caplog: pytest.LogCaptureFixture) -> None:
    logger = get_logger("libp2p.test")
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        logger.error(
            "%s says %r to %d of %.3f: %.4s", FORGED, [FORGED], 3, 0.5, error, exc_info=error
        )
    logger.error("%s", {"a": FORGED})
    logger.error("nothing")
    first, second, third = caplog.records
    for record in caplog.records:
        assert record.getMessage().isprintable()
        told = logging.Formatter("%(message)s").format(record).splitlines()
        assert all(line.startswith("  ") and line.isprintable() for line in told[1:])
    assert r"on fire\r" in first.getMessage()
    assert first.getMessage().endswith("to 3 of 0.500: me\\n")
    assert "ValueError" in (first.exc_text or "")
    assert second.getMessage().startswith("{'a'")
    assert third.getMessage() == "nothing"


def test_what_cannot_be_told_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Nameless:
        def __str__(self) -> str:
            raise ValueError

    get_logger("libp2p.test").error("%s", Nameless())
    assert caplog.messages == ["<Nameless>"]


def test_nothing_is_told_where_the_log_is_off() -> None:
    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError

    get_logger("libp2p.test").debug("%s", Untouchable())
