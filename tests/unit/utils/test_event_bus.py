"""The event bus: at once, in order, and no subscriber's fault is another's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from libp2p.utils.event_bus import EventBus


@dataclass(frozen=True)
class Rain:
    drops: int


@dataclass(frozen=True)
class Sun:
    hours: int


def test_each_subscriber_is_told_at_once_of_its_kinds_alone() -> None:
    bus = EventBus()
    rain: list[object] = []
    both: list[object] = []
    bus.subscribe(rain.append, Rain)
    bus.subscribe(both.append, Rain, Sun, Rain)
    for event in (Rain(1), Sun(2), Rain(3), "something else"):
        bus.emit(event)
    assert rain == [Rain(1), Rain(3)]
    assert both == [Rain(1), Sun(2), Rain(3)]


def test_what_a_subscriber_emits_follows_for_all_in_the_same_order() -> None:
    bus = EventBus()
    first: list[object] = []
    second: list[object] = []

    def answer(event: Rain) -> None:
        first.append(event)
        bus.emit(Sun(event.drops))
        first.append("answered")

    bus.subscribe(answer, Rain)
    bus.subscribe(first.append, Sun)
    bus.subscribe(second.append, Rain, Sun)
    bus.emit(Rain(1))
    assert first == [Rain(1), "answered", Sun(1)]
    assert second == [Rain(1), Sun(1)]


def test_one_that_raises_is_logged_once_and_told_on(caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus()
    failing: list[object] = []
    calm: list[object] = []

    def fail(event: Rain) -> None:
        failing.append(event)
        raise ValueError("mine")

    bus.subscribe(fail, Rain)
    bus.subscribe(calm.append, Rain)
    bus.emit(Rain(1))
    bus.emit(Rain(2))
    assert failing == calm == [Rain(1), Rain(2)]
    (record,) = caplog.records
    assert (record.levelname, str(record.exc_info and record.exc_info[1])) == ("ERROR", "mine")


def test_what_ends_the_program_goes_on_and_the_bus_works_afterwards() -> None:
    bus = EventBus()
    told: list[object] = []

    def stop(event: Rain) -> None:
        raise KeyboardInterrupt

    subscription = bus.subscribe(stop, Rain)
    bus.subscribe(told.append, Rain)
    with pytest.raises(KeyboardInterrupt):
        bus.emit(Rain(1))
    subscription.cancel()
    bus.emit(Rain(2))
    assert told == [Rain(2)]


def test_after_cancel_nothing_comes_not_even_of_the_event_that_is_being_told() -> None:
    bus = EventBus()
    told: list[object] = []
    bus.subscribe(lambda _: second.cancel(), Rain)
    second = bus.subscribe(told.append, Rain, Sun)
    third = bus.subscribe(told.append, Rain)
    bus.emit(Rain(1))
    assert told == [Rain(1)]  # the third one's
    bus.emit(Sun(1))
    second.cancel()
    third.cancel()
    bus.emit(Rain(2))
    assert told == [Rain(1)]


def test_it_says_whether_an_event_is_worth_making() -> None:
    bus = EventBus()
    assert not bus.wants(Rain)
    subscription = bus.subscribe(print, Rain)
    assert bus.wants(Rain)
    assert bus.wants(Sun, Rain)
    assert not bus.wants(Sun)
    subscription.cancel()
    assert not bus.wants(Rain)
