"""
What became of the questions to one router: counts, times, the last error (sans-I/O).

Times are seconds of any one clock; a call is begun, may answer, may fail, and ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Characters kept of a router's error: it may quote all that a server sent.
MAX_ERROR_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class RouterReport:
    """The questions to one router since the start, as `ParallelRouter.reports` returns them."""

    name: str
    calls: int = 0
    active: int = 0
    """Calls that are under way."""
    results: int = 0
    """Peers, values and announcements, duplicates included."""
    errors: int = 0
    timeouts: int = 0
    """Calls that were cut off by the router's deadline; those without a result are errors, too."""
    last_error: str = ""
    seconds: float = 0.0
    """Spent in all calls that have ended."""
    first_result_seconds: float = 0.0
    """The same until the first result of each call that had one."""
    answered: int = 0
    """Calls with a result."""

    @property
    def mean_seconds(self) -> float | None:
        """How long a call takes until its first result, on average; None if none had one."""
        return self.first_result_seconds / self.answered if self.answered else None


class RouterRecord:
    """Counts the calls to one router."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._calls = 0
        self._ended = 0
        self._results = 0
        self._errors = 0
        self._timeouts = 0
        self._last_error = ""
        self._seconds = 0.0
        self._first_seconds = 0.0
        self._answered = 0

    def begin(self, now: float) -> RouterCall:
        """Note that the router is being asked."""
        self._calls += 1
        return RouterCall(self, now)

    def add_result(self, seconds: float | None) -> None:
        """Note a result; ``seconds`` since the call's begin if it is the call's first one."""
        self._results += 1
        if seconds is not None:
            self._answered += 1
            self._first_seconds += seconds

    def add_error(self, error: BaseException) -> None:
        """Note that a call has failed."""
        self._errors += 1
        self._last_error = f"{error}"[:MAX_ERROR_CHARACTERS] or type(error).__name__

    def add_timeout(self) -> None:
        """Note that a call was cut off."""
        self._timeouts += 1

    def add_end(self, seconds: float) -> None:
        """Note that a call is over."""
        self._ended += 1
        self._seconds += seconds

    def report(self) -> RouterReport:
        """Return the numbers of now."""
        return RouterReport(
            self.name,
            self._calls,
            self._calls - self._ended,
            self._results,
            self._errors,
            self._timeouts,
            self._last_error,
            self._seconds,
            self._first_seconds,
            self._answered,
        )


class RouterCall:
    """One question to one router."""

    def __init__(self, record: RouterRecord, now: float) -> None:
        self._record = record
        self._begun = now
        self.has_result = False

    def result(self, now: float) -> None:
        """Note a result."""
        self._record.add_result(None if self.has_result else now - self._begun)
        self.has_result = True

    def failed(self, error: BaseException) -> None:
        """Note an error."""
        self._record.add_error(error)

    def cut_off(self) -> None:
        """Note that the router's time is over."""
        self._record.add_timeout()

    def end(self, now: float) -> None:
        """Note that the call is over."""
        self._record.add_end(now - self._begun)
