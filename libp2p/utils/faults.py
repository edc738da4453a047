"""
Where faults end: the edge between this library and the code that it runs on behalf of others.

A stream handler, a notifee, a transport, a peer store or a parser that is not ours may raise
anything. What it raises must cost what it was run for, a stream or a dial, and not the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_E = TypeVar("_E", bound=BaseException)


class fault_barrier:
    """
    Run a block whose errors end here: ``with fault_barrier(report):``; ``report`` is given them.

    Cancellation and what ends the program (`KeyboardInterrupt`, `SystemExit`) go on. Code with a
    nursery raises groups, and one that is cancelled while its tasks fail raises both kinds in one:
    they are taken apart.
    """

    __slots__ = ("_report",)

    def __init__(self, report: Callable[[Exception], object]) -> None:
        self._report = report

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Report what ends here; True if that is all."""
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
    Return ``error`` without tracebacks, its own and those of what it came from: for who keeps it.

    A traceback holds the frames that it went through, and these the objects whose code they ran.
    An object that keeps the error would be in a circle, and only the garbage collector could free
    it: many connections that end at once then hold the loop for as long as that takes.
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
    """Tell whether ``error`` is one of ``kinds``, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(consists_of(inner, kinds) for inner in error.exceptions)
    return isinstance(error, kinds)
