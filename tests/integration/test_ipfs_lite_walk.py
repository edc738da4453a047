"""A short random walk over the API of peers; `tests.support.peer_walk` goes further."""

from __future__ import annotations

import logging

import pytest

from tests.support.peer_walk import walk_and_return


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_peers_live_through_everything(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    done = await walk_and_return(300, seed)
    assert min(done.get(step, 0) for step in ("add", "get", "read", "get_block", "reopen")) > 0
    assert not caplog.records
