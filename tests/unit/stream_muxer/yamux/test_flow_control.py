"""Receive windows: what is returned when, how they grow, and who pays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import RemoteProtocolError
from libp2p.resources import Scope
from libp2p.stream_muxer.yamux.flow_control import (
    DEFAULT_WINDOW_SIZE,
    MAX_CREDIT,
    MAX_WINDOW_SIZE,
    ReceiveWindow,
    add_credit,
)

KIB = 1024
MIB = 1024 * KIB
RTT = 0.050


def window(now: float = 0.0, budget: int = 2**40) -> ReceiveWindow:
    return ReceiveWindow(now, Scope("budget", budget))


def arrive(account: ReceiveWindow, size: int) -> None:
    """A whole Data frame of ``size`` bytes comes."""
    account.charge(size, announced=size)


def pump(account: ReceiveWindow, size: int, now: float, rtt: float = RTT) -> int:
    """``size`` bytes arrive and are read at once."""
    arrive(account, size)
    return account.consumed(size, 0, now, rtt)


def test_a_window_begins_with_the_specified_credit() -> None:
    assert window().credit == window().size == DEFAULT_WINDOW_SIZE == 262_144


def test_data_within_the_credit_is_accepted_to_the_last_byte() -> None:
    account = window()
    arrive(account, DEFAULT_WINDOW_SIZE)
    arrive(account, 0)
    assert account.credit == 0


def test_data_beyond_the_credit_is_the_peers_fault() -> None:
    account = window()
    arrive(account, DEFAULT_WINDOW_SIZE)
    with pytest.raises(RemoteProtocolError, match="credit") as caught:
        account.charge(0, announced=1)
    assert caught.value.code == 1


def test_credit_is_returned_once_an_eighth_was_read() -> None:
    account = window()
    assert pump(account, 32 * KIB - 1, now=1) == 0
    assert pump(account, 1, now=1) == 32 * KIB
    assert account.credit == DEFAULT_WINDOW_SIZE


def test_only_what_was_read_is_returned() -> None:
    account = window()
    arrive(account, 100 * KIB)
    assert account.consumed(40 * KIB, buffered=60 * KIB, now=1, rtt=0) == 40 * KIB
    assert account.credit + 60 * KIB == account.size


def test_nothing_is_returned_for_a_body_that_has_not_come_yet() -> None:
    account = window()
    account.charge(KIB, announced=DEFAULT_WINDOW_SIZE)
    assert account.consumed(KIB, buffered=0, now=1, rtt=0) == 0
    account.charge(DEFAULT_WINDOW_SIZE - KIB, announced=0)
    assert account.consumed(DEFAULT_WINDOW_SIZE - KIB, 0, now=1, rtt=0) == DEFAULT_WINDOW_SIZE


def test_the_window_doubles_if_half_of_it_is_read_within_four_round_trips() -> None:
    account = window()
    granted = sum(pump(account, 16 * KIB, now=0.1) for _ in range(8))
    assert account.size == 512 * KIB
    assert granted == 128 * KIB + 256 * KIB, "what was read, and all of the growth, at once"
    assert account.credit == account.size


@pytest.mark.parametrize(("elapsed", "grown"), [(4 * RTT - 0.001, True), (4 * RTT, False)])
def test_a_slower_reader_does_not_make_the_window_grow(elapsed: float, grown: bool) -> None:
    account = window(now=0.0)
    pump(account, 128 * KIB, now=elapsed)
    assert (account.size > DEFAULT_WINDOW_SIZE) is grown


def test_nothing_grows_before_the_round_trip_time_is_known() -> None:
    account = window()
    for _ in range(100):
        pump(account, 128 * KIB, now=0.0, rtt=0.0)
    assert account.size == DEFAULT_WINDOW_SIZE


def test_the_time_is_taken_anew_for_every_half_window() -> None:
    account = window()
    pump(account, 128 * KIB, now=1.0)  # slow
    assert account.size == DEFAULT_WINDOW_SIZE
    pump(account, 128 * KIB, now=1.1)  # fast
    assert account.size == 2 * DEFAULT_WINDOW_SIZE
    pump(account, 128 * KIB, now=1.1)  # not yet half of the new window
    assert account.size == 2 * DEFAULT_WINDOW_SIZE
    pump(account, 128 * KIB, now=1.1)
    assert account.size == 4 * DEFAULT_WINDOW_SIZE


def test_six_doublings_reach_the_largest_window_and_no_more() -> None:
    account = window()
    sizes = []
    for _ in range(8):
        granted = 0
        before = account.size
        while account.size == before and granted < 2 * before:
            granted += pump(account, before // 16, now=0.0)
        sizes.append(account.size)
    assert sizes[5:] == [MAX_WINDOW_SIZE] * 3
    assert account.credit == MAX_WINDOW_SIZE, "no credit was lost on the way"


@pytest.mark.parametrize(("rtt", "most"), [(0.0, 8192), (RTT, 4128)])
def test_a_long_transfer_costs_few_updates(rtt: float, most: int) -> None:
    # One for each eighth of 256 KiB, and of a grown window one for each 64 KiB; with one for each
    # read it would be 65,536.
    account = window()
    updates = sum(pump(account, 4 * KIB, now=0.0, rtt=rtt) > 0 for _ in range(2**16))
    assert 256 * MIB // (64 * KIB) <= updates <= most


def test_growth_is_refused_when_the_budget_is_used_up() -> None:
    account = window(budget=DEFAULT_WINDOW_SIZE)
    pump(account, 128 * KIB, now=0.0)
    assert account.size == 512 * KIB
    pump(account, 256 * KIB, now=0.0)
    assert account.size == 512 * KIB
    assert account.credit == account.size, "credit is returned all the same"


def test_a_window_that_is_gone_gives_its_growth_back_once() -> None:
    budget = Scope("budget", DEFAULT_WINDOW_SIZE)
    account = ReceiveWindow(0.0, budget)
    pump(account, 128 * KIB, now=0.0)
    assert budget.held == DEFAULT_WINDOW_SIZE
    account.release()
    account.release()
    assert budget.held == 0


@given(
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 2**20), st.floats(0, 1)), max_size=60),
    st.sampled_from([0.0, 0.001, RTT, 10.0]),
    st.sampled_from([0, 2**18, 2**22, 2**40]),
)
def test_credit_and_unread_bytes_and_what_is_owed_make_the_window(
    steps: list[tuple[int, int, float]], rtt: float, limit: int
) -> None:
    budget = Scope("budget", limit)
    account = ReceiveWindow(0.0, budget)
    peer_credit, buffered, now = DEFAULT_WINDOW_SIZE, 0, 0.0
    for arriving, reading, elapsed in steps:
        arrived = min(arriving, peer_credit)
        arrive(account, arrived)
        peer_credit -= arrived
        buffered += arrived
        now += elapsed
        before = account.size
        taken = min(reading, buffered)
        buffered -= taken
        peer_credit += account.consumed(taken, buffered, now, rtt)
        owed = account.size - account.credit - buffered
        assert account.credit == peer_credit
        assert 0 <= owed < account.size // 8
        assert account.size in {before, 2 * before}
        assert account.size <= MAX_WINDOW_SIZE
        assert budget.held == account.size - DEFAULT_WINDOW_SIZE <= limit


def test_send_credit_adds_up_to_what_32_bits_hold() -> None:
    assert add_credit(0, MAX_CREDIT) == MAX_CREDIT
    assert add_credit(MAX_CREDIT, 0) == MAX_CREDIT


@pytest.mark.parametrize(("credit", "delta"), [(1, MAX_CREDIT), (MAX_CREDIT, 1), (2**31, 2**31)])
def test_send_credit_that_would_wrap_is_the_peers_fault(credit: int, delta: int) -> None:
    with pytest.raises(RemoteProtocolError, match="overflow"):
        add_credit(credit, delta)
