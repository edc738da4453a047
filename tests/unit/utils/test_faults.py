"""Errors end at the edge; cancellation and interrupts do not."""

from __future__ import annotations

import pytest

from libp2p.utils.faults import consists_of, fault_barrier, without_traceback


def test_an_error_ends_here_and_is_told() -> None:
    told: list[Exception] = []
    error, group = ValueError("mine"), ExceptionGroup("several", [KeyError(1), OSError(2)])
    for each in (error, group):
        with fault_barrier(told.append):
            raise each
    with fault_barrier(told.append):
        pass
    assert told == [error, group]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_goes_on(kind: type[BaseException]) -> None:
    told: list[Exception] = []
    with pytest.raises(kind), fault_barrier(told.append):
        raise kind
    with pytest.raises(BaseExceptionGroup) as caught, fault_barrier(told.append):
        raise BaseExceptionGroup("only", [kind()])
    assert consists_of(caught.value, kind)
    assert not told


def test_a_group_of_both_is_taken_apart() -> None:
    told: list[Exception] = []
    error = ValueError("mine")
    with pytest.raises(BaseExceptionGroup) as caught, fault_barrier(told.append):
        raise BaseExceptionGroup("both", [error, BaseExceptionGroup("", [KeyboardInterrupt()])])
    assert consists_of(caught.value, KeyboardInterrupt)
    assert consists_of(told[0], ValueError)
    assert not consists_of(told[0], (KeyError, OSError))


def test_what_is_kept_of_an_error_holds_no_frames() -> None:
    def fail() -> None:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ExceptionGroup("both", [ValueError("second")]) from first

    with pytest.raises(ExceptionGroup) as caught:
        fail()
    kept = without_traceback(caught.value)
    assert kept is caught.value
    first = kept.__cause__
    assert isinstance(first, KeyError)
    first.__cause__ = kept  # a circle of errors ends as well
    without_traceback(kept)
    assert [each.__traceback__ for each in (kept, first, *kept.exceptions)] == [None] * 3


def test_cancellation_goes_on_as_it_is() -> None:
    told: list[Exception] = []
    group = BaseExceptionGroup("", [KeyboardInterrupt()])
    with pytest.raises(BaseExceptionGroup) as caught, fault_barrier(told.append):
        raise group
    assert caught.value is group
