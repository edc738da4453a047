"""Which keys count as announced, by the peers that have taken their records."""

from __future__ import annotations

import pytest

from libp2p.provide.delivery import Delivery
from tests.support.model_network import peer_number

KEYS = [b"a", b"b", b"c"]


def test_a_key_is_announced_when_enough_peers_have_taken_it() -> None:
    peers = [peer_number(n) for n in range(20)]
    delivery = Delivery({peer: KEYS[:2] for peer in peers}, KEYS)
    for peer in peers[:7]:
        delivery.on_sent(peer, 2)
    assert delivery.missed() == (b"a", b"b", b"c")
    delivery.on_sent(peers[7], 1)
    assert delivery.announced() == (b"a",)
    for peer in peers[8:]:
        delivery.on_sent(peer, 0)
    assert delivery.announced() == (b"a",)
    assert delivery.missed() == (b"b", b"c")  # nobody is known for c
    assert (delivery.records, delivery.sends, delivery.failed_sends) == (15, 20, 13)


@pytest.mark.parametrize(("peers", "needed"), [(1, 1), (2, 1), (5, 2), (10, 4), (20, 8), (40, 8)])
def test_few_peers_are_enough_where_there_are_few(peers: int, needed: int) -> None:
    some = [peer_number(n) for n in range(peers)]
    delivery = Delivery({peer: [b"a"] for peer in some}, [b"a"])
    for peer in some[: needed - 1]:
        delivery.on_sent(peer, 1)
    assert delivery.announced() == ()
    delivery.on_sent(some[needed - 1], 1)
    assert delivery.announced() == (b"a",)


def test_a_router_that_says_more_than_it_was_given_is_not_believed() -> None:
    delivery = Delivery({peer_number(1): [b"a"], peer_number(2): [b"b"]}, [b"a", b"b"])
    delivery.on_sent(peer_number(1), 99)
    delivery.on_sent(peer_number(2), -1)
    assert delivery.records == 1
    assert delivery.announced() == (b"a",)
