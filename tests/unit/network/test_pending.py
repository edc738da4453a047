"""Handshakes under way, connections that wait for a turn, and who gives way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.network.pending import SHARE, WAITING, PendingHandshakes, origin_of

SAFE = 3.0
LIMIT = 16


class Door:
    """Adds connections, and remembers what became of them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.pending: PendingHandshakes[str] = PendingHandshakes(limit, SAFE)
        self.count = 0
        self.begun: list[str] = []
        self.given_up: list[str] = []

    def add(self, origin: str, count: int = 1, now: float = 0.0) -> None:
        for _ in range(count):
            self.pending.add(f"{origin}{self.count}", origin, now)
            self.count += 1
            self.go_on(now)

    def remove(self, connection: str, now: float = 0.0, *, well: bool = False) -> None:
        self.pending.remove(connection, now, well=well)
        self.go_on(now)

    def go_on(self, now: float) -> None:
        for begun, victim in self.pending.turns(now):
            self.begun.append(begun)
            self.given_up += [] if victim is None else [victim]


def test_no_handshake_gives_way_while_it_is_young() -> None:
    door = Door(2)
    door.add("one", 2)
    assert (len(door.begun), door.pending.hurried(0)) == (2, None)
    door.add("one", 2, now=1)
    assert door.pending.hurried(0) == ("one0", SAFE)
    assert (len(door.begun), door.given_up) == (2, [])
    door.remove("one0", SAFE)
    assert door.begun[2:] == ["one2"]
    assert door.pending.hurried(0) == ("one1", SAFE + SAFE / 2)


def test_no_handshake_gives_way_while_others_of_its_address_end_well() -> None:
    door = Door(2)
    door.add("one", 4)
    door.remove("one1", 2.5, well=True)
    assert door.pending.hurried(0) == ("one0", 2.5 + SAFE)
    door.remove("one3", 2.5)
    assert door.pending.hurried(0) is None


def test_the_address_that_most_come_from_is_hurried_first() -> None:
    door = Door(3)
    for now, origin in enumerate(("honest", "flood", "flood", "flood")):
        door.add(origin, now=now)
    assert door.pending.hurried(0) == ("honest0", SAFE)
    assert door.pending.hurried(SAFE + 1) == ("flood1", SAFE + 1)


def test_an_address_keeps_its_share_though_another_floods() -> None:
    door = Door()
    door.add("flood", LIMIT + 5)
    assert len(door.begun) == LIMIT
    for number in range(round(LIMIT * SHARE)):
        door.add("honest")
        assert door.begun[-1].startswith("honest")
        assert door.given_up[-1] == f"flood{number}"
    door.add("honest")  # more than its share: as a flood would
    assert len(door.given_up) == round(LIMIT * SHARE)
    assert len(door.begun) == LIMIT + round(LIMIT * SHARE)


def test_the_address_with_the_fewest_handshakes_is_next() -> None:
    door = Door()
    door.add("a", 10)
    door.add("b", 6)
    door.add("a")
    door.add("b")
    assert len(door.begun) == LIMIT
    door.remove("a0", well=True)
    assert door.begun[-1] == "b17"


def test_of_addresses_with_as_few_handshakes_the_first_to_wait_is_next() -> None:
    door = Door()
    for number in (*range(LIMIT), 0, 99, 1):
        door.add(f"{number}.")
    door.remove("1.1")  # its other connection came after the one of 99
    door.remove("5.5")
    assert door.begun[-2:] == ["99.17", "1.18"]


def test_those_who_would_wait_are_turned_away_only_if_nothing_of_their_address_ends_well() -> None:
    door = Door()
    door.add("flood", LIMIT * (1 + WAITING) - 1)
    assert door.pending.turned_away_at() == SAFE
    door.add("flood")
    assert door.pending.is_full
    assert door.pending.turned_away_at() == SAFE
    assert door.pending.turned_away(SAFE - 0.1) is None
    newest = f"flood{LIMIT * (1 + WAITING) - 1}"
    assert door.pending.turned_away(SAFE) == newest
    door.remove(newest)
    assert len(door.pending) == LIMIT * (1 + WAITING) - 1
    door.remove("flood0", 2.0, well=True)
    assert door.pending.turned_away_at() == 2.0 + SAFE


def test_a_crowd_from_many_addresses_waits_in_the_kernel() -> None:
    door = Door()
    for number in range(LIMIT * (1 + WAITING)):
        door.add(f"{number}.")
    assert door.pending.is_full
    assert door.pending.turned_away(100) is None
    assert door.pending.turned_away_at() == math.inf


def test_what_is_not_there_can_be_removed() -> None:
    door = Door()
    door.remove("nobody")
    door.add("one")
    door.remove("one0")
    door.remove("one0")
    assert len(door.pending) == 0
    assert door.pending.turned_away_at() == math.inf


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


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans())))
def test_places_are_never_idle_while_somebody_waits(steps: list[tuple[int, int, bool]]) -> None:
    limit = 8
    pending: PendingHandshakes[int] = PendingHandshakes(limit, SAFE)
    there: dict[int, int] = {}
    started: dict[int, int] = {}
    for now, (connection, origin, is_new) in enumerate(steps):
        if is_new and connection not in there:
            pending.add(connection, origin, now)
            there[connection] = origin
        elif not is_new:
            pending.remove(connection, now, well=bool(origin))
            for known in (there, started):
                known.pop(connection, None)
        for begun, victim in pending.turns(now):
            if victim is not None:
                origins = [there[one] for one in started]
                assert origins.count(there[victim]) > origins.count(there[begun]) + 1
                del there[victim], started[victim]
            assert begun not in started
            started[begun] = now
        hurried = pending.hurried(now)
        assert (hurried is None) == (len(there) == len(started))
        if hurried is not None:
            assert hurried[1] >= started[hurried[0]] + SAFE
        assert len(pending) == len(there)
        assert len(started) == min(limit, len(there))
