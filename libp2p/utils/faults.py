"""
Where faults end: the edge between this library and the code that it runs on behalf of others.

A stream handler, a notifee, a transport, a peer store or a parser that is not ours may raise
anything. What it raises must cost what it was run for, a stream or a dial, and not the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


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
        if errors is not None:
            self._report(errors)
        if others is not None:
            raise others from None
        return True


def consists_of(error: BaseException, kinds: type[BaseException] | tuple[type, ...]) -> bool:
    """Tell whether ``error`` is one of ``kinds``, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(consists_of(inner, kinds) for inner in error.exceptions)
    return isinstance(error, kinds)
