"""Whose data goes next: turns for what is long, precedence with a measure for what is short."""

from __future__ import annotations

from collections import Counter

from libp2p.stream_muxer.yamux.config import MAX_SEND_QUEUE_BYTES
from libp2p.stream_muxer.yamux.session import TURN_BYTES
from libp2p.stream_muxer.yamux.write_scheduler import (
    SHORT_BEFORE_LONG,
    SHORT_BYTES,
    TURNS_AT_ONCE,
    WriteLine,
)


def line_of(*writers: str) -> WriteLine[str]:
    """A line in which those stand whose names are given, the short ones in small letters."""
    line: WriteLine[str] = WriteLine()
    for writer in writers:
        line.join(writer, writer.islower())
    return line


def served(line: WriteLine[str], turns: int) -> str:
    """Who had the next ``turns``; each stands in line again after its own."""
    order = ""
    for _ in range(turns):
        writer = line.next_turn()
        assert writer is not None
        order += writer
        line.leave(writer)
        line.join(writer, writer.islower())
    return order


def test_all_turns_at_once_fit_into_the_queue() -> None:
    assert TURNS_AT_ONCE * TURN_BYTES <= MAX_SEND_QUEUE_BYTES


def test_without_a_line_nobody_has_to_wait() -> None:
    line = line_of()
    assert line.may_pass(short=False)
    assert line.may_pass(short=True)
    assert line.next_turn() is None


def test_long_data_takes_turns_in_the_order_of_the_line() -> None:
    assert served(line_of("A", "B", "C"), 7) == "ABCABCA"


def test_so_many_have_their_turn_at_once_and_no_more() -> None:
    line = line_of("A", "B", "C", "D")
    first = [line.next_turn() for _ in range(TURNS_AT_ONCE)]
    assert all(writer is not None and line.has_turn(writer) for writer in first)
    assert line.next_turn() is None
    line.leave("A")
    assert not line.has_turn("A")
    assert line.next_turn() == "ABCD"[TURNS_AT_ONCE]


def test_while_somebody_has_a_turn_long_data_does_not_pass() -> None:
    # Or whoever has just had one would be first again while the others are being woken.
    line = line_of("A")
    assert line.next_turn() == "A"
    assert not line.may_pass(short=False)
    line.leave("A")
    assert line.may_pass(short=False)


def test_a_short_message_goes_before_all_that_is_long() -> None:
    assert served(line_of("A", "B", "x"), 1) == "x"
    assert line_of("A", "B").may_pass(short=True)


def test_a_short_message_does_not_pass_those_that_wait_already() -> None:
    assert not line_of("A", "x").may_pass(short=True)


def test_short_messages_go_before_a_long_turn_for_as_many_bytes_at_most() -> None:
    assert SHORT_BEFORE_LONG * SHORT_BYTES <= TURN_BYTES
    order = served(line_of("A", "B", "x", "y", "z"), 4 * (SHORT_BEFORE_LONG + 1))
    assert Counter(order)["A"] == Counter(order)["B"] == 2
    assert order[SHORT_BEFORE_LONG] == "A"


def test_those_that_pass_count_as_well() -> None:
    line = line_of("A")
    assert [line.may_pass(short=True) for _ in range(SHORT_BEFORE_LONG)] == [
        True
    ] * SHORT_BEFORE_LONG
    assert not line.may_pass(short=True)
    line.join("x", True)
    assert served(line, 2) == "Ax"


def test_with_only_short_messages_in_line_nothing_is_counted_against_them() -> None:
    assert served(line_of("x", "y"), 3 * SHORT_BEFORE_LONG) == "xy" * (3 * SHORT_BEFORE_LONG // 2)


def test_who_leaves_the_line_gets_no_turn() -> None:
    line = line_of("A", "B", "x")
    line.leave("x")
    line.leave("A")
    line.leave("never there")
    assert line.next_turn() == "B"
