"""One alarm for each who needs one, in the order of their times."""

from __future__ import annotations

from libp2p.bitswap.want.timers import Timers


class Sleeper:
    def __init__(self) -> None:
        self.alarm: float | None = None


def test_alarms_go_off_in_their_order_and_not_before_their_time() -> None:
    alarms: Timers[Sleeper] = Timers()
    first, second = Sleeper(), Sleeper()
    assert alarms.take(0) is None
    alarms.set(second, 2.0)
    alarms.set(first, 1.0)
    assert alarms.next == 1.0
    assert alarms.take(0.9) is None
    assert alarms.take(5) == (1.0, first)
    assert first.alarm is None
    assert alarms.take(5) == (2.0, second)
    assert alarms.next is None


def test_an_alarm_moves_forward_only() -> None:
    alarms: Timers[Sleeper] = Timers()
    sleeper = Sleeper()
    alarms.set(sleeper, 2.0)
    alarms.set(sleeper, 3.0)
    assert alarms.next == 2.0
    alarms.set(sleeper, 1.0)
    assert alarms.take(10) == (1.0, sleeper)
    assert alarms.take(10) is None


def test_an_alarm_before_all_others_is_news() -> None:
    alarms: Timers[Sleeper] = Timers()
    alarms.set(Sleeper(), 2.0)
    assert alarms.earlier
    alarms.earlier = False
    alarms.set(Sleeper(), 3.0)
    alarms.set(Sleeper(), 2.0)
    assert not alarms.earlier
    alarms.set(Sleeper(), 1.0)
    assert alarms.earlier


def test_who_is_let_sleep_is_not_woken() -> None:
    alarms: Timers[Sleeper] = Timers()
    sleeper = Sleeper()
    alarms.drop(sleeper)
    alarms.set(sleeper, 1.0)
    alarms.drop(sleeper)
    assert alarms.next is None
    assert alarms.take(10) is None


def test_dropped_alarms_take_no_room_for_long() -> None:
    alarms: Timers[Sleeper] = Timers()
    awake = Sleeper()
    alarms.set(awake, 1000.0)
    for number in range(10_000):
        sleeper = Sleeper()
        alarms.set(sleeper, 2000.0 + number)
        alarms.drop(sleeper)
    assert len(alarms._heap) < 100
    assert alarms.take(5000) == (1000.0, awake)
