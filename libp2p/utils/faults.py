"""
Where faults end: the edge between this library and the code that it runs on behalf of others.

A stream handler, a notifee, a transport, a peer store or a parser that is not ours may raise
anything. What it raises must cost what it was run for, a stream or a dial, and not the host.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def fault_barrier(report: Callable[[Exception], object]) -> Iterator[None]:
    """
    Run a block whose errors end here; ``report`` is given them.

    Cancellation and what ends the program (`KeyboardInterrupt`, `SystemExit`) go on. Code with a
    nursery raises groups, and one that is cancelled while its tasks fail raises both kinds in one:
    they are taken apart.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - task's edge: this is what the edges are made of
        report(error)
    except BaseExceptionGroup as group:
        errors, others = group.split(Exception)
        if errors is not None:
            report(errors)
        if others is not None:
            raise others from None


def consists_of(error: BaseException, kinds: type[BaseException] | tuple[type, ...]) -> bool:
    """Tell whether ``error`` is one of ``kinds``, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(consists_of(inner, kinds) for inner in error.exceptions)
    return isinstance(error, kinds)
