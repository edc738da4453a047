"""What a row of the bench is, and how a set of samples becomes lines of the table."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One measurement of one contestant."""

    value: float
    cpu_seconds: tuple[float, ...]
    """Processor time of each side: client and server, or fetcher and provider."""
    peak_bytes: int = 0


@dataclass(frozen=True)
class Budget:
    """The ratio of `who` to `against` that is aimed at, on medians of the rounds."""

    who: str
    against: str
    ratio: float
    at_least: bool = True

    def line(self, rounds: dict[str, list[Sample]]) -> str:
        """How the ratio turned out, beside the budget."""
        pairs = zip(rounds[self.who], rounds[self.against], strict=True)
        ratios = [ours.value / theirs.value for ours, theirs in pairs]
        median = statistics.median(ratios)
        met = median >= self.ratio if self.at_least else median <= self.ratio
        sign = ">=" if self.at_least else "<="
        return (
            f"    {self.who} / {self.against}: {median:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            f"   budget {sign} {self.ratio:g}: {'met' if met else 'MISSED'}"
        )


class Row(ABC):
    """One line of the comparison: what is measured, in which unit, by whom."""

    name: str
    title: str
    unit: str
    contestants: Sequence[str]
    budgets: Sequence[Budget] = ()
    peak_budget_mib: float | None = None
    """The most memory that the first contestant may take."""
    cpu_budget_seconds: float | None = None
    """The most processor time that the first contestant's own side may take."""

    @abstractmethod
    def prepare(self, stack: ExitStack) -> None:
        """Start and make what all the rounds share; `stack` takes it down."""

    @abstractmethod
    def measure(self, contestant: str) -> Sample:
        """Let one contestant do the work once."""


def lines_of(row: Row, rounds: dict[str, list[Sample]]) -> Iterator[str]:
    """The table of one row, medians with ranges, and its ratios."""
    yield f"{row.name}: {row.title}"
    for contestant, samples in rounds.items():
        values = [sample.value for sample in samples]
        cpu = zip(*(sample.cpu_seconds for sample in samples), strict=True)
        cpu_text = " + ".join(f"{statistics.median(side):.2f}" for side in cpu)
        spread = f"({_short(min(values))}-{_short(max(values))})"
        median = _short(statistics.median(values))
        line = f"    {contestant:<24}{median:>8} {row.unit:<6}{spread:<20}"
        line += f"CPU {cpu_text} s"
        peak = _peak_mib(samples)
        yield line + (f"   peak {peak:,.0f} MiB" if peak else "")
    present = [b for b in row.budgets if b.who in rounds and b.against in rounds]
    yield from (budget.line(rounds) for budget in present)
    if row.peak_budget_mib is not None and row.contestants[0] in rounds:
        peak = _peak_mib(rounds[row.contestants[0]])
        met = "met" if peak <= row.peak_budget_mib else "MISSED"
        yield f"    peak memory: {peak:.0f} MiB   budget <= {row.peak_budget_mib:g}: {met}"
    if row.cpu_budget_seconds is not None and row.contestants[0] in rounds:
        used = statistics.median(sample.cpu_seconds[0] for sample in rounds[row.contestants[0]])
        met = "met" if used <= row.cpu_budget_seconds else "MISSED"
        yield f"    processor time: {used:.2f} s   budget <= {row.cpu_budget_seconds:g}: {met}"


def _short(value: float) -> str:
    """Three digits or more, none behind the point of a large figure."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _peak_mib(samples: Sequence[Sample]) -> float:
    """The most memory that any of the rounds took."""
    return max(sample.peak_bytes for sample in samples) / 2**20
