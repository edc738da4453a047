"""Handshakes under way, and who gives way when there are too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.network.pending import PendingHandshakes, origin_of

SAFE = 3.0


def pending(*handshakes: tuple[str, str, float], limit: int = 3) -> PendingHandshakes[str]:
    found: PendingHandshakes[str] = PendingHandshakes(limit, SAFE)
    for handshake, origin, began in handshakes:
        found.add(handshake, origin, began)
    return found


def test_no_handshake_gives_way_while_it_is_young() -> None:
    crowd = pending(("a", "one", 0), ("b", "one", 1), ("c", "two", 2))
    assert crowd.is_full
    assert crowd.evictable_at() == SAFE
    assert crowd.evictable(SAFE - 0.1) is None
    assert crowd.evictable(SAFE) == "a"


def test_the_place_that_most_come_from_gives_way_first() -> None:
    crowd = pending(("honest", "one", 0), ("a", "flood", 1), ("b", "flood", 2))
    assert crowd.evictable(SAFE + 2) == "a"
    crowd.remove("a")
    crowd.remove("a")
    assert crowd.evictable(SAFE + 2) == "honest"
    assert len(crowd) == 2
    assert not crowd.is_full


def test_without_handshakes_nobody_gives_way() -> None:
    nobody = pending()
    assert nobody.evictable(100) is None
    assert nobody.evictable_at() is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_site_of_ipv6_is_one_place(host: str, origin: str) -> None:
    assert origin_of(host) == origin


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.booleans())))
def test_who_gives_way_is_the_oldest_of_its_place(steps: list[tuple[int, int, bool]]) -> None:
    crowd: PendingHandshakes[int] = PendingHandshakes(10, SAFE)
    began: dict[int, tuple[int, int]] = {}
    for now, (handshake, origin, is_new) in enumerate(steps):
        if is_new and handshake not in began:
            crowd.add(handshake, origin, now)
            began[handshake] = origin, now
        elif not is_new:
            crowd.remove(handshake)
            began.pop(handshake, None)
        assert len(crowd) == len(began)
        victim = crowd.evictable(now)
        if victim is None:
            continue
        origin, since = began[victim]
        assert since + SAFE <= now
        assert since == min(when for place, when in began.values() if place == origin)
