"""Blocks that do not come in time: silence, slowness, lies, and what a second copy costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.bitswap.config import (
    DONT_HAVE_TIMEOUT,
    DONT_HAVE_TIMEOUT_BASE,
    FREE_DUPLICATES,
    LATE_SECONDS,
    LIAR_SECONDS,
    MAX_DONT_HAVE_TIMEOUT,
    MAX_DONT_HAVES,
    MAX_OWED,
    MIN_DONT_HAVE_TIMEOUT,
    PRIOR_RATE,
    REBROADCAST_AFTER,
    REBROADCAST_INTERVAL,
    RETRY_PEER_SECONDS,
    TAKEOVER_SECONDS,
)
from libp2p.bitswap.errors import PeerAnswer
from tests.support.blocks import blocks
from tests.support.want_client import (
    ANN,
    BOB,
    CANCEL,
    CEE,
    DEE,
    WANT_BLOCK,
    WANT_HAVE,
    Client,
)

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

A, B, C, D, E, F = list(blocks(6))
MANY = list(blocks(400, 10))
SILENT = PeerAnswer.SILENT


def mates(client: Client, *peers: ID, seconds: float = 0.0) -> None:
    """Let each peer deliver a block of the session."""
    for number, peer in enumerate(peers):
        cid = MANY[-1 - number]
        client.want(cid)
        for other in client.tracker.peer_ids:
            client.sent(other)
        client.haves(peer, cid)
        client.sent(peer)
        client.now += seconds
        client.block(peer, cid)
        for other in client.tracker.peer_ids:
            client.sent(other)


def report(client: Client, cid: CID) -> dict[ID, PeerAnswer]:
    return client.tracker.report(client.session, cid.multihash)


# -- silence --------------------------------------------------------------------------------------


def test_silence_counts_from_when_the_want_was_written() -> None:
    client = Client(ANN)
    client.want(A)
    client.tracker.take_message(ANN)
    client.wait(2 * DONT_HAVE_TIMEOUT)
    assert report(client, A) == {ANN: SILENT}  # as is said of everybody without an answer
    assert not client.peer(ANN).distrusted_until
    client.tracker.message_written(ANN, client.now)
    client.wait(DONT_HAVE_TIMEOUT - 0.01)
    assert not client.peer(ANN).distrusted_until
    client.wait(0.02)
    assert client.peer(ANN).distrusted_until


def test_the_round_trip_of_the_connection_shortens_the_first_time_out() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN, round_trip=0.1)
    client.wait(DONT_HAVE_TIMEOUT_BASE + 0.3 - 0.01)
    assert not client.peer(ANN).distrusted_until
    client.wait(0.02)
    assert client.peer(ANN).distrusted_until


def test_a_peer_that_has_delivered_is_judged_by_its_own_latency() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A, seconds=0.4)
    client.want(B)
    client.sent(ANN)
    client.wait(0.79)
    assert not client.peer(ANN).distrusted_until
    client.wait(0.02)
    assert client.peer(ANN).distrusted_until


def test_a_silent_peer_keeps_its_want_and_a_late_block_is_welcome() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    client.wait(100)
    assert client.failures() == []
    assert client.block(ANN, A) == [client.session]
    assert not client.peer(ANN).distrusted_until


def test_the_block_of_a_silent_peer_is_asked_of_another_one_of_the_session() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    assert client.sent(BOB) == []
    client.wait(MIN_DONT_HAVE_TIMEOUT + 0.01)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    assert client.sent(ANN) == []  # it stays registered there
    assert report(client, A) == {ANN: SILENT, BOB: SILENT}
    assert client.block(ANN, A) == [client.session]
    assert client.sent(BOB) == [(CANCEL, A)]


def test_a_silent_stranger_is_no_reason_to_ask_everybody_at_once() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.tracker.add_peer(BOB)
    client.want(B)
    client.sent(ANN)
    client.wait(0.9)
    assert client.sent(BOB) == []
    client.wait(0.2)  # the session has been idle for a second
    assert client.sent(BOB) == [(WANT_HAVE, B)]
    client.haves(BOB, B)
    assert client.sent(BOB) == [(WANT_BLOCK, B)]
    assert client.block(BOB, B) == [client.session]
    assert client.sent(ANN) == [(CANCEL, B)]


def test_when_all_are_silent_nobody_is_asked_twice() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.haves(BOB, A)
    said = []
    for _ in range(25):
        said += client.sent(ANN) + client.sent(BOB)
        client.wait(1)
    assert sorted(said) == [(WANT_BLOCK, A), (WANT_BLOCK, A)]
    assert client.block(BOB, A) == [client.session]


def test_a_silent_peer_that_says_dont_have_in_the_end_is_no_hope_any_more() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.wait(1)
    client.sent(BOB)
    client.dont_haves(ANN, A)
    assert client.failures() == []
    client.dont_haves(BOB, A)
    assert len(client.failures()) == 1


def test_what_is_taken_back_is_not_late() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    client.wait(DONT_HAVE_TIMEOUT - 1)
    client.tracker.unwant(client.session, A.multihash)
    client.sent(ANN)
    client.wait(10)
    assert not client.peer(ANN).times_distrusted


def test_what_is_wanted_again_has_its_time_again() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    client.wait(DONT_HAVE_TIMEOUT - 1)
    client.tracker.unwant(client.session, A.multihash)
    client.want(A)
    client.sent(ANN)
    client.sent(ANN)
    client.wait(DONT_HAVE_TIMEOUT - 0.1)
    assert not client.peer(ANN).times_distrusted
    client.wait(0.2)
    assert client.peer(ANN).times_distrusted == 1


def test_a_peer_that_is_gone_is_not_late() -> None:
    client = Client(ANN)
    patient = client.tracker.open_session(wait=True)
    client.want(A, session=patient)
    client.sent(ANN)
    client.tracker.remove_peer(ANN)
    client.tracker.close_session(patient)
    assert client.tracker.timers.next is None


def test_a_silent_peer_is_what_is_left_until_somebody_comes() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.wait(0.1)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    client.dont_haves(BOB, A)
    assert client.failures() == []
    assert client.sent(ANN) == []  # it has been asked
    client.tracker.add_peer(CEE)
    assert client.sent(CEE) == [(WANT_HAVE, A)]
    client.haves(CEE, A)
    assert client.sent(CEE) == [(WANT_BLOCK, A)]


# -- a peer at work -------------------------------------------------------------------------------


def test_who_streams_many_blocks_is_not_late_with_the_last_ones() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB, seconds=0.05)
    client.tracker.remove_peer(BOB)
    client.want(*MANY[:300])
    assert len(client.asked(ANN)) == 300
    client.tracker.add_peer(BOB)
    for cid in MANY[:300]:
        client.wait(0.09)
        assert not client.peer(ANN).distrusted_until
        assert client.block(ANN, cid) == [client.session]


def test_bytes_that_come_are_progress() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.want(B)
    client.sent(ANN)
    for _ in range(100):
        client.wait(0.04)
        client.tracker.bytes_arrived(ANN, 100, client.now)
    assert not client.peer(ANN).distrusted_until
    client.wait(0.06)
    assert client.peer(ANN).distrusted_until
    client.tracker.bytes_arrived(BOB, 100, client.now)


def test_bytes_are_progress_only_up_to_what_may_come_before_the_blocks() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.want(B)
    client.sent(ANN)
    for _ in range(100):  # 10 MB of anything but the block
        client.wait(0.04)
        client.tracker.bytes_arrived(ANN, 100_000, client.now)
    assert client.peer(ANN).times_distrusted


def test_pending_bytes_say_what_comes_before() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.tracker.heard(ANN, pending_bytes=10_000_000)
    client.tracker.heard(BOB, pending_bytes=10_000_000)
    client.want(B)
    client.sent(ANN)
    for _ in range(100):
        client.wait(0.04)
        client.tracker.bytes_arrived(ANN, 100_000, client.now)
    assert not client.peer(ANN).distrusted_until


def test_pending_bytes_make_a_peer_one_of_the_second_choice() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.tracker.heard(ANN, pending_bytes=50_000_000)
    client.want(A, B, C)
    assert client.asked(BOB) == [A, B, C]
    client.tracker.heard(ANN, pending_bytes=0)
    client.want(D)
    assert client.asked(ANN) == [D]


def test_a_block_that_is_passed_over_is_late_though_others_come() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB, seconds=0.02)
    client.tracker.remove_peer(BOB)
    client.want(A)
    client.sent(ANN)
    client.tracker.add_peer(BOB)
    for cid in MANY[:20]:
        client.want(cid)
        client.sent(ANN)
        client.wait(0.02)
        client.block(ANN, cid)
    assert report(client, A)[ANN] is SILENT
    assert client.sent(BOB) == []  # no peer of the session any more: it has been away


@pytest.mark.parametrize("answer", ["block", "dont have"])
def test_what_was_asked_later_is_judged_when_what_was_asked_before_has_come(answer: str) -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A, seconds=0.1)
    client.want(B)
    client.sent(ANN)
    client.wait(0.15)
    client.want(C)
    client.sent(ANN)
    if answer == "block":
        client.block(ANN, B)
    else:
        client.dont_haves(ANN, B)
    client.wait(0.19)
    assert not client.peer(ANN).distrusted_until
    client.wait(0.2)
    assert client.peer(ANN).distrusted_until


def test_we_are_late_ourselves_before_a_peer_is() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.now += 10  # the loop stood still
    client.tracker.tick(client.now)
    assert client.sent(BOB) == []
    client.wait(LATE_SECONDS / 2)
    assert client.block(ANN, A) == [client.session]
    client.want(B)
    client.sent(ANN)
    client.now += 10
    client.tracker.tick(client.now)
    client.wait(2 * LATE_SECONDS)
    assert client.sent(BOB) == [(WANT_BLOCK, B)]


# -- lies and doubt -------------------------------------------------------------------------------


def test_who_promises_and_sends_nothing_is_asked_last() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.sent(ANN)
    client.wait(DONT_HAVE_TIMEOUT + 0.1)
    client.haves(BOB, A)
    client.block(BOB, A)
    client.haves(ANN, *MANY[:10])  # more promises, of what was not asked
    client.want(B)
    assert client.asked(BOB) == [B]
    assert client.asked(ANN) == []


def test_a_promise_repeated_is_no_block() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(A)
    client.sent(ANN)
    for _ in range(10):
        client.wait(0.04)
        client.haves(ANN, A)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    assert client.peer(ANN).distrusted_until


def test_distrust_ends_after_a_while_and_lasts_longer_each_time() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    for number, cid in enumerate(MANY[:8]):
        client.want(cid)
        client.sent(ANN)
        client.wait(0.1)
        began = client.now
        assert client.peer(ANN).distrusted_until > client.now
        client.tracker.unwant(client.session, cid.multihash)
        while client.peer(ANN).distrusted_until:
            client.wait(0.1)
        assert client.now - began == pytest.approx(LIAR_SECONDS * 2**number, rel=0.2)


def test_a_late_block_ends_distrust_also_if_it_is_a_duplicate() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.wait(0.1)
    client.sent(BOB)
    client.block(BOB, A)
    assert client.peer(ANN).distrusted_until
    assert client.tracker.claim(ANN, A, 10, client.now) is None
    assert client.tracker.duplicate(ANN, A) == (client.session,)
    assert not client.peer(ANN).distrusted_until


def test_the_seventeenth_no_in_a_row_ends_the_part_of_a_peer_in_a_session() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    for count, cid in enumerate(MANY[: MAX_DONT_HAVES + 1], 1):
        assert ANN in client.tracker.peers_of(client.session)
        client.want(cid)
        client.asked(ANN), client.asked(BOB)
        client.dont_haves(ANN, cid)
        client.dont_haves(ANN, cid)  # one that is repeated is one
        assert client.peer(ANN).dont_haves.get(client.session, count) == count
        client.block(BOB, cid)
        client.asked(ANN)
    assert ANN not in client.tracker.peers_of(client.session)
    client.want(A)
    client.asked(BOB)
    assert client.sent(ANN) == []
    client.dont_haves(BOB, A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]  # a stranger again, and the last one
    client.haves(ANN, A)
    assert ANN in client.tracker.peers_of(client.session)


def test_silence_counts_as_a_no_and_a_block_makes_up_for_all_of_them() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.want(*MANY[:MAX_DONT_HAVES])
    client.sent(ANN)
    client.wait(1)
    assert client.peer(ANN).dont_haves == {client.session: MAX_DONT_HAVES}
    client.block(ANN, MANY[0])
    assert client.peer(ANN).dont_haves == {client.session: 0}
    client.want(*MANY[20 : 21 + MAX_DONT_HAVES])
    client.sent(ANN)
    client.wait(3)
    assert client.tracker.peers_of(client.session) == set()


def test_who_has_said_have_of_a_wanted_block_stays() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    client.want(C)
    client.sent(ANN)
    client.dont_haves(ANN, C)  # from now on several peers are told of each want
    client.sent(BOB)
    client.block(BOB, C)
    fixed = client.tracker.open_session([BOB])
    client.want(A, session=fixed)
    client.sent(BOB)
    client.want(A)
    for cid in MANY[: 2 * MAX_DONT_HAVES]:
        client.want(cid)
        client.sent(ANN), client.sent(BOB)
        client.haves(BOB, cid)
        client.dont_haves(ANN, cid)
        if cid == MANY[0]:
            client.want(B)
            client.sent(ANN), client.sent(BOB)
            client.haves(ANN, B)
        client.block(BOB, cid)
    assert ANN in client.tracker.peers_of(client.session)


# -- quicker peers --------------------------------------------------------------------------------


def let_blocks_come_twice(client: Client) -> None:
    """Let one peer take over from another that sends all the same, until that is too often."""
    for cid in MANY[100 : 101 + FREE_DUPLICATES]:
        client.has_shown(ANN, 1e9)
        client.has_shown(BOB, 1)
        client.want(cid)
        assert client.asked(ANN) == [cid]
        client.has_shown(BOB, 1e9)
        client.wait(0.3)
        assert client.asked(BOB) == [cid]
        client.block(BOB, cid)
        client.block(ANN, cid)
        client.sent(ANN)


def test_wants_go_where_they_are_expected_first() -> None:
    client = Client(ANN, BOB, block_size=100_000)
    mates(client, ANN, BOB)
    client.has_shown(ANN, 10_000)
    client.has_shown(BOB, 10_000_000)
    client.want(*MANY[:300])
    assert client.asked(ANN) == []
    assert len(client.asked(BOB)) == 300
    client.has_shown(ANN, 1_000_000)
    client.want(*MANY[300:340])
    assert 28 < len(client.asked(ANN)) < 32  # three seconds of it, as three of the other


def test_a_new_peer_gets_little_before_it_has_shown_what_it_does() -> None:
    client = Client(ANN, BOB, block_size=PRIOR_RATE)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.haves(BOB, A)
    client.sent(ANN)
    client.block(ANN, A)
    client.has_shown(ANN, 10 * PRIOR_RATE)
    client.want(B)
    client.sent(BOB)
    assert client.tracker.peers_of(client.session) == {ANN, BOB}
    client.want(*MANY[:32])
    assert len(client.asked(BOB)) <= 3


def test_an_idle_peer_takes_over_from_a_silent_one_before_its_time_is_over() -> None:
    client = Client(ANN, BOB, block_size=1000)
    mates(client, ANN, BOB)
    client.has_shown(ANN, 1e6, latency=1.0)
    client.has_shown(BOB, 1e6)
    client.tracker.heard(BOB, pending_bytes=10_000_000)
    client.want(A)
    assert client.asked(ANN) == [A]
    client.tracker.heard(BOB)
    client.now += 1.9
    client.want(B)
    assert client.asked(BOB) == [B]
    client.now += 0.001
    client.block(BOB, B)
    assert client.asked(BOB) == []  # that is still usual
    client.now += 0.1
    client.want(C)
    assert client.asked(BOB) == [C]
    client.now += 0.001
    client.block(BOB, C)
    assert client.asked(BOB) == [A]
    assert client.peer(ANN).distrusted_until


def test_nothing_is_taken_over_by_a_peer_that_is_no_quicker() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    for peer in (ANN, BOB):
        client.has_shown(peer, 1e6, latency=0.04)
    client.want(A)
    client.sent(ANN)
    client.wait(0.079)
    assert client.sent(BOB) == []


def test_one_that_nothing_is_known_of_gets_one_block_to_show() -> None:
    client = Client(ANN, BOB, CEE)
    client.want(*MANY[:10])
    for peer in (ANN, BOB, CEE):
        client.sent(peer)
        client.haves(peer, *MANY[:10])
    assert len(client.asked(ANN)) == 10
    client.wait(TAKEOVER_SECONDS + 0.01)
    shown = client.asked(BOB) + client.asked(CEE)
    assert sorted(shown) == sorted(MANY[:2])
    client.wait(0.001)
    client.block(BOB, shown[0])  # it does deliver
    for _ in range(40):
        client.wait(0.01)
        for cid in client.asked(BOB):
            client.block(BOB, cid)
    assert client.tracker.wantlist() == []
    assert client.asked(CEE) == []


def test_a_slow_peer_keeps_what_it_is_about_to_send_and_no_more() -> None:
    client = Client(ANN, BOB, block_size=10_000)
    mates(client, ANN, BOB)
    client.has_shown(BOB, 1)
    client.want(*MANY[:20])
    assert client.asked(ANN) == MANY[:20]
    client.has_shown(ANN, 100_000)
    client.has_shown(BOB, 100_000_000)
    for _ in range(5):
        client.wait(0.02)
        client.tracker.bytes_arrived(ANN, 2000, client.now)
    # A tenth of a second each: what is farther off than a quarter goes to the quick one.
    moved = client.asked(BOB)
    assert sorted(moved) == sorted(MANY[2:20])
    assert client.sent(ANN) == [(CANCEL, cid) for cid in moved]
    client.has_shown(ANN, 1000)  # now what it is about to send takes ten seconds, too
    client.wait(0.05)
    client.tracker.bytes_arrived(ANN, 2000, client.now)
    client.wait(0.05)
    assert sorted(client.asked(BOB)) == sorted(MANY[:2])
    assert client.sent(ANN) == []  # one of them may be on its way
    client.wait(RETRY_PEER_SECONDS + 1)
    assert client.peer(ANN).bytes_per_second == 0.0  # it may be better by now


def test_when_too_many_come_twice_a_slow_peer_may_send_what_it_is_about_to() -> None:
    client = Client(ANN, BOB, block_size=10_000)
    mates(client, ANN, BOB)
    let_blocks_come_twice(client)
    client.has_shown(ANN, 1e9)
    client.has_shown(BOB, 1.0)
    client.want(*MANY[:5])
    assert len(client.asked(ANN)) == 5
    client.has_shown(ANN, 1000)
    client.has_shown(BOB, 1e9)
    for _ in range(4):
        client.wait(0.02)
        client.tracker.bytes_arrived(ANN, 20, client.now)
    assert sorted(client.asked(BOB)) == sorted(MANY[2:5])


def test_what_has_not_been_sent_to_a_slow_peer_moves_without_a_word() -> None:
    client = Client(ANN, BOB, max_wants=1, block_size=10_000)
    mates(client, ANN, BOB)
    client.has_shown(ANN, 1e7)
    client.has_shown(BOB, 1e3)
    client.want(A, B, C, D, E, F)
    assert client.asked(ANN) == [A]
    client.has_shown(ANN, 1e3)
    client.has_shown(BOB, 1e7)
    client.tracker.bytes_arrived(ANN, 1, client.now)
    client.wait(0.04)
    client.tracker.bytes_arrived(ANN, 1, client.now)
    client.wait(0.04)
    assert client.tracker.has_outgoing(BOB)
    assert client.sent(ANN) == []
    assert report(client, F) == {BOB: SILENT}


def test_copies_are_bounded_in_number() -> None:
    client = Client(ANN, BOB, CEE, DEE)
    mates(client, ANN, BOB, CEE, DEE)
    for peer in (ANN, BOB, CEE, DEE):
        client.has_shown(peer, 1e6)
    client.want(A)
    said = 0
    for _ in range(20):
        said += sum(len(client.asked(peer)) for peer in (ANN, BOB, CEE, DEE))
        client.wait(0.01)
    # Each is late, and is asked no more while the others are: all of them in the end, not at once.
    assert 2 <= said <= 4


def test_when_too_many_come_twice_only_long_silence_makes_a_copy() -> None:
    client = Client(ANN, BOB)
    mates(client, ANN, BOB)
    let_blocks_come_twice(client)
    client.want(A)
    (holder,) = (peer for peer in (ANN, BOB) if client.asked(peer))
    other = BOB if holder is ANN else ANN
    client.wait(DONT_HAVE_TIMEOUT_BASE - 0.5)
    assert client.asked(other) == []
    client.wait(1)
    assert client.asked(other) == [A]


def test_blocks_that_may_still_come_twice_are_remembered_up_to_a_bound() -> None:
    cids = list(blocks(MAX_OWED + 5, 10))
    client = Client(ANN, max_wants=len(cids))
    client.want(*cids)
    assert len(client.asked(ANN)) == len(cids)
    client.tracker.add_peer(BOB)
    for cid in cids:
        client.block(BOB, cid)
    assert client.peer(ANN).may_come_twice == MAX_OWED


# -- saying it again ------------------------------------------------------------------------------


def test_what_is_not_answered_is_said_again_after_a_while() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.dont_haves(BOB, A)
    client.sent(ANN)
    times = []
    begin = client.now
    while client.now < begin + 80:
        client.wait(1)
        assert client.sent(BOB) == []  # that one has answered
        if said := client.sent(ANN):
            assert said == [(WANT_BLOCK, A)]
            times.append(round(client.now - begin))
    assert times == [REBROADCAST_AFTER + REBROADCAST_INTERVAL * n for n in range(4)]
    assert client.block(ANN, A) == [client.session]
    client.wait(100)
    assert client.sent(ANN) == []


def test_what_is_taken_back_is_not_said_again() -> None:
    client = Client(ANN)
    client.want(A, B, C)
    client.sent(ANN)
    client.wait(REBROADCAST_AFTER + 0.5)
    client.tracker.unwant(client.session, A.multihash)
    client.dont_haves(ANN, B)
    assert client.sent(ANN) == [(CANCEL, A), (CANCEL, B), (WANT_BLOCK, C)]


def test_saying_it_again_needs_no_room_and_leaves_some() -> None:
    client = Client(ANN, max_wants=2)
    client.want(A, B, C, D)
    assert len(client.sent(ANN)) == 2
    client.wait(REBROADCAST_AFTER + 0.5)
    assert client.tracker.has_outgoing(ANN)
    assert client.sent(ANN) == [(WANT_BLOCK, A), (WANT_BLOCK, B)]
    assert not client.tracker.has_outgoing(ANN)
    client.block(ANN, B)
    client.wait(REBROADCAST_INTERVAL)
    assert client.sent(ANN) == [(WANT_BLOCK, C), (WANT_BLOCK, A)]


def test_a_want_that_is_more_than_before_is_not_taken_for_a_repetition() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.wait(REBROADCAST_AFTER - 1)
    client.haves(ANN, A)
    client.tracker.tick(client.now + 1.5)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.wait(2)
    assert client.sent(ANN) == []


def test_who_was_asked_before_is_not_asked_again_when_nobody_else_is_left() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    for peer in (ANN, BOB):
        client.sent(peer)
        client.haves(peer, A)
    assert client.asked(ANN) == [A]
    client.wait(MAX_DONT_HAVE_TIMEOUT + 1)
    assert client.asked(BOB) == [A]
    client.dont_haves(BOB, A)
    assert client.asked(ANN) == []
    assert client.failures() == []
    assert client.block(ANN, A) == [client.session]
