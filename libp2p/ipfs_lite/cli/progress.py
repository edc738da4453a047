"""A progress bar on the standard error, if that is a terminal."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """One bar; without a terminal, or without rich, it shows nothing."""

    def __init__(self, verb: str, name: str, total: int | None = None) -> None:
        self._label = f"{verb} {name}"
        self._total = total
        self._stack = ExitStack()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.markup import escape
                from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
            except ModuleNotFoundError:
                return self
            columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
            self._progress = self._stack.enter_context(
                Progress(*columns, console=Console(stderr=True), transient=True)
            )
            self._task = self._progress.add_task(escape(self._label), total=self._total)
        return self

    def update(self, done: int, total: int | None) -> None:
        """Show the progress."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._stack.close()
