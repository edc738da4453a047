"""Blocks that nobody asked for, in place of those that were asked for; and those that are late."""

from __future__ import annotations

from libp2p.bitswap.config import MAX_OWED
from libp2p.bitswap.errors import PeerAnswer
from tests.support.blocks import blocks
from tests.support.want_client import ANN, BOB, WANT_BLOCK, WANT_HAVE, Client

A, B, C, D = list(blocks(4))
MANY = list(blocks(MAX_OWED + 2, 10))
UNASKED = PeerAnswer.UNASKED


def asked_of_ann(*cids: object, **options: bool) -> Client:
    client = Client(ANN, **options)
    client.want(*cids)  # type: ignore[arg-type]
    client.sent(ANN)
    return client


def test_another_block_in_place_of_the_only_one_is_a_no() -> None:
    client = asked_of_ann(A)
    client.tracker.unasked(ANN)
    (failure,) = client.failures()
    assert failure.peers == {ANN: UNASKED}


def test_of_several_it_is_the_one_that_is_left() -> None:
    client = asked_of_ann(A, B, C)
    client.tracker.unasked(ANN)
    assert client.failures() == []
    client.block(ANN, A)
    assert client.failures() == []
    client.block(ANN, C)
    assert [failure.cid for failure in client.failures()] == [B]


def test_a_dont_have_leaves_one_less_as_well() -> None:
    client = asked_of_ann(A, B)
    client.tracker.unasked(ANN)
    client.dont_haves(ANN, A)
    failures = {failure.cid: failure.peers for failure in client.failures()}
    assert failures == {A: {ANN: PeerAnswer.DONT_HAVE}, B: {ANN: UNASKED}}


def test_it_belongs_to_the_oldest_message_that_is_not_done() -> None:
    client = asked_of_ann(A)
    client.want(B)
    client.sent(ANN)
    client.tracker.unasked(ANN)
    assert [failure.cid for failure in client.failures()] == [A]
    client.tracker.unasked(ANN)
    assert [failure.cid for failure in client.failures()] == [B]


def test_it_may_answer_a_want_have() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    assert client.sent(ANN) == client.sent(BOB) == [(WANT_HAVE, A)]
    client.tracker.unasked(ANN)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]  # the only one that is left
    client.dont_haves(BOB, A)
    (failure,) = client.failures()
    assert failure.peers == {ANN: UNASKED, BOB: PeerAnswer.DONT_HAVE}


def test_it_may_be_any_of_several_want_haves() -> None:
    client = Client(ANN, BOB)
    client.want(A, B)
    client.sent(ANN)
    client.sent(BOB)
    client.tracker.unasked(ANN)
    assert client.sent(BOB) == []
    # What is asked next is no answer to it.
    client.want(C)
    client.sent(ANN)
    client.tracker.unasked(ANN, 2)
    assert client.sent(BOB) == [(WANT_HAVE, C)]
    client.dont_haves(ANN, A)
    assert client.sent(BOB) == [(WANT_BLOCK, A), (WANT_BLOCK, B), (WANT_BLOCK, C)]


def test_what_it_says_of_having_the_block_is_not_believed_any_more() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.sent(BOB)
    client.tracker.unasked(ANN)
    client.haves(ANN, A)
    client.dont_haves(ANN, A)
    assert client.tracker.report(client.session, A.multihash)[ANN] is UNASKED
    assert client.asked(ANN) == []
    client.tracker.remove_peer(ANN)
    client.dont_haves(BOB, A)
    assert [failure.cid for failure in client.failures()] == [A]


def test_a_right_block_is_welcome_all_the_same() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.sent(BOB)
    client.tracker.unasked(ANN)
    assert client.block(ANN, A) == [client.session]


def test_who_owes_nothing_costs_nothing_by_it() -> None:
    client = asked_of_ann(A)
    client.block(ANN, A)
    client.tracker.unasked(ANN, 100)
    client.tracker.unasked(BOB)  # who is gone
    client.want(B)
    client.sent(ANN)
    assert client.failures() == []
    assert client.block(ANN, B) == [client.session]


def test_a_silent_peer_may_wake_up_with_another_block() -> None:
    client = asked_of_ann(A)
    client.wait(20)
    assert client.failures() == []
    client.tracker.unasked(ANN)
    assert [failure.cid for failure in client.failures()] == [A]


def test_a_block_that_is_being_stored_is_no_longer_waited_for() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN)
    client.sent(BOB)
    assert client.tracker.claim(BOB, A, 1, client.now) is not None
    client.tracker.unasked(ANN)
    assert client.failures() == []


def test_a_block_of_a_cancelled_want_is_late_once() -> None:
    client = asked_of_ann(A)
    client.tracker.unwant(client.session, A.multihash)
    assert client.tracker.is_late(ANN, A)
    assert not client.tracker.is_late(ANN, A)
    assert not client.tracker.is_late(ANN, B)
    assert not client.tracker.is_late(BOB, A)


def test_of_cancelled_wants_the_latest_are_remembered() -> None:
    client = Client(ANN, max_wants=2 * MAX_OWED)
    client.want(*MANY)
    client.sent(ANN)
    for cid in MANY:
        client.tracker.unwant(client.session, cid.multihash)
    assert [client.tracker.is_late(ANN, cid) for cid in MANY] == [False] * 2 + [True] * MAX_OWED
