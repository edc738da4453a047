"""The numbers and pictures in the documentation are those of the code."""

from __future__ import annotations

import pytest

from docs.plots.auto_tuning import FILES, FOLDER


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_simulators_results_are_up_to_date(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == FILES[name](), "run python -m docs.plots.auto_tuning"
