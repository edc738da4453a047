"""What a full collection visits, and when everything is visited again."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from libp2p.utils.short_collections import LATEST_SECONDS, THOROUGH_SECONDS, short_collections

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Circle:
    def __init__(self) -> None:
        self.itself: Circle | None = self


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = gc.get_threshold(), list(gc.callbacks)
    yield
    assert (gc.get_threshold(), list(gc.callbacks)) == before
    assert gc.get_freeze_count() == 0


def an_old_circle() -> weakref.ref[Circle]:
    """Return a circle that a full collection has visited while it was used."""
    circle = Circle()
    gc.collect()
    return weakref.ref(circle)


def test_what_was_visited_is_not_visited_again() -> None:
    with short_collections(clock=Clock()):
        before = gc.get_freeze_count()
        kept = [Circle() for _ in range(1000)]
        gc.collect()
        assert gc.get_freeze_count() >= before + len(kept)
        assert len(gc.get_objects(generation=2)) == 0


def test_young_circles_are_freed_as_always() -> None:
    with short_collections(clock=Clock()):
        circle = weakref.ref(Circle())
        gc.collect()
        assert circle() is None


def test_what_is_in_no_circle_is_freed_at_once_at_any_age() -> None:
    with short_collections(clock=Clock()):
        circle = Circle()
        gc.collect()
        circle.itself = None
        seen = weakref.ref(circle)
        del circle
        assert seen() is None


@pytest.mark.parametrize(
    ("seconds", "objects", "is_freed"),
    [
        (THOROUGH_SECONDS - 1, 10**9, False),
        (THOROUGH_SECONDS, 10**9, True),
        (LATEST_SECONDS - 1, 0, False),
        (LATEST_SECONDS, 0, True),
    ],
)
def test_old_circles_are_freed_soon_where_that_is_quick_and_else_late(
    seconds: float, objects: int, is_freed: bool
) -> None:
    clock = Clock()
    with short_collections(objects, clock):
        circle = an_old_circle()
        clock.now = seconds
        gc.collect()
        gc.collect()
        assert (circle() is None) == is_freed


def test_afterwards_everything_is_visited() -> None:
    with short_collections(clock=Clock()):
        circle = an_old_circle()
    gc.collect()
    assert circle() is None
