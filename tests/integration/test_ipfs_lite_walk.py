"""A short random walk over the API of peers; `tests.support.peer_walk` goes further."""

from __future__ import annotations

import logging

import pytest

from tests.support.peer_walk import walk_and_return


@pytest.mark.slow
@pytest.mark.xfail(reason="the swarm dies of a peer that it does not know (R1)", strict=False)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_peers_live_through_everything(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await walk_and_return(200, seed)
    assert not caplog.records
