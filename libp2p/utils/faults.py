"""
Where faults end: the edge between this library and the code of others that it runs.

A stream handler, a notifee, a transport, a peer store or a parser of another library may raise any
exception. That exception ends the stream or the dial that the code was run for, and not the host.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

_E = TypeVar("_E", bound=BaseException)


class fault_barrier:
    """
    Run a block and pass its errors to ``report``: ``with fault_barrier(report):``.

    Cancellation and exceptions that end the program (`KeyboardInterrupt`, `SystemExit`) propagate.
    A nursery raises groups; a group with errors and cancellations, which a nursery raises if it is
    cancelled while its tasks fail, is split.
    """

    __slots__ = ("_report",)

    def __init__(self, report: Callable[[Exception], object]) -> None:
        self._report = report

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Report the errors; return True if there is nothing to propagate."""
        if isinstance(error, Exception):
            self._report(error)
            return True
        if not isinstance(error, BaseExceptionGroup):
            return False
        errors, others = error.split(Exception)
        if errors is None:
            return False
        self._report(errors)
        if others is None:
            return True
        try:
            raise others from None
        finally:
            del error, others  # its traceback holds this frame: see `without_traceback`


def without_traceback(error: _E) -> _E:
    """
    Remove the tracebacks of ``error``, of its causes and contexts, and return it.

    Call it before an object stores an error. A traceback refers to the frames that it went through,
    and these to the objects whose methods they ran. An object that stores the error would be part
    of a reference cycle, which only the garbage collector frees: when many connections end at once,
    a collection blocks the event loop.
    """
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        one = errors.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.with_traceback(None)
            errors += one.__cause__, one.__context__
            if isinstance(one, BaseExceptionGroup):
                errors += one.exceptions
    return error


def consists_of(error: BaseException, kinds: type[BaseException] | tuple[type, ...]) -> bool:
    """Return whether ``error`` is one of ``kinds``, or a group of such errors only."""
    if isinstance(error, BaseExceptionGroup):
        return all(consists_of(inner, kinds) for inner in error.exceptions)
    return isinstance(error, kinds)
