"""
Draws what the windows of yamux do on a long link, from the simulator of the tests.

Writes ``auto_tuning.svg`` and ``auto_tuning.txt`` beside itself, without any plotting library:
``python -m docs.plots.auto_tuning``. A test compares them with what the simulator gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Final

from libp2p.stream_muxer.yamux.flow_control import (
    DEFAULT_WINDOW_SIZE,
    MAX_WINDOW_SIZE,
    ReceiveWindow,
)
from tests.support.virtual_link import GIGABIT, LeakingReceiveWindow, LinkSettings, VirtualLink

FOLDER: Final = Path(__file__).parent
ROUND_TRIPS: Final = (1, 10, 50, 100, 200)
"""In milliseconds."""
PLOTTED: Final = LinkSettings(0.050, 5 * GIGABIT)
PLOTTED_SECONDS: Final = 1.5
STEADY_FROM: Final = 0.6
MIB: Final = 1 << 20

Point = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One of the two diagrams, with its place and its axis."""

    title: str
    top: int
    highest: float
    ticks: Sequence[tuple[float, str]]
    height_of: Callable[[float], float] = lambda value: value

    LEFT, WIDTH, HEIGHT = 70, 600, 150

    def place(self, point: Point) -> str:
        """Where a point is drawn."""
        time, value = point
        x = self.LEFT + self.WIDTH * time / PLOTTED_SECONDS
        y = self.top + self.HEIGHT * (1 - self.height_of(value) / self.highest)
        return f"{x:.1f},{y:.1f}"

    def frame(self) -> Iterable[str]:
        """The axis with its lines."""
        yield f'<text x="{self.LEFT}" y="{self.top - 8}" class="title">{self.title}</text>'
        for value, label in self.ticks:
            start, end = self.place((0, value)), self.place((PLOTTED_SECONDS, value))
            (x1, y1), (x2, y2) = start.split(","), end.split(",")
            yield f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="grid"/>'
            yield f'<text x="{self.LEFT - 6}" y="{float(y1) + 4:.1f}" class="tick">{label}</text>'

    def line(self, points: Iterable[Point], kind: str) -> str:
        """A curve."""
        places = " ".join(map(self.place, points))
        return f'<polyline points="{places}" class="{kind}"/>'


WINDOW: Final = Panel(
    "receive window",
    top=30,
    highest=log2(MAX_WINDOW_SIZE / DEFAULT_WINDOW_SIZE),
    ticks=[(1 << 18, "256 KiB"), (1 << 20, "1 MiB"), (1 << 22, "4 MiB"), (1 << 24, "16 MiB")],
    height_of=lambda size: log2(size / DEFAULT_WINDOW_SIZE),
)
RATE: Final = Panel(
    "rate over the last round trip, MB/s",
    top=230,
    highest=400,
    ticks=[(rate, str(rate)) for rate in (0, 100, 200, 300, 400)],
)
STYLE: Final = (
    "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}.tick{text-anchor:end}"
    ".grid{stroke:#ddd}polyline{fill:none;stroke-width:2}.ours{stroke:#1f77b4}"
    ".leaking{stroke:#d62728}.bound{stroke:#888;stroke-dasharray:5 4;stroke-width:1}"
)


def windows(link: VirtualLink) -> list[Point]:
    """The window over time, in steps."""
    points: list[Point] = [(0.0, DEFAULT_WINDOW_SIZE)]
    for mark in link.reader.history:
        if mark.window != points[-1][1]:
            points += [(mark.time, points[-1][1]), (mark.time, mark.window)]
    return [*points, (PLOTTED_SECONDS, points[-1][1])]


def rates(link: VirtualLink) -> list[Point]:
    """MB/s over time, each taken over a round trip."""
    trip = PLOTTED.round_trip
    count = int(PLOTTED_SECONDS / trip)
    return [(n * trip, link.rate((n - 1) * trip, n * trip) / 1e6) for n in range(1, count + 1)]


def svg() -> str:
    """Both diagrams."""
    drawn = [*WINDOW.frame(), *RATE.frame()]
    bound = MAX_WINDOW_SIZE / PLOTTED.round_trip / 1e6
    drawn.append(RATE.line([(0, bound), (PLOTTED_SECONDS, bound)], "bound"))
    for kind, window_type in (("leaking", LeakingReceiveWindow), ("ours", ReceiveWindow)):
        settings = LinkSettings(PLOTTED.round_trip, PLOTTED.bandwidth, window_type=window_type)
        link = VirtualLink(settings).run_all(PLOTTED_SECONDS)
        drawn += [WINDOW.line(windows(link), kind), RATE.line(rates(link), kind)]
    for tenth in range(0, 16, 5):
        x = Panel.LEFT + Panel.WIDTH * tenth / 10 / PLOTTED_SECONDS
        drawn.append(f'<text x="{x:.1f}" y="400" text-anchor="middle">{tenth / 10} s</text>')
    body = "\n".join(drawn)
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 410" role="img">'
    return f"{head}\n<style>{STYLE}</style>\n{body}\n</svg>\n"


def row(ms: int, bandwidth: float) -> str:
    """A link's line in the table."""
    ours, leaking = (
        VirtualLink(LinkSettings(ms / 1000, bandwidth, window_type=window_type)).run_all(
            max(40 * ms / 1000, 0.5)
        )
        for window_type in (ReceiveWindow, LeakingReceiveWindow)
    )
    highest = min(bandwidth, MAX_WINDOW_SIZE / (ms / 1000))
    tuned = next(mark.time for mark in ours.reader.history if mark.window == ours.window)
    cells = [f"{bandwidth * 8 / 1e9:g} Gbit/s", f"{ms} ms", f"{ours.window / MIB:g} MiB"]
    cells += [f"{tuned:.2f} s", *(_steady(link, highest) for link in (ours, leaking))]
    return "   * - " + "\n     - ".join(cells)


def _steady(link: VirtualLink, highest: float) -> str:
    end = link.clock.now
    rate = link.rate(STEADY_FROM * end, end)
    return f"{rate / 1e6:.0f} MB/s ({100 * rate / highest:.0f} %)"


def table() -> str:
    """The numbers, as a table for Sphinx."""
    titles = ["link", "round trip", "window", "reached after", "steady", "with the leak"]
    head = ".. list-table::\n   :header-rows: 1\n\n   * - " + "\n     - ".join(titles)
    links = [(ms, bandwidth) for bandwidth in (GIGABIT, 5 * GIGABIT) for ms in ROUND_TRIPS]
    return "\n".join([head, *(row(ms, bandwidth) for ms, bandwidth in links)]) + "\n"


FILES: Final = {"auto_tuning.svg": svg, "auto_tuning.txt": table}


def main() -> None:
    """Write both files anew."""
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
