"""
Draws how the two halves of a yamux stream end, from what the code does.

Every sequence of events is tried on a real session, as far as it leads to something new; what
then changes is an arrow. Writes ``stream_states.svg`` beside itself:
``python -m docs.plots.stream_states``. A test compares it with what the code does now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from libp2p.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.session import YamuxSession
from libp2p.stream_muxer.yamux.stream_state import Half, StreamState
from tests.support.ends import FIN, RST, WINDOW_UPDATE, data_frame, deliver, frame, inbound

FOLDER: Final = Path(__file__).parent

Event: TypeAlias = Callable[[YamuxSession, StreamState], object]
Arrows: TypeAlias = dict[tuple[Half, Half], list[str]]

EVENTS: Final[Mapping[str, Event]] = {
    "FIN received": lambda session, _: deliver(session, frame(WINDOW_UPDATE, FIN, 1)),
    "close_read()": lambda session, stream: session.close_read(stream),
    "close_write()": lambda session, stream: session.close_write(stream),
    "RST received": lambda session, _: deliver(session, frame(WINDOW_UPDATE, RST, 1)),
    "reset()": lambda session, stream: session.reset(stream),
    "a full window after close_read()": lambda session, stream: deliver(
        session, data_frame(1, bytes(stream.receive_window.credit))
    ),
    "connection lost": lambda session, _: session.close(ConnectionClosedError("lost")),
}


def play(names: Iterable[str]) -> tuple[YamuxSession, StreamState]:
    """A stream to which these things have happened."""
    session = YamuxSession(is_initiator=False)
    stream = inbound(session)
    for name in names:
        EVENTS[name](session, stream)
    return session, stream


def arrows() -> tuple[Arrows, Arrows]:
    """What leads from where to where, for the reading and for the writing half."""
    reading: Arrows = {}
    writing: Arrows = {}
    seen: set[tuple[Half, Half, bool]] = set()
    unexplored: list[tuple[str, ...]] = [()]
    while unexplored:
        past = unexplored.pop(0)
        session, before = play(past)
        state = before.reading, before.writing, 1 in session.streams
        if state in seen:
            continue
        seen.add(state)
        for name in EVENTS:
            _, after = play((*past, name))
            unexplored.append((*past, name))
            _note(reading, before.reading, after.reading, name)
            _note(writing, before.writing, after.writing, name)
    return reading, writing


def _note(arrows: Arrows, before: Half, after: Half, name: str) -> None:
    if before is not after:
        names = arrows.setdefault((before, after), [])
        if name not in names:
            names.append(name)


# -- drawing --------------------------------------------------------------------------------------

WIDTH, HEIGHT = 700, 470
NODE_WIDTH, NODE_HEIGHT = 90, 34
LINE: Final = 15
READING: Final = {
    Half.OPEN: (60, 60),
    Half.CLOSED: (640, 60),
    Half.EOF: (350, 120),
    Half.RESET: (350, 240),
}
WRITING: Final = {Half.OPEN: (60, 330), Half.CLOSED: (640, 330), Half.RESET: (350, 440)}
#: Where on its arrow a label stands, from 0 to 1, and how far beside it.
LABELS: Final = {
    (Half.OPEN, Half.EOF): (0.55, 10, -8),
    (Half.OPEN, Half.CLOSED): (0.5, 0, -6),
    (Half.EOF, Half.CLOSED): (0.45, -10, -8),
    (Half.EOF, Half.RESET): (0.5, 30, 4),
    (Half.OPEN, Half.RESET): (0.5, -100, 22),
}
STYLE: Final = (
    "text{font:12px sans-serif;fill:#444;text-anchor:middle;paint-order:stroke;stroke:#fff;"
    "stroke-width:4px}.title{font-weight:bold;text-anchor:start}.state{font-weight:bold;"
    "stroke:none}rect{fill:#eef4fa;stroke:#1f77b4;stroke-width:1.5}line{stroke:#888;"
    "stroke-width:1.5;marker-end:url(#head)}#head path{fill:#888}"
)
HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
)

Place: TypeAlias = tuple[float, float]


def border(towards: Place, centre: Place) -> Place:
    """Where the line from the middle of a node to another place leaves the node."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    part = min(
        NODE_WIDTH / 2 / abs(dx) if dx else 1.0,
        NODE_HEIGHT / 2 / abs(dy) if dy else 1.0,
    )
    return centre[0] + part * dx, centre[1] + part * dy


def draw(title: str, places: Mapping[Half, Place], arrows: Arrows) -> Iterable[str]:
    """One half's states and arrows."""
    top = min(y for _, y in places.values())
    yield f'<text x="15" y="{top - 30}" class="title">{title}</text>'
    for before, after in arrows:
        (x1, y1), (x2, y2) = (
            border(places[after], places[before]),
            border(places[before], places[after]),
        )
        yield f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    for (before, after), names in arrows.items():
        along, dx, dy = LABELS[before, after]
        (x1, y1), (x2, y2) = places[before], places[after]
        x, y = x1 + along * (x2 - x1) + dx, y1 + along * (y2 - y1) + dy
        y -= LINE * (len(names) - 1) / 2 if dx else 0
        for line, name in enumerate(names):
            yield f'<text x="{x:.1f}" y="{y + line * LINE:.1f}">{name}</text>'
    for state, (x, y) in places.items():
        yield (
            f'<rect x="{x - NODE_WIDTH / 2}" y="{y - NODE_HEIGHT / 2}" width="{NODE_WIDTH}" '
            f'height="{NODE_HEIGHT}" rx="6"/>'
        )
        yield f'<text x="{x}" y="{y + 4}" class="state">{state.name}</text>'


def svg() -> str:
    """Both halves."""
    reading, writing = arrows()
    body = "\n".join(
        [*draw("reading", READING, reading), *draw("writing", WRITING, writing)],
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return f"{head}\n<style>{STYLE}</style>\n{HEAD}\n{body}\n</svg>\n"


FILES: Final = {"stream_states.svg": svg}

if __name__ == "__main__":
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
    for half in arrows():
        for (before, after), names in half.items():
            print(f"{before.name:6} -> {after.name:6}  {', '.join(names)}")
