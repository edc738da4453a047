"""Who is asked when nobody is known to have a block: waves, their bounds, searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.bitswap.config import (
    BROADCAST_STRANGERS,
    IDLE_SECONDS,
    MAX_BROADCAST_PEERS,
    MAX_BROADCAST_WANTS,
    MAX_SEARCHES,
    SEARCH_INTERVAL_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from tests.support.blocks import blocks
from tests.support.want_client import (
    ANN,
    BOB,
    CANCEL,
    CEE,
    WANT_BLOCK,
    WANT_HAVE,
    Client,
    peer_ids,
)

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

A, B, C, D = list(blocks(4))
MANY = list(blocks(200, 10))


def asked(client: Client, peers: list[ID]) -> list[ID]:
    """Those of ``peers`` that are asked something now."""
    return [peer for peer in peers if any(kind is not CANCEL for kind, _ in client.sent(peer))]


# -- waves ----------------------------------------------------------------------------------------


def test_strangers_are_asked_a_few_at_a_time_and_more_when_they_say_no() -> None:
    peers = peer_ids(50)
    client = Client(*peers)
    client.want(A)
    seen: list[ID] = []
    waves = []
    while wave := asked(client, peers):
        waves.append(len(wave))
        seen += wave
        assert client.failures() == []
        for peer in wave:
            client.dont_haves(peer, A)
    assert waves == [BROADCAST_STRANGERS, 4 * BROADCAST_STRANGERS, 30]
    assert sorted(seen) == sorted(peers)
    (failure,) = client.failures()
    assert failure.peers == dict.fromkeys(peers, PeerAnswer.DONT_HAVE)


def test_the_last_peer_of_a_wave_that_is_not_the_last_is_asked_like_the_others() -> None:
    peers = peer_ids(6)
    client = Client(*peers)
    client.want(A)
    wave = asked(client, peers)
    for peer in wave[:-1]:
        client.dont_haves(peer, A)
    assert client.sent(wave[-1]) == []


def test_strangers_take_turns() -> None:
    peers = peer_ids(40)
    client = Client(*peers)
    first = []
    for cid in MANY[:20]:
        client.want(cid)
        first.append(tuple(asked(client, peers)))
    assert len(set(first)) > 10


def test_peers_that_are_near_or_of_use_or_written_to_anyway_come_first() -> None:
    near, of_use, written = peer_ids(3)
    client = Client(of_use)
    client.want(A)
    client.sent(of_use)
    client.haves(of_use, A)
    client.tracker.unwant(client.session, A.multihash)
    client.sent(of_use)
    client.tracker.add_peer(near, local=True)
    client.tracker.add_peer(written)
    fixed = client.tracker.open_session([written])
    strangers = peer_ids(60)[3:]
    for peer in strangers:
        client.tracker.add_peer(peer)
    other = client.tracker.open_session()
    client.want(B, session=fixed)
    client.want(C, session=other)
    assert client.sent(near) == client.sent(of_use) == [(WANT_HAVE, C)]
    assert client.sent(written) == [(WANT_BLOCK, B), (WANT_HAVE, C)]
    assert len(asked(client, strangers)) == BROADCAST_STRANGERS


def test_even_of_those_only_so_many_are_asked_at_once() -> None:
    peers = peer_ids(MAX_BROADCAST_PEERS + 10)
    client = Client(*peers, local=True)
    client.want(A)
    wave = asked(client, peers)
    assert len(wave) == MAX_BROADCAST_PEERS
    for peer in wave:
        client.dont_haves(peer, A)
    assert len(asked(client, peers)) == 10


def test_silence_brings_the_next_wave_too() -> None:
    peers = peer_ids(30)
    client = Client(*peers)
    client.want(A)
    assert len(asked(client, peers)) == 4
    client.wait(IDLE_SECONDS - 0.1)
    assert asked(client, peers) == []
    client.wait(0.2)
    assert len(asked(client, peers)) == 16
    client.wait(2 * IDLE_SECONDS + 0.1)
    assert len(asked(client, peers)) == 10
    client.wait(100)
    assert asked(client, peers) == peers  # by now it is said again
    assert client.failures() == []


def test_a_peer_that_leaves_while_it_is_asked_has_said_no() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.tracker.remove_peer(ANN)
    client.dont_haves(BOB, A)
    (failure,) = client.failures()
    assert failure.peers == {ANN: PeerAnswer.DISCONNECTED, BOB: PeerAnswer.DONT_HAVE}


# -- so many wants at once ------------------------------------------------------------------------


def test_a_session_asks_everybody_about_so_many_wants_at_once() -> None:
    client = Client(ANN, BOB)
    client.want(*MANY)
    assert len(client.sent(ANN)) == len(client.sent(BOB)) == MAX_BROADCAST_WANTS
    for peer in (ANN, BOB):  # two wants are answered: two others may be asked about
        client.dont_haves(peer, *MANY[:2])
    assert len(client.failures()) == 2
    assert {cid for kind, cid in client.sent(ANN) if kind is WANT_HAVE} == {MANY[64], MANY[65]}
    client.tracker.unwant(client.session, MANY[2].multihash)
    client.tracker.unwant(client.session, MANY[199].multihash)
    assert client.sent(ANN) == [(CANCEL, MANY[2]), (WANT_HAVE, MANY[66])]


def test_the_others_go_to_the_first_peer_that_has_one() -> None:
    client = Client(ANN, BOB)
    client.want(*MANY)
    client.sent(ANN)
    client.haves(ANN, MANY[0])
    assert len(client.asked(ANN)) == 1 + len(MANY) - MAX_BROADCAST_WANTS


def test_wants_of_a_patient_session_that_nobody_has_make_room_for_others() -> None:
    client = Client(ANN, BOB)
    patient = client.tracker.open_session(wait=True)
    client.want(*MANY, session=patient)
    told: set[CID] = set()
    while new := {cid for _, cid in client.sent(ANN) + client.sent(BOB)} - told:
        told |= new
        for peer in (ANN, BOB):
            client.dont_haves(peer, *new)
    assert told == set(MANY)
    assert len(client.tracker.wantlist()) == len(MANY)
    # A new peer is the only one that may have them: it is asked for all.
    client.tracker.add_peer(CEE)
    assert client.asked(CEE) == MANY


def test_another_session_has_room_of_its_own() -> None:
    client = Client(ANN, BOB)
    other = client.tracker.open_session()
    client.want(*MANY[:100])
    client.want(*MANY[90:], session=other)
    assert len(client.sent(ANN)) == 2 * MAX_BROADCAST_WANTS


def test_a_want_of_two_sessions_goes_on_for_the_one_that_stays() -> None:
    client = Client(ANN, BOB)
    other = client.tracker.open_session()
    client.want(*MANY[:64])
    client.want(MANY[0], MANY[1], session=other)
    client.sent(ANN), client.sent(BOB)
    client.tracker.close_session(client.session)
    assert client.tracker.wantlist() == MANY[:2]
    client.want(*MANY[2:64], session=other)
    client.want(*MANY[64:70], session=other)
    told = {cid for kind, cid in client.sent(ANN) if kind is WANT_HAVE}
    while client.tracker.has_outgoing(ANN):
        told |= {cid for kind, cid in client.sent(ANN) if kind is WANT_HAVE}
    assert told == set(MANY[2:64])  # with the first two they are as many as it may
    client.dont_haves(ANN, MANY[0])
    client.dont_haves(BOB, MANY[0])
    assert [failure.session_id for failure in client.failures()] == [other]


def test_a_trusted_peer_is_asked_also_when_no_more_wants_may_be_asked_about() -> None:
    client = Client(ANN, BOB)
    client.want(*MANY[:70])
    client.sent(ANN), client.sent(BOB)
    client.tracker.add_peer(CEE)
    client.sent(CEE)
    other = client.tracker.open_session()
    client.want(A, session=other)
    client.haves(CEE, A) if client.sent(CEE) else None
    client.sent(CEE)
    client.block(CEE, A)
    client.want(MANY[100])
    assert client.asked(CEE) == [MANY[100]]
    assert not client.tracker.has_outgoing(BOB) or client.sent(BOB) == [(CANCEL, A)]


def test_a_fixed_session_of_several_peers_asks_them_all_at_once() -> None:
    peers = peer_ids(20)
    client = Client(*peers)
    fixed = client.tracker.open_session(peers[:10])
    client.want(*MANY[:100], session=fixed)
    for peer in peers[:10]:
        assert len(client.sent(peer)) == 100
    assert asked(client, peers[10:]) == []


def test_a_fixed_session_does_not_wait_for_the_wave_that_its_peer_is_in() -> None:
    peers = peer_ids(40)
    client = Client(*peers)
    client.want(A)
    wave = asked(client, peers)
    late = [peer for peer in peers if peer not in wave][-1]
    fixed = client.tracker.open_session([late])
    client.want(A, session=fixed)
    assert client.sent(late) == [(WANT_HAVE, A)]
    client.dont_haves(late, A)
    assert [failure.session_id for failure in client.failures()] == [fixed]


def test_a_want_that_nobody_has_goes_over_to_the_session_that_waits() -> None:
    client = Client(ANN, BOB, searches=True)
    patient = client.tracker.open_session(wait=True)
    client.want(A)
    client.want(A, session=patient)
    client.sent(ANN), client.sent(BOB)
    client.dont_haves(ANN, A)
    client.sent(BOB)
    client.dont_haves(BOB, A)
    client.tracker.searched(A.multihash, 0, {})
    assert [failure.session_id for failure in client.failures()] == [client.session]
    client.tracker.add_peer(CEE)
    assert client.sent(CEE) == [(WANT_BLOCK, A)]
    assert client.block(CEE, A) == [patient]


# -- peers that come ------------------------------------------------------------------------------


def test_a_new_peer_is_asked_about_what_others_have_not_answered() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.tracker.add_peer(CEE)
    assert client.sent(CEE) == [(WANT_HAVE, A)]


def test_a_new_peer_is_asked_about_what_a_silent_peer_owes() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.want(B)
    client.sent(ANN)
    client.wait(0.2)
    client.tracker.add_peer(BOB)
    assert client.sent(BOB) == [(WANT_HAVE, B)]
    client.haves(BOB, B)
    assert client.sent(BOB) == [(WANT_BLOCK, B)]


def test_a_new_peer_is_not_asked_about_more_than_a_session_may() -> None:
    client = Client(ANN)
    client.want(*MANY)
    assert client.asked(ANN) == MANY  # the only one
    client.tracker.add_peer(BOB)
    assert len(client.sent(BOB)) == MAX_BROADCAST_WANTS


def test_a_claimed_want_is_offered_to_nobody() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    want = client.tracker.claim(ANN, A, 10, client.now)
    client.tracker.add_peer(BOB)
    assert client.sent(BOB) == []
    client.wait(IDLE_SECONDS + 1)
    assert client.sent(BOB) == []
    assert want is not None


# -- searches for providers -----------------------------------------------------------------------


def test_without_a_peer_providers_are_searched_for_at_once() -> None:
    client = Client(searches=True)
    client.want(A)
    assert client.searches() == [A]
    client.want(A)
    assert client.searches() == []
    client.tracker.searched(A.multihash, 0, {})
    (failure,) = client.failures()
    assert failure.providers == 0
    assert failure.peers == {}
    client.tracker.searched(A.multihash, 0, {})


def test_when_all_say_no_providers_are_searched_for() -> None:
    client = Client(ANN, BOB, searches=True)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.dont_haves(ANN, A)
    assert client.searches() == []
    client.sent(BOB)
    client.dont_haves(BOB, A)
    assert client.searches() == [A]


def test_a_provider_that_is_connected_is_asked_for_the_block_and_what_else_is_missing() -> None:
    client = Client(searches=True)
    client.want(A, B, C)
    assert client.searches() == [A, B, C]
    client.tracker.add_peer(ANN)
    client.tracker.provider_connected(A.multihash, ANN)
    client.tracker.provider_connected(A.multihash, BOB)  # gone again
    client.tracker.provider_connected(D.multihash, ANN)  # of what is not wanted
    assert client.asked(ANN) == [A, B, C]
    client.tracker.searched(A.multihash, 2, {CEE: PeerAnswer.UNREACHABLE})
    client.dont_haves(ANN, A)
    (failure,) = client.failures()
    assert failure.peers == {CEE: PeerAnswer.UNREACHABLE, ANN: PeerAnswer.DONT_HAVE}
    assert failure.providers == 2


def test_a_provider_that_could_not_be_reached_but_came_is_no_failure() -> None:
    client = Client(searches=True)
    client.want(A)
    client.tracker.add_peer(ANN)
    client.tracker.searched(A.multihash, 1, {ANN: PeerAnswer.UNREACHABLE})
    client.sent(ANN)
    client.dont_haves(ANN, A)
    (failure,) = client.failures()
    assert failure.peers == {ANN: PeerAnswer.DONT_HAVE}


def test_a_session_has_so_many_searches_at_once() -> None:
    client = Client(searches=True)
    client.want(*MANY[:20])
    assert client.searches() == MANY[:MAX_SEARCHES]
    client.tracker.unwant(client.session, MANY[8].multihash)
    client.tracker.searched(MANY[0].multihash, 0, {})
    assert client.searches() == [MANY[9]]
    client.tracker.close_session(client.session)
    for cid in MANY[1:10]:
        client.tracker.searched(cid.multihash, 0, {})
    assert client.tracker.take_outcomes() == []


def test_a_block_that_comes_while_it_waits_for_its_search_is_not_searched_for() -> None:
    client = Client(searches=True)
    client.want(*MANY[:20])
    assert len(client.searches()) == MAX_SEARCHES
    assert client.block(None, MANY[10]) == [client.session]
    for cid in MANY[:MAX_SEARCHES]:
        client.tracker.searched(cid.multihash, 0, {})
    assert MANY[10] not in client.searches()


def test_what_is_found_for_one_block_spares_the_search_for_others() -> None:
    client = Client(searches=True)
    client.want(*MANY[:20])
    client.searches()
    client.tracker.add_peer(ANN)
    client.tracker.provider_connected(MANY[0].multihash, ANN)
    client.tracker.searched(MANY[0].multihash, 1, {})
    assert client.searches() == []
    assert client.asked(ANN) == MANY[:20]
    client.dont_haves(ANN, MANY[15])
    assert client.searches() == [MANY[15]]


def test_a_block_wanted_anew_waits_for_the_search_that_is_under_way() -> None:
    client = Client(searches=True)
    client.want(A)
    client.tracker.unwant(client.session, A.multihash)
    client.want(A)
    assert client.searches() == [A]
    client.tracker.searched(A.multihash, 0, {})
    assert len(client.failures()) == 1


def test_a_provider_of_a_block_is_a_peer_of_all_sessions_that_search() -> None:
    client = Client(searches=True)
    alone = client.tracker.open_session([BOB], searches=True)
    client.tracker.add_peer(BOB)
    client.want(A, session=alone)
    client.sent(BOB)
    client.dont_haves(BOB, A)
    assert [failure.session_id for failure in client.failures()] == [alone]  # it does not search
    client.want(A)
    client.want(A, session=alone)
    assert [f.session_id for f in client.failures()] == []
    client.tracker.add_peer(ANN)
    client.tracker.provider_connected(A.multihash, ANN)
    assert client.tracker.knows_peers(client.session)
    assert not client.tracker.knows_peers(alone)


@pytest.mark.parametrize("wait", [False, True])
def test_a_session_that_gets_nothing_searches_and_again_after_a_while(wait: bool) -> None:
    client = Client(ANN)
    session = client.tracker.open_session(searches=True, wait=wait)
    client.want(A, session=session)
    client.sent(ANN)
    client.wait(IDLE_SECONDS - 0.1)
    assert client.searches() == []
    client.wait(0.2)
    assert client.searches() == [A]
    client.tracker.searched(A.multihash, 0, {})
    client.wait(SEARCH_INTERVAL_SECONDS - 10)
    assert client.searches() == []
    client.wait(25)
    assert client.searches() == [A]


def test_blocks_that_come_keep_a_session_from_searching() -> None:
    client = Client(ANN, searches=True)
    client.want(*MANY[:100])
    client.sent(ANN)
    for cid in MANY[:50]:
        client.wait(0.4)
        client.block(ANN, cid)
    assert client.searches() == []
    client.wait(2.0)  # half a second and three of the usual times
    assert client.searches() == [MANY[50]]


def test_an_idle_session_without_wants_asks_for_no_time() -> None:
    client = Client(ANN, searches=True)
    client.fetched_from(ANN, A)
    client.wait(1000)
    assert client.tracker.timers.next is None
    client.want(B)
    client.sent(ANN)
    client.wait(0.4)
    assert client.searches() == []


def test_a_patient_session_finds_who_comes_after_the_search() -> None:
    client = Client()
    patient = client.tracker.open_session(wait=True, searches=True)
    client.want(A, session=patient)
    client.tracker.searched(A.multihash, 0, {})
    assert client.failures() == []
    client.tracker.add_peer(ANN)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]


def test_a_block_that_comes_while_it_waits_to_be_asked_about_is_asked_of_nobody() -> None:
    client = Client(*peer_ids(50))
    waiting = MANY[MAX_BROADCAST_WANTS]
    client.want(*MANY)
    assert client.block(None, waiting) == [client.session]
    for cid in MANY[:MAX_BROADCAST_WANTS]:
        client.block(None, cid)
    assert all(cid != waiting for peer in peer_ids(50) for _, cid in client.sent(peer))


def test_a_search_that_ends_while_the_block_is_being_stored_says_nothing() -> None:
    client = Client(searches=True)
    client.want(A)
    assert client.searches() == [A]
    assert client.tracker.claim(None, A, 1, client.now) is not None
    client.tracker.searched(A.multihash, 0, {})
    assert client.failures() == []


def test_wants_that_are_not_broadcast_yet_go_to_a_peer_that_sends_a_block_at_once() -> None:
    client = Client(ANN, BOB)
    cids = MANY[: MAX_BROADCAST_WANTS + 5]
    client.want(*cids)
    assert len(client.sent(ANN)) == MAX_BROADCAST_WANTS
    assert client.block(ANN, cids[0]) == [client.session]
    assert client.asked(ANN) == cids[MAX_BROADCAST_WANTS:]


def test_a_search_is_not_lost_with_the_session_that_was_to_begin_it() -> None:
    client = Client(searches=True)
    client.want(*MANY[:MAX_SEARCHES], A)
    assert client.searches() == MANY[:MAX_SEARCHES]
    other = client.tracker.open_session(searches=True)
    client.want(A, session=other)
    assert client.searches() == []
    client.tracker.unwant(client.session, A.multihash)
    client.tracker.add_peer(ANN)
    client.sent(ANN)
    client.dont_haves(ANN, A)
    assert client.searches() == [A]


def test_a_want_block_that_was_not_sent_yet_is_not_sent_after_dont_have() -> None:
    client = Client(ANN, BOB)
    client.want(A, B)
    assert client.sent(ANN) == [(WANT_HAVE, A), (WANT_HAVE, B)]
    client.sent(BOB)
    client.haves(ANN, A, B)
    assert client.tracker.has_outgoing(ANN)
    client.dont_haves(ANN, A)
    assert client.sent(ANN) == [(WANT_BLOCK, B)]
