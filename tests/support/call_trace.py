"""Counting what a piece of work costs in calls into the package and in steps of the scheduler."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import trio

import libp2p

PACKAGE = str(Path(libp2p.__file__).parent)


class CallTrace(trio.abc.Instrument):
    """
    Counts calls into the package, by function, and how often a task is resumed, by task.

    A coroutine counts once for each time that it is resumed. Other threads are not traced.
    """

    def __init__(self) -> None:
        self.by_code: Counter[CodeType] = Counter()
        self.steps: Counter[str] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps[task.name] += 1

    @property
    def calls(self) -> int:
        """All calls into the package."""
        return sum(self.by_code.values())

    def hops_of(self, times: int) -> int:
        """Count the functions that were called at least ``times`` times."""
        return sum(count >= times for count in self.by_code.values())

    def table(self, times: int) -> str:
        """List functions by calls divided by ``times``, for a message of a test that fails."""
        lines = [
            f"{count / times:8.2f} {code.co_filename.removeprefix(PACKAGE)}:{code.co_qualname}"
            for code, count in self.by_code.most_common()
        ]
        return "\n".join([*lines, *(f"{n / times:8.2f} {name}" for name, n in self.steps.items())])


@contextmanager
def tracing_calls() -> Iterator[CallTrace]:
    """Trace this thread, and the scheduler, for the length of the block."""
    trace = CallTrace()
    by_code = trace.by_code

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and (code := frame.f_code).co_filename.startswith(PACKAGE):
            by_code[code] += 1

    gc.collect()
    trio.lowlevel.add_instrument(trace)
    sys.setprofile(note)
    try:
        yield trace
    finally:
        sys.setprofile(None)
        trio.lowlevel.remove_instrument(trace)
