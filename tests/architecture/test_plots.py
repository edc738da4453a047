"""The numbers and pictures in the documentation are those of the code."""

from __future__ import annotations

import pytest

from docs.plots import auto_tuning, stream_states


@pytest.mark.slow
@pytest.mark.parametrize("name", auto_tuning.FILES)
def test_the_simulators_results_are_up_to_date(name: str) -> None:
    written = (auto_tuning.FOLDER / name).read_text(encoding="utf-8")
    assert written == auto_tuning.FILES[name](), "run python -m docs.plots.auto_tuning"


@pytest.mark.parametrize("name", stream_states.FILES)
def test_the_states_of_a_stream_are_drawn_as_they_are(name: str) -> None:
    written = (stream_states.FOLDER / name).read_text(encoding="utf-8")
    assert written == stream_states.FILES[name](), "run python -m docs.plots.stream_states"
