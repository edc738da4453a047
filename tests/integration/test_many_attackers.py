"""
A tenth of ``make attackers``: what a host holds must not depend on how many attack it.

Each attacker has unfinished bitswap messages, unfinished handshakes, idle streams, streams that
nobody reads and a flood of TLS tickets, all at once; `tests.support.attacks` says what they are.
"""

from __future__ import annotations

import pytest

from tests.support.siege import SMALL, Bounds, Siege

#: The gate's machine does other things meanwhile, and has a shorter time.
BOUNDS = Bounds(settle_seconds=15, longest_step=0.1, least_speed=0.25)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_40_attackers_cost_no_more_than_the_budgets_of_the_host() -> None:
    outcome = await Siege(SMALL, BOUNDS).run()
    assert list(outcome.faults(BOUNDS)) == [], "\n".join(outcome.table())
