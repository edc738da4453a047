"""Errors end at the edge; cancellation and interrupts do not."""

from __future__ import annotations

import pytest

from libp2p.utils.faults import consists_of, fault_barrier


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
