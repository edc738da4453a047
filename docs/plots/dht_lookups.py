"""
Draws what a lookup costs and finds in networks of up to 100,000 peers, from the simulator.

``python -m docs.plots.dht_lookups`` simulates them (minutes) and writes ``dht_lookups.json`` with
the figures, ``dht_lookups.svg`` and ``dht_lookups.txt`` beside itself. Tests compare the picture
and the table with the figures, and the figures of the small networks with the simulator's.
"""

from __future__ import annotations

import json
from math import log10
from pathlib import Path
from typing import Final

from tests.support.dht_simulator import Figures, Shape, SimulatedNetwork, requests_in_theory

FOLDER: Final = Path(__file__).parent
DATA: Final = FOLDER / "dht_lookups.json"
SIZES: Final = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
SMALL: Final = 300
"""Networks up to this size are simulated again by the tests."""
LOOKUPS: Final = 60
SHARES: Final = {"healthy": (0.0, 0.0), "harmed": (0.2, 0.05)}
"""Of peers that are dead, and of those that lie."""

Row = dict[str, float]

LEFT, TOP, WIDTH, HEIGHT = 60, 40, 600, 220
MOST_REQUESTS: Final = 70
STYLE: Final = (
    "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}.tick{text-anchor:end}"
    ".grid{stroke:#ddd}polyline{fill:none;stroke-width:2}.healthy{stroke:#1f77b4;fill:#1f77b4}"
    ".harmed{stroke:#d62728;fill:#d62728}polyline.healthy,polyline.harmed{fill:none}"
    ".theory{stroke:#888;stroke-dasharray:5 4;stroke-width:1}text.healthy,text.harmed{stroke:none}"
)


def simulate(kind: str, peers: int) -> Row:
    """The figures of one network."""
    dead, lying = SHARES[kind]
    network = SimulatedNetwork(Shape(peers, dead, lying), seed=13)
    figures = Figures.of(network.lookups(LOOKUPS))
    return {
        "recall": round(figures.recall, 4),
        "requests": round(figures.requests, 1),
        "most_requests": figures.most_requests,
        "failed": round(figures.failed, 1),
        "hops": round(figures.hops, 2),
        "seconds": round(figures.seconds, 2),
    }


def data() -> dict[str, dict[str, Row]]:
    """The figures that were written: by kind of network and number of peers."""
    read: dict[str, dict[str, Row]] = json.loads(DATA.read_text(encoding="utf-8"))
    return read


def place(peers: float, requests: float) -> str:
    """Where a point is drawn: peers on a logarithmic axis."""
    x = LEFT + WIDTH * (log10(peers) - 2) / 3
    y = TOP + HEIGHT * (1 - requests / MOST_REQUESTS)
    return f"{x:.1f},{y:.1f}"


def svg() -> str:
    """Requests of a lookup over the number of peers: a straight line is logarithmic growth."""
    drawn = [f'<text x="{LEFT}" y="20" class="title">requests of a lookup</text>']
    for requests in range(0, MOST_REQUESTS + 1, 10):
        (x1, y), (x2, _) = (place(end, requests).split(",") for end in (100, 100_000))
        drawn.append(f'<line x1="{x1}" y1="{y}" x2="{x2}" y2="{y}" class="grid"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" class="tick">{requests}</text>')
    for peers in (100, 1000, 10_000, 100_000):
        x = place(peers, 0).split(",")[0]
        label = f"{peers:,} peers"
        drawn.append(f'<text x="{x}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{label}</text>')
    theory = " ".join(place(peers, requests_in_theory(peers)) for peers in (100, 100_000))
    drawn.append(f'<polyline points="{theory}" class="theory"/>')
    for kind, rows in data().items():
        points = [place(int(peers), row["requests"]) for peers, row in rows.items()]
        drawn.append(f'<polyline points="{" ".join(points)}" class="{kind}"/>')
        for point in points:
            x, y = point.split(",")
            drawn.append(f'<circle cx="{x}" cy="{y}" r="3" class="{kind}"/>')
    body = "\n".join(drawn)
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" role="img">'
    return f"{head}\n<style>{STYLE}</style>\n{body}\n</svg>\n"


def table() -> str:
    """The numbers, as a table for Sphinx."""
    titles = ["peers", "in theory", "requests", "found", "hops", "time"]
    titles += ["requests, harmed", "at most", "found, harmed", "time, harmed"]
    lines = [".. list-table::\n   :header-rows: 1\n\n   * - " + "\n     - ".join(titles)]
    healthy, harmed = data().values()
    for peers, good in healthy.items():
        bad = harmed[peers]
        cells = [f"{int(peers):,}", f"{requests_in_theory(int(peers)):.0f}"]
        cells += [f"{good['requests']:.1f}", f"{good['recall']:.1%}", f"{good['hops']:.1f}"]
        cells += [f"{good['seconds']:.1f} s", f"{bad['requests']:.1f}"]
        cells += [f"{bad['most_requests']:.0f}", f"{bad['recall']:.1%}", f"{bad['seconds']:.1f} s"]
        lines.append("   * - " + "\n     - ".join(cells))
    return "\n".join(lines) + "\n"


FILES: Final = {"dht_lookups.svg": svg, "dht_lookups.txt": table}


def main() -> None:
    """Simulate all networks, and write the files anew."""
    made = {kind: {str(peers): simulate(kind, peers) for peers in SIZES} for kind in SHARES}
    DATA.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
