"""The window of a reader follows its speed, within what all readers may hold."""

from __future__ import annotations

import pytest

from libp2p.ipfs_lite.read_ahead import (
    FIRST_WINDOW_BYTES,
    MIN_WINDOW_BYTES,
    VAIN_SHARE,
    WINDOW_BYTES,
    ReadAhead,
)
from libp2p.resources import Scope

MIB = 1024 * 1024


def read_steadily(ahead: ReadAhead, speed: float, seconds: float, step: float = 0.01) -> None:
    for index in range(1, int(seconds / step) + 1):
        ahead.consumed(int(speed * step), index * step)


@pytest.mark.parametrize(
    ("speed", "least", "most"),
    [
        (100_000, MIN_WINDOW_BYTES, MIN_WINDOW_BYTES),
        (1_000_000, 1_900_000, 2_100_000),
        (100_000_000, WINDOW_BYTES, WINDOW_BYTES),
    ],
)
def test_the_window_is_two_seconds_of_reading(speed: float, least: int, most: int) -> None:
    ahead = ReadAhead(Scope("reader"), 0.0)
    assert ahead.window == FIRST_WINDOW_BYTES
    read_steadily(ahead, speed, 5)
    assert least <= ahead.window <= most


def test_a_burst_at_the_start_is_no_speed() -> None:
    ahead = ReadAhead(Scope("reader"), 0.0)
    for second in (0.001, 10, 20, 30):
        ahead.consumed(MIB, second)
        assert ahead.window <= 2 * MIB
    assert ahead.window < MIB


def test_a_fast_reader_has_its_whole_window_after_some_round_trips() -> None:
    ahead = ReadAhead(Scope("reader"), 0.0)
    now = 0.0
    trips = 0
    while ahead.window < WINDOW_BYTES:
        trips += 1
        now += 0.1
        ahead.consumed(max(ahead.window, MIB), now)
    assert trips <= 4


def test_who_slows_down_needs_less() -> None:
    ahead = ReadAhead(Scope("reader"), 0.0)
    ahead.consumed(100 * MIB, 1.0)
    assert ahead.window == WINDOW_BYTES
    for second in range(2, 6):
        ahead.consumed(100_000, float(second))
    assert ahead.window == MIN_WINDOW_BYTES


def test_a_small_window_is_never_exceeded() -> None:
    ahead = ReadAhead(Scope("reader"), 0.0, 1000)
    assert ahead.room(0) == 0  # nobody has read yet
    ahead.consumed(100 * MIB, 1.0)
    ahead.reads(1)
    assert ahead.window == ahead.room(0) == 1000
    assert ahead.room(400) == 600


def test_what_is_held_is_counted() -> None:
    scope = Scope("readers").open("reader")
    ahead = ReadAhead(scope, 0.0)
    ahead.arrived(1000)
    ahead.arrived(10)
    assert ahead.block == 1000
    ahead.hold(0, 5000)
    assert scope.held == 5000
    ahead.hold(3, 0)
    assert scope.held == 1000  # the rest of a block keeps all of it
    ahead.hold(2500, 2000)
    assert scope.held == 4500


def test_readers_share_what_the_host_has_room_for() -> None:
    host = Scope("readers", 60_000)
    ahead = ReadAhead(host.open("reader"), 0.0)
    ahead.arrived(1000)
    ahead.reads(1)
    assert ahead.room(0) == 9001  # a sixth; the last block begins there at the latest
    assert ahead.room(1) == 8001
    other = host.open("reader")
    other.hold(60_000)
    assert ahead.room(1) < 0
    assert ahead.room(0) == 1  # the block that it waits for
    other.close()
    assert ahead.room(0) == 9001


def test_the_first_read_after_a_seek_is_given_what_it_asks_for() -> None:
    ahead = ReadAhead(Scope("reader"), 0.0)
    ahead.sought(0)
    assert ahead.room(0) == 0
    ahead.reads(5000)
    assert ahead.room(0) == ahead.room(100) == 5000
    ahead.took(3000)
    assert ahead.room(0) == 2000
    ahead.took(3000)
    assert ahead.room(0) == 0
    ahead.reads(1)  # it reads on
    assert ahead.room(0) == FIRST_WINDOW_BYTES
    ahead.reads(100 * MIB)
    assert ahead.room(0) == WINDOW_BYTES


def test_what_is_fetched_in_vain_is_an_eighth_of_what_is_read() -> None:
    ahead = ReadAhead(Scope("reader"), 0.0)
    vain = 0
    for _ in range(100):
        for _ in range(3):
            ahead.reads(MIB)
            ahead.took(MIB)
            ahead.consumed(MIB, 0.5)
        vain += ahead.room(0)
        ahead.sought(ahead.room(0))
    assert vain <= WINDOW_BYTES + FIRST_WINDOW_BYTES + 300 * MIB // VAIN_SHARE
