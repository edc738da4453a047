"""Timers: one for each owner, in the order of their times."""

from __future__ import annotations

from math import inf

from libp2p.bitswap.common.timers import Timers


class Owner:
    pass


def test_timers_go_off_in_their_order_and_not_before_their_time() -> None:
    timers: Timers[Owner] = Timers()
    first, second = Owner(), Owner()
    assert timers.take(0) is None
    timers.set(second, 2.0)
    timers.set(first, 1.0)
    assert timers.next == 1.0
    assert timers.take(0.9) is None
    assert timers.take(5) == (1.0, first)
    assert first not in timers
    assert timers.take(5) == (2.0, second)
    assert timers.next is None


def test_a_timer_moves_forward_only() -> None:
    timers: Timers[Owner] = Timers()
    owner = Owner()
    timers.set(owner, 2.0)
    timers.set(owner, 3.0)
    assert timers.next == 2.0
    timers.set(owner, 1.0)
    assert timers.take(10) == (1.0, owner)
    assert timers.take(10) is None


def test_no_timer_goes_off_before_the_earliest() -> None:
    timers: Timers[Owner] = Timers()
    assert timers.earliest == inf
    first, second = Owner(), Owner()
    timers.set(second, 2.0)
    assert timers.earliest == 2.0
    timers.set(Owner(), 3.0)
    assert timers.earliest == 2.0
    timers.set(first, 1.0)
    assert timers.earliest == 1.0
    timers.drop(first)
    assert timers.earliest <= 2.0
    assert timers.next == timers.earliest == timers.time_of(second) == 2.0
    assert [timers.take(5) is None for _ in range(3)] == [False, False, True]
    assert timers.earliest == inf
    assert timers.time_of(second) is None


def test_a_dropped_timer_does_not_go_off() -> None:
    timers: Timers[Owner] = Timers()
    owner = Owner()
    timers.drop(owner)
    timers.set(owner, 1.0)
    timers.drop(owner)
    assert timers.next is None
    assert timers.take(10) is None


def test_dropped_timers_take_no_room_for_long() -> None:
    timers: Timers[Owner] = Timers()
    awake = Owner()
    timers.set(awake, 1000.0)
    for number in range(10_000):
        owner = Owner()
        timers.set(owner, 2000.0 + number)
        timers.drop(owner)
    assert len(timers._heap._heap) < 100
    assert len(timers._heap) == 1
    assert timers.take(5000) == (1000.0, awake)
