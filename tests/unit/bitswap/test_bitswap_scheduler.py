"""Whose turn it is at the store: who waits for whom, and for how long at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.bitswap.config import MAX_WEIGHED_WORK, STARVED_SECONDS
from libp2p.bitswap.serve.rate_limit import BandwidthLimits, RateLimiter
from libp2p.bitswap.serve.scheduler import Priorities, StoreScheduler
from libp2p.peer.id import ID

if TYPE_CHECKING:
    from collections.abc import Callable

ANN, BOB, CEE = (ID(b"\x00\x03" + name) for name in (b"ann", b"bob", b"cee"))


class Store:
    """One turn at a time unless told otherwise, and what the peers wait for."""

    def __init__(
        self,
        limit: int = 1,
        salt: bytes = b"",
        order: Callable[[ID, ID], bool] | None = None,
        total: float | None = None,
        per_peer: float | None = None,
        **work: int,
    ) -> None:
        self.work: dict[ID, int] = {ID(b"\x00\x03" + k.encode()): n for k, n in work.items()}
        self.scores: dict[ID, int] = {}
        self.woken: list[ID] = []
        self.timers: list[float] = []
        self.limits = RateLimiter(BandwidthLimits(total, per_peer))
        self.turns = StoreScheduler(
            Priorities(
                lambda peer_id: self.work.get(peer_id, 0),
                lambda peer_id, now: self.scores.get(peer_id, 0),
                order,
                salt,
            ),
            wake=self.woken.append,
            call_at=self.timers.append,
            limits=self.limits,
            turns=limit,
        )

    def served_before(self, *peers: ID) -> None:
        """Let peers have had one turn each."""
        for peer in peers:
            assert self.turns.ask(peer, 0)
            self.turns.end(peer, 0)

    def occupy(self) -> None:
        """Let somebody who never asks again hold the only turn."""
        assert self.turns.ask(OTHER, 0)

    def given(self) -> list[ID]:
        """The peers that were woken since this was asked last."""
        woken, self.woken[:] = self.woken[:], []
        return woken

    def next(self, now: float = 0) -> ID | None:
        """End the turn that goes on, and tell whose is the next one."""
        self.turns.end(self.holder, now)
        given = self.given()
        if not given:
            return None
        (self.holder,) = given
        assert self.turns.ask(self.holder, now)
        return self.holder

    holder = ID(b"\x00\x05other")


OTHER = Store.holder


def test_a_free_turn_begins_at_once() -> None:
    store = Store(limit=2, ann=1, bob=1, cee=1)
    assert store.turns.ask(ANN, 0)
    assert store.turns.ask(ANN, 0)
    assert not store.turns.ask(BOB, 0)
    assert store.given() == []
    store.turns.end(ANN, 0)
    assert store.given() == [BOB]
    assert store.turns.ask(BOB, 0)


def test_a_peer_with_an_empty_queue_gets_no_turn() -> None:
    store = Store(ann=0, bob=1)
    store.served_before(BOB)
    store.occupy()
    assert not store.turns.ask(ANN, 0)
    assert not store.turns.ask(BOB, 0)
    assert store.next() == BOB
    assert store.next() is None


def test_a_peer_that_was_never_served_comes_before_a_steady_one() -> None:
    store = Store(ann=1000, bob=1)
    store.served_before(ANN)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    assert store.next() == BOB


def test_who_has_waited_long_comes_before_who_has_waited_less() -> None:
    store = Store(ann=1, bob=1000)
    store.served_before(ANN, ANN, ANN, BOB)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 1)
    assert store.next(STARVED_SECONDS + 0.5) == ANN


def test_a_busy_peer_whose_queue_runs_empty_does_not_count_as_starved() -> None:
    store = Store(ann=100, bob=1)
    store.served_before(ANN, BOB)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.withdraw(ANN, 0)  # its queue is empty for once
    store.turns.ask(BOB, 1)
    store.turns.ask(ANN, 100)
    assert store.next(100) == BOB


def test_a_pause_is_no_waiting() -> None:
    store = Store(ann=1, bob=20)
    store.served_before(ANN, BOB)
    store.occupy()
    store.turns.ask(ANN, 100)
    store.turns.ask(BOB, 100)
    assert store.next(101) == BOB  # ANN has not starved, and has less to do


def test_fewer_turns_that_go_on_win() -> None:
    store = Store(limit=2, ann=100, bob=1)
    store.served_before(BOB, BOB, ANN)
    assert store.turns.ask(ANN, 0)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    assert store.next() == BOB


def test_a_peer_with_little_work_is_served_between_two_turns_of_others() -> None:
    store = Store(ann=1000, bob=1000, cee=1)
    store.served_before(ANN, BOB, CEE)
    store.occupy()
    for peer in (ANN, BOB, CEE):
        store.turns.ask(peer, 0)
    served = []
    for _ in range(6):
        chosen = store.next()
        assert chosen is not None
        served.append(chosen)
        store.turns.ask(chosen, 0)
    assert sorted(served[:3]) == sorted(served[3:]) == sorted([ANN, BOB, CEE])
    assert served[2] == served[5] == CEE


def test_more_work_wins_up_to_a_cap_and_then_a_hash_decides() -> None:
    store = Store(ann=3, bob=2)
    store.served_before(ANN, BOB)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    assert store.next() == ANN
    winners = {first_of_equals(b"%d" % salt) for salt in range(20)}
    assert winners == {ANN, BOB}


def first_of_equals(salt: bytes) -> ID | None:
    store = Store(salt=salt, ann=MAX_WEIGHED_WORK, bob=1000 * MAX_WEIGHED_WORK)
    store.served_before(ANN, BOB)
    store.occupy()
    store.turns.ask(BOB, 0)
    store.turns.ask(ANN, 0)
    winner = store.next()
    assert winner == first_again(salt)
    return winner


def first_again(salt: bytes) -> ID | None:
    store = Store(salt=salt, ann=MAX_WEIGHED_WORK, bob=MAX_WEIGHED_WORK)
    store.served_before(BOB, ANN)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    return store.next()


@pytest.mark.parametrize("useful", [ANN, BOB])
def test_among_equals_the_more_useful_peer_comes_first(useful: ID) -> None:
    store = Store(ann=1, bob=1)
    store.scores[useful] = 10
    store.served_before(ANN, BOB)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    assert store.next() == useful


@pytest.mark.parametrize("reverse", [False, True])
def test_an_order_of_ones_own_decides_alone(reverse: bool) -> None:
    def before(one: ID, other: ID) -> bool:
        return (one > other) if reverse else (one < other)

    store = Store(order=before, ann=1, bob=1000, cee=1)
    store.served_before(ANN)
    store.occupy()
    for peer in (BOB, ANN, CEE):
        store.turns.ask(peer, 0)
    order = [store.next(), store.next(), store.next()]
    assert order == ([CEE, BOB, ANN] if reverse else [ANN, BOB, CEE])


def test_equals_in_an_order_of_ones_own_keep_their_order() -> None:
    store = Store(order=lambda one, other: False, ann=1, bob=1)
    store.occupy()
    store.turns.ask(BOB, 0)
    store.turns.ask(ANN, 0)
    assert store.next() == BOB


def test_who_waits_only_to_send_is_passed_over_while_nothing_can_be_sent() -> None:
    store = Store(total=1000, ann=1, bob=1)
    store.limits.spend(CEE, 2000, 0)
    assert not store.turns.ask(ANN, 0)
    assert store.timers.pop() == pytest.approx(1.001)
    assert store.turns.ask(BOB, 0, for_blocks=False)  # no turn is of use to ANN
    assert not store.turns.may_send(BOB, 0)
    assert not store.turns.ask(ANN, 0)
    store.turns.end(BOB, 0.5)
    assert store.given() == []
    assert store.turns.ask(ANN, 0.5, for_blocks=False)


def test_a_turn_to_send_begins_when_the_limit_lets_it() -> None:
    store = Store(total=1000, ann=1)
    store.limits.spend(CEE, 2000, 0)
    assert not store.turns.ask(ANN, 0)
    store.turns.share_out(1.0)
    assert store.given() == []
    store.turns.share_out(store.timers[-1])
    assert store.given() == [ANN]
    assert store.turns.ask(ANN, 1.1)
    assert store.turns.may_send(ANN, 1.1)


def test_those_who_send_do_it_one_after_the_other_under_a_limit_for_all() -> None:
    store = Store(limit=3, total=1e9, ann=1, bob=1, cee=1)
    assert store.turns.ask(ANN, 0)
    assert store.turns.may_send(ANN, 0)
    assert not store.turns.ask(BOB, 0)
    assert store.turns.ask(CEE, 0, for_blocks=False)  # there are free turns, but not to send
    assert not store.turns.may_send(CEE, 0)
    store.turns.end(ANN, 0)
    assert store.given() == [BOB]
    assert store.turns.ask(BOB, 0)
    assert store.turns.may_send(BOB, 0)
    store.turns.forget(BOB, 0)
    assert store.turns.may_send(CEE, 0)
    assert store.turns.ask(ANN, 0)


def test_what_is_read_counts_by_its_bytes() -> None:
    store = Store(ann=20, bob=1)
    store.served_before(ANN, BOB)
    assert store.turns.ask(ANN, 0)
    store.turns.end(ANN, 0, 1_000_000)
    for _ in range(5):
        store.served_before(BOB)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    assert store.next() == BOB


def test_whether_anybody_waits() -> None:
    store = Store(ann=1)
    before = store.turns.is_contested
    store.occupy()
    store.turns.ask(ANN, 0)
    assert (before, store.turns.is_contested) == (False, True)
    assert Store(total=1000).turns.is_contested


def test_a_turn_at_once_is_not_taken_from_who_waits() -> None:
    store = Store(limit=1, ann=1, bob=1)
    assert store.turns.ask_at_once(ANN, 0)
    assert not store.turns.ask_at_once(ANN, 0)
    store.turns.ask(BOB, 0)
    store.turns.end(ANN, 0)
    assert not store.turns.ask_at_once(ANN, 0)


def test_a_turn_at_once_is_not_taken_before_the_limit_of_a_peer_lets_it() -> None:
    store = Store(ann=1, per_peer=1000)
    store.limits.spend(ANN, 1500, 0)
    assert not store.turns.ask_at_once(ANN, 0)
    assert store.turns.ask_at_once(ANN, 1)


def test_what_is_given_back_is_given_to_others() -> None:
    store = Store(ann=1, bob=1)
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.withdraw(ANN, 0)
    store.turns.withdraw(ANN, 0)
    store.turns.withdraw(CEE, 0)
    store.turns.end(OTHER, 0)
    assert store.given() == []
    store.occupy()
    store.turns.ask(ANN, 0)
    store.turns.end(OTHER, 0)
    assert store.given() == [ANN]
    store.turns.withdraw(ANN, 0)
    assert store.turns.ask(BOB, 0)


def test_a_peer_that_is_gone_gives_its_turns_back_and_is_new_when_it_returns() -> None:
    store = Store(limit=2, ann=1, bob=1, cee=1)
    store.turns.ask(ANN, 0)
    store.turns.ask(ANN, 0)
    store.turns.ask(BOB, 0)
    store.turns.ask(CEE, 0)
    store.turns.forget(CEE, 0)
    store.turns.forget(CEE, 0)
    store.turns.forget(ANN, 0)
    store.turns.end(ANN, 0)  # its task ends later
    assert store.given() == [BOB]
    assert store.turns.ask(BOB, 0)
    assert store.turns.ask(CEE, 0)
    assert not store.turns.ask(ANN, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 2000)), min_size=2, max_size=60))
def test_nobody_waits_for_more_than_two_turns_of_each_other(asks: list[tuple[int, int]]) -> None:
    peers = [ID(b"\x00\x01%d" % number) for number in range(10)]
    store = Store()
    store.served_before(*peers)
    store.occupy()
    waited: dict[ID, list[ID]] = {}
    for number, work in asks:
        peer = peers[number]
        store.work[peer] = work
        if peer not in waited:
            assert not store.turns.ask(peer, 0)
            waited[peer] = []
        if work % 3 == 0:
            serve(store, waited)
    while waited:
        serve(store, waited)


def serve(store: Store, waited: dict[ID, list[ID]]) -> None:
    served = store.next()
    assert served is not None
    del waited[served]
    for others in waited.values():
        others.append(served)
        assert others.count(served) <= 2
    if not waited:
        store.turns.end(store.holder, 0)
        store.occupy()
        store.holder = OTHER
