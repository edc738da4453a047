"""The order in which a peer's addresses are tried, and what failures do to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.network.dial_plan import (
    BACKOFF_MAX,
    MAX_BACKOFFS,
    PRIVATE_HEAD_START,
    PUBLIC_HEAD_START,
    DialBackoff,
    plan_dials,
)

LOOPBACK_6 = Multiaddr("/ip6/::1/tcp/4001")
LOOPBACK_4 = Multiaddr("/ip4/127.0.0.1/tcp/4001")
PRIVATE_6 = Multiaddr("/ip6/fd00::1/tcp/4001")
PRIVATE_4 = Multiaddr("/ip4/192.168.1.7/tcp/4001")
PUBLIC_6 = Multiaddr("/ip6/2604:1380::1/tcp/4001")
PUBLIC_4 = Multiaddr("/ip4/147.75.83.83/tcp/4001")
NAMED = Multiaddr("/dns4/bootstrap.libp2p.io/tcp/443")

NEAREST_FIRST = [LOOPBACK_6, LOOPBACK_4, PRIVATE_6, PRIVATE_4, NAMED, PUBLIC_6, PUBLIC_4]
addresses = st.lists(st.sampled_from(NEAREST_FIRST), max_size=7)


def order(plan_of: list[Multiaddr], avoid: list[Multiaddr] | None = None) -> list[Multiaddr]:
    return [planned.address for planned in plan_dials(plan_of, avoid or [])]


def test_nothing_is_planned_for_no_address() -> None:
    assert plan_dials([]) == []


def test_near_addresses_come_before_far_ones_and_ipv6_before_ipv4() -> None:
    planned = order(NEAREST_FIRST[::-1])
    assert planned[:4] == NEAREST_FIRST[:4]
    assert planned.index(PUBLIC_6) < planned.index(PUBLIC_4)


def test_an_address_in_memory_is_as_near_as_this_machine() -> None:
    memory = Multiaddr("/memory/7")
    assert order([PRIVATE_4, memory, PUBLIC_4]) == [memory, PRIVATE_4, PUBLIC_4]


def test_the_lower_port_comes_first() -> None:
    low, high = Multiaddr("/ip4/1.2.3.4/tcp/80"), Multiaddr("/ip4/1.2.3.4/tcp/9000")
    assert order([high, low]) == [low, high]


def test_the_first_address_is_tried_at_once() -> None:
    assert plan_dials([PUBLIC_4])[0].head_start == 0


def test_a_public_address_has_a_longer_head_start_than_a_private_one() -> None:
    plan = plan_dials([PUBLIC_4, PUBLIC_6, PRIVATE_4, NAMED])
    assert plan[0].address == PRIVATE_4
    assert [planned.head_start for planned in plan] == [
        0.0,
        PRIVATE_HEAD_START,
        PUBLIC_HEAD_START,
        PUBLIC_HEAD_START,
    ]


def test_addresses_that_failed_lately_come_last_but_are_tried() -> None:
    assert order([LOOPBACK_4, PUBLIC_6, PUBLIC_4], avoid=[LOOPBACK_4]) == [
        PUBLIC_6,
        PUBLIC_4,
        LOOPBACK_4,
    ]


@given(addresses, addresses)
def test_every_address_is_tried_exactly_once(
    known: list[Multiaddr], avoid: list[Multiaddr]
) -> None:
    planned = order(known, avoid)
    assert sorted(map(str, planned)) == sorted(map(str, set(known)))


@pytest.mark.parametrize(
    "odd",
    [
        "/dns/example.com/tcp/4001",
        "/unix/run/peer.sock",
        "/ip6zone/eth0/ip6/fe80::1/tcp/4001",
        "/ip4/10.0.0.0/ipcidr/8",
        "/ip4/1.2.3.4",
        "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit",
    ],
)
def test_an_unusual_address_is_planned_like_any_other(odd: str) -> None:
    assert set(order([PUBLIC_4, Multiaddr(odd)])) == {PUBLIC_4, Multiaddr(odd)}


def test_an_address_is_avoided_for_a_while_after_it_failed() -> None:
    backoff = DialBackoff()
    assert not backoff.is_active("a", now=100)
    backoff.failed("a", now=100)
    assert backoff.is_active("a", now=105.9)
    assert not backoff.is_active("a", now=106)
    assert not backoff.is_active("b", now=100)


def test_each_failure_in_a_row_is_avoided_for_longer_up_to_a_limit() -> None:
    backoff = DialBackoff()
    pauses = []
    for _ in range(20):
        backoff.failed("a", now=0)
        pauses.append(next(n for n in range(400) if not backoff.is_active("a", now=n)))
    assert pauses[:4] == [6, 9, 14, 21]
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_MAX


def test_a_success_forgets_the_failures() -> None:
    backoff = DialBackoff()
    for _ in range(5):
        backoff.failed("a", now=0)
    backoff.succeeded("a")
    backoff.succeeded("a")
    assert not backoff.is_active("a", now=0)
    backoff.failed("a", now=0)
    assert not backoff.is_active("a", now=6), "counting started anew"


def test_what_failed_longest_ago_is_forgotten_first() -> None:
    backoff = DialBackoff()
    for number in range(MAX_BACKOFFS):
        backoff.failed(number, now=0)
    backoff.failed(0, now=0)  # again: it is now the latest
    backoff.failed("one more", now=0)
    assert backoff.is_active(0, now=0)
    assert not backoff.is_active(1, now=0)
    assert backoff.is_active(2, now=0)
    assert backoff.is_active("one more", now=0)
