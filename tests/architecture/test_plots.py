"""The numbers and pictures in the documentation are those of the code."""

from __future__ import annotations

import pytest

from docs.plots import auto_tuning, dht_lookups, stream_states
from docs.plots.dht_lookups import SMALL


@pytest.mark.slow
@pytest.mark.parametrize("name", auto_tuning.FILES)
def test_the_simulators_results_are_up_to_date(name: str) -> None:
    written = (auto_tuning.FOLDER / name).read_text(encoding="utf-8")
    assert written == auto_tuning.FILES[name](), "run python -m docs.plots.auto_tuning"


@pytest.mark.parametrize("name", stream_states.FILES)
def test_the_states_of_a_stream_are_drawn_as_they_are(name: str) -> None:
    written = (stream_states.FOLDER / name).read_text(encoding="utf-8")
    assert written == stream_states.FILES[name](), "run python -m docs.plots.stream_states"


@pytest.mark.parametrize("name", dht_lookups.FILES)
def test_figures_of_lookups_are_drawn_as_they_are(name: str) -> None:
    written = (dht_lookups.FOLDER / name).read_text(encoding="utf-8")
    assert written == dht_lookups.FILES[name](), "run python -m docs.plots.dht_lookups"


@pytest.mark.slow
@pytest.mark.parametrize("kind", dht_lookups.SHARES)
@pytest.mark.parametrize("peers", [peers for peers in dht_lookups.SIZES if peers <= SMALL])
def test_figures_of_lookups_are_the_simulators(kind: str, peers: int) -> None:
    written = dht_lookups.data()[kind][str(peers)]
    assert written == dht_lookups.simulate(kind, peers), "run python -m docs.plots.dht_lookups"


def test_lookups_in_100_000_peers_cost_little_more_than_in_10_000() -> None:
    for kind, rows in dht_lookups.data().items():
        steps = [rows[str(10**power)]["requests"] for power in range(3, 6)]
        assert steps[2] - steps[1] < 1.5 * (steps[1] - steps[0]) + 2, kind
        assert min(row["recall"] for row in rows.values()) >= 0.99
