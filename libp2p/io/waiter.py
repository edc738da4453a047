"""A place for one task that waits for another: the cheapest way to wait for a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio.lowlevel import Abort, RaiseCancelT


class Waiter:
    """
    A place for at most one task to wait in.

    `wake` without a waiting task does nothing. So check the condition before `wait`, and again each
    time that `wait` returns.
    """

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        """
        Wait for `wake`.

        :raises trio.BusyResourceError: if another task waits here already.
        """
        if self._task is not None:
            raise trio.BusyResourceError("another task is waiting for this already")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def wake(self) -> None:
        """Resume the waiting task, if there is one."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _abort(self, _raise_cancel: RaiseCancelT | Callable[[], object]) -> Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
