"""Whole fetches among model peers: how long they take, and how many blocks come twice."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.bitswap.config import TAKEOVER_SECONDS
from libp2p.bitswap.errors import PeerAnswer
from tests.support.blocks import blocks
from tests.support.peer_status import peer_status
from tests.support.swarm_model import ModelPeer, Swarm
from tests.support.want_client import ANN, BOB, CEE, DEE, peer_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipld.cid import CID

CIDS = list(blocks(400, 10))
"""100 MiB in blocks of 256 KiB."""


def seeds(count: int, rate: float, round_trip: float) -> list[ModelPeer]:
    return [ModelPeer(peer, rate, round_trip) for peer in peer_ids(count)]


def odd_company(order: Sequence[int], hesitation: float = 0.0) -> list[ModelPeer]:
    """A silent peer, one that lies, a slow one, and a good one, as near as that."""
    peers = [
        ModelPeer(ANN, silent=True),
        ModelPeer(BOB, lies=True, round_trip=0.0004),
        ModelPeer(CEE, rate=10 * 1024, round_trip=0.0006, piece=1024),
        ModelPeer(DEE, round_trip=0.001, hesitation=hesitation),
    ]
    return [peers[number] for number in order]


def fetched(
    peers: Sequence[ModelPeer], cids: Sequence[CID] = CIDS, *, ordered: bool = False
) -> tuple[float, Swarm]:
    swarm = Swarm(peers)
    seconds = swarm.fetch(cids, ordered=ordered)
    assert sorted(swarm.came) == sorted(cids)
    return seconds, swarm


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("hesitation", [0.0, 0.01])
@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_bad_company_costs_a_fetch_little(
    order: Sequence[int], hesitation: float, ordered: bool
) -> None:
    alone, _ = fetched([ModelPeer(DEE, round_trip=0.001)])
    seconds, swarm = fetched(odd_company(order, hesitation), ordered=ordered)
    assert seconds <= alone + 1.5 * TAKEOVER_SECONDS  # 100 MB at any rate up to 400 MB/s: 1.3 x
    assert swarm.duplicates <= 0.02 * len(CIDS)
    assert swarm.delivered[DEE] >= len(CIDS) - 2


@pytest.mark.parametrize("rate", [1e6, 10e6, 100e6])
@pytest.mark.parametrize("round_trip", [0.0005, 0.02, 0.1])
def test_five_good_peers_are_no_slower_than_one(rate: float, round_trip: float) -> None:
    alone, _ = fetched(seeds(1, rate, round_trip))
    seconds, swarm = fetched(seeds(5, rate, round_trip))
    assert seconds <= 1.05 * alone
    assert swarm.duplicates <= 0.05 * len(CIDS)
    if rate <= 10e6:  # where the peers are what takes the time
        assert seconds <= 0.3 * alone


@pytest.mark.parametrize("rate", [1e6, 10e6])
def test_each_peer_gets_what_it_can_deliver(rate: float) -> None:
    peers = [ModelPeer(p, rate * (n + 1) / 5, 0.01) for n, p in enumerate(peer_ids(5))]
    seconds, swarm = fetched(peers)
    shares = [swarm.delivered[peer.peer_id] for peer in peers]
    assert shares == sorted(shares)
    assert seconds <= 1.2 * len(CIDS) * swarm.block_size / (3 * rate)
    assert swarm.duplicates <= 0.05 * len(CIDS)


def test_one_of_two_that_stops_in_the_middle_costs_a_moment() -> None:
    alone, _ = fetched(seeds(1, 10e6, 0.01))
    peers = seeds(2, 10e6, 0.01)
    peers[1].stops_after = 50
    seconds, swarm = fetched(peers)
    assert seconds <= alone
    assert swarm.duplicates <= 0.02 * len(CIDS)


def test_peers_that_pause_cost_few_duplicates() -> None:
    peers = [
        ModelPeer(peer, 10e6, 0.001, hiccup=(1000.1 + number / 10, 0.3))
        for number, peer in enumerate(peer_ids(5))
    ]
    _, swarm = fetched(peers)
    assert swarm.duplicates <= 0.05 * len(CIDS)


def test_a_pause_of_the_only_peer_costs_no_more_than_itself() -> None:
    alone, _ = fetched(seeds(1, 10e6, 0.01))
    seconds, swarm = fetched([ModelPeer(ANN, 10e6, 0.01, hiccup=(1001.0, 3.0))])
    assert seconds <= alone + 3.1
    assert swarm.duplicates == 0


def test_peers_that_have_parts_deliver_their_parts() -> None:
    peers = [
        ModelPeer(peer, 10e6, 0.01, blocks=set(CIDS[number::2]))
        for number, peer in enumerate(peer_ids(2))
    ]
    seconds, swarm = fetched(peers)
    assert list(swarm.delivered.values()) == [200, 200]
    assert seconds <= 0.6 * len(CIDS) * swarm.block_size / 10e6
    assert swarm.duplicates == 0


def test_what_nobody_has_fails_and_names_all_who_said_so() -> None:
    peers = [ModelPeer(peer, blocks=set(CIDS[:50])) for peer in peer_ids(3)]
    swarm = Swarm(peers)
    swarm.fetch(CIDS[:60])
    assert sorted(swarm.came) == sorted(CIDS[:50])
    no = dict.fromkeys(peer_ids(3), PeerAnswer.DONT_HAVE)
    assert swarm.failed == dict.fromkeys(CIDS[50:60], no)


@st.composite
def companies(draw: st.DrawFn) -> list[ModelPeer]:
    """Peers of all kinds, one of them good."""
    peers = [ModelPeer(ANN, draw(st.sampled_from([1e5, 1e7])), draw(st.floats(0.0001, 0.3)))]
    for peer_id in peer_ids(draw(st.integers(0, 6))):
        peer = ModelPeer(
            peer_id,
            draw(st.sampled_from([1e3, 1e5, 1e8])),
            draw(st.floats(0.0001, 1)),
            silent=draw(st.integers(0, 5)) == 0,
            lies=draw(st.integers(0, 5)) == 0,
            stops_after=draw(st.none() | st.integers(0, 20)),
            blocks=draw(st.none() | st.sets(st.sampled_from(CIDS[:60]))),
        )
        if draw(st.booleans()):
            peer.hiccup = (1000 + draw(st.floats(0, 3)), draw(st.floats(0, 5)))
        peers.append(peer)
    return draw(st.permutations(peers))


@given(companies(), st.booleans())
def test_in_any_company_a_good_peer_brings_the_fetch_to_its_end(
    peers: list[ModelPeer], ordered: bool
) -> None:
    cids = CIDS[:60]
    good = next(peer for peer in peers if peer.peer_id == ANN)
    swarm = Swarm(peers, block_size=16 * 1024)
    seconds = swarm.fetch(cids, ordered=ordered)
    assert sorted(swarm.came) == sorted(cids)
    assert seconds <= 3 * len(cids) * swarm.block_size / good.rate + 60 * good.round_trip + 20
    assert swarm.tracker.wantlist() == []
    for peer_id in swarm.tracker.peer_ids:
        status = peer_status(swarm.tracker, peer_id)
        assert not any((status.assigned, status.unanswered, status.unfinished_messages))
