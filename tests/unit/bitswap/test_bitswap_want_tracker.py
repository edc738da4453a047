"""The client's core: who is asked for what, who is next, and when there is nobody left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.bitswap.config import (
    DONT_HAVE_TIMEOUT,
    MAX_LOST_PEERS,
    MAX_RESETS,
    RECENT_BLOCKS,
    RETRY_PEER_SECONDS,
    WANT_HAVE_PEERS,
)
from libp2p.bitswap.errors import (
    BlockNotFoundError,
    BlockUnavailableError,
    PeerAnswer,
    describe_peers,
    timed_out,
    unavailable,
)
from libp2p.bitswap.want.tracker import Found
from libp2p.ipld.cid import CID
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
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.bitswap.want.tracker import Unavailable
    from libp2p.peer.id import ID

A, B, C, D = list(blocks(4))


def answers(failures: Iterable[Unavailable]) -> list[dict[ID, PeerAnswer]]:
    return [failure.peers for failure in failures]


# -- whom to ask ----------------------------------------------------------------------------------


def test_the_only_peer_is_asked_for_the_block_at_once() -> None:
    client = Client(ANN)
    client.want(A, B)
    assert client.ready == {ANN}
    assert client.sent(ANN) == [(WANT_BLOCK, A), (WANT_BLOCK, B)]
    assert client.sent(ANN) == []
    assert client.block(ANN, A) == [client.session]
    assert client.tracker.wantlist() == [B]
    assert not client.tracker.has_outgoing(ANN)  # delivering it ended the want over there


def test_of_several_strangers_the_first_to_say_have_is_asked_for_the_block() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    assert client.sent(ANN) == client.sent(BOB) == [(WANT_HAVE, A)]
    client.haves(BOB, A)
    assert client.ready >= {BOB}
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    client.haves(ANN, A)
    assert client.sent(ANN) == []
    assert client.block(BOB, A) == [client.session]
    assert client.sent(ANN) == [(CANCEL, A)]


def test_a_session_asks_its_best_peer_and_tells_others_only_where_that_is_of_use() -> None:
    client = Client(ANN, BOB, CEE)
    client.want(A)
    for peer in (ANN, BOB, CEE):
        client.sent(peer)
    client.haves(ANN, A)
    client.haves(BOB, A)
    client.sent(ANN)
    client.block(ANN, A)
    assert client.sent(BOB) == [(CANCEL, A)]
    client.want(B, C)
    # Both are known to the session. One has delivered: the other need not be told of its want.
    assert client.sent(ANN) == [(WANT_BLOCK, B), (WANT_HAVE, C)]
    assert client.sent(BOB) == [(WANT_BLOCK, C)]
    assert client.sent(CEE) == [(CANCEL, A)]
    client.dont_haves(ANN, B)  # so that somebody may not have all of it
    client.want(D)
    client.sent(BOB)
    client.block(BOB, C)
    assert (WANT_BLOCK, D) in client.sent(ANN)
    assert client.tracker.report(client.session, D.multihash).keys() == {ANN, BOB}


def test_only_some_peers_of_a_large_session_are_told() -> None:
    peers = peer_ids(20)
    client = Client(*peers, local=True)
    client.want(A)
    for peer in peers:
        client.sent(peer)
        client.haves(peer, A)
        client.sent(peer)
    client.want(B)
    asked = [message for peer in peers for message in client.sent(peer)]
    assert sorted(kind for kind, _ in asked) == [WANT_BLOCK] + [WANT_HAVE] * WANT_HAVE_PEERS


def test_a_stranger_that_has_delivered_before_is_trusted_with_a_want() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.tracker.add_peer(BOB)
    other = client.tracker.open_session()
    client.want(B, session=other)
    assert client.sent(ANN) == [(WANT_BLOCK, B)]
    assert client.sent(BOB) == [(WANT_HAVE, B)]


def test_a_dont_have_of_the_holder_makes_the_next_one_the_holder() -> None:
    client = Client(ANN, BOB, CEE)
    client.want(A)
    for peer in (ANN, BOB, CEE):
        client.sent(peer)
    client.haves(ANN, A)
    client.haves(BOB, A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.dont_haves(ANN, A)  # it has lost it since
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    client.dont_haves(BOB, A)
    client.haves(CEE, A)
    assert client.sent(CEE) == [(WANT_BLOCK, A)]
    assert client.failures() == []


def test_when_the_peers_of_the_session_do_not_have_it_all_are_asked() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.tracker.add_peer(BOB)
    client.tracker.add_peer(CEE)
    client.want(B)
    assert client.sent(ANN) == [(WANT_BLOCK, B)]
    assert client.sent(BOB) == []
    client.dont_haves(ANN, B)
    assert client.sent(BOB) == client.sent(CEE) == [(WANT_HAVE, B)]
    client.dont_haves(BOB, B)
    assert client.sent(CEE) == [(WANT_BLOCK, B)]  # the last one need not be asked first


def test_a_new_peer_is_asked_for_what_nobody_proven_is_to_send() -> None:
    client = Client()
    waiting = client.tracker.open_session(wait=True)
    client.want(A, session=waiting)
    client.tracker.add_peer(ANN)
    client.tracker.add_peer(ANN)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.tracker.add_peer(BOB)
    assert client.sent(BOB) == [(WANT_HAVE, A)]  # nothing is known of the first one
    client.haves(BOB, A)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]  # of this one it is
    client.block(BOB, A)
    client.want(B, session=waiting)
    client.sent(BOB)
    client.tracker.add_peer(CEE)
    assert client.sent(CEE) == []  # the holder has proved itself
    assert client.sent(ANN) == [(CANCEL, A)]


def test_a_new_peer_is_not_asked_for_sessions_that_are_not_its() -> None:
    client = Client(ANN)
    fixed = client.tracker.open_session([ANN])
    client.want(A, session=fixed)
    client.sent(ANN)
    client.tracker.add_peer(BOB)
    assert client.sent(BOB) == []


def test_an_ordinary_holder_keeps_its_want_when_another_says_have() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.sent(ANN)
    client.haves(BOB, A)
    assert client.sent(BOB) == []


# -- nobody left ----------------------------------------------------------------------------------


def test_without_peers_a_want_fails_at_once() -> None:
    client = Client()
    client.want(A)
    (failure,) = client.failures()
    assert failure.peers == {}
    assert (failure.session_id, failure.cid) == (client.session, A)
    assert client.tracker.wantlist() == []


def test_when_everybody_says_no_the_want_fails_and_names_them() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.dont_haves(ANN, A)
    assert client.failures() == []
    client.sent(BOB)
    client.dont_haves(BOB, A)
    no = PeerAnswer.DONT_HAVE
    assert answers(client.failures()) == [{ANN: no, BOB: no}]
    assert client.sent(ANN) == client.sent(BOB) == [(CANCEL, A)]


def test_a_provider_that_dies_is_named_and_others_take_over() -> None:
    client = Client(ANN, BOB)
    client.want(A, B)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A, B)
    client.haves(BOB, A)
    client.dont_haves(BOB, B)
    client.sent(ANN)
    client.tracker.remove_peer(ANN)
    client.tracker.remove_peer(ANN)
    assert client.sent(BOB) == [(CANCEL, B), (WANT_BLOCK, A)]
    assert answers(client.failures()) == [{ANN: PeerAnswer.DISCONNECTED, BOB: PeerAnswer.DONT_HAVE}]
    client.tracker.remove_peer(BOB)
    gone = PeerAnswer.DISCONNECTED
    assert answers(client.failures()) == [{ANN: gone, BOB: gone}]


def test_a_provider_lost_between_two_wants_is_named_until_there_is_another() -> None:
    client = Client(ANN, BOB)
    client.fetched_from(ANN, A)
    client.tracker.remove_peer(BOB)
    client.tracker.remove_peer(ANN, PeerAnswer.UNREACHABLE)
    client.want(B)
    assert answers(client.failures()) == [{ANN: PeerAnswer.UNREACHABLE}]
    client.tracker.add_peer(BOB)
    client.want(B)
    client.sent(BOB)
    client.dont_haves(BOB, B)
    assert answers(client.failures()) == [{BOB: PeerAnswer.DONT_HAVE}]
    client.fetched_from(BOB, C)
    client.tracker.remove_peer(BOB)
    client.want(B)
    assert answers(client.failures()) == [{BOB: PeerAnswer.DISCONNECTED}]


def test_a_peer_that_cannot_be_asked_counts_as_asked() -> None:
    client = Client(ANN)
    client.want(A)
    client.tracker.peer_failed(ANN, PeerAnswer.NOT_SUPPORTED, client.now)
    assert answers(client.failures()) == [{ANN: PeerAnswer.NOT_SUPPORTED}]
    client.want(B)
    assert answers(client.failures()) == [{ANN: PeerAnswer.NOT_SUPPORTED}]
    assert client.sent(ANN) == []


def test_a_peer_that_could_not_be_asked_is_tried_again_after_a_while_or_when_it_speaks() -> None:
    client = Client(ANN)
    client.tracker.peer_failed(ANN, PeerAnswer.UNRESPONSIVE, client.now)
    client.now += RETRY_PEER_SECONDS - 1
    client.want(A)
    assert len(client.failures()) == 1
    client.now += 1
    client.want(A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.tracker.peer_failed(ANN, PeerAnswer.UNRESPONSIVE, client.now)
    assert len(client.failures()) == 1
    client.tracker.heard(ANN)
    client.want(A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.tracker.peer_failed(ANN, PeerAnswer.UNRESPONSIVE, client.now)
    client.tracker.remove_peer(ANN)


def test_a_patient_session_waits_for_who_may_come() -> None:
    client = Client(ANN)
    patient = client.tracker.open_session(wait=True)
    client.want(A, session=patient)
    client.sent(ANN)
    client.dont_haves(ANN, A)
    client.tracker.remove_peer(ANN)
    assert client.failures() == []
    client.tracker.add_peer(BOB)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    assert client.block(BOB, A) == [patient]


def test_the_report_says_what_everybody_said_so_far() -> None:
    client = Client(ANN, BOB, CEE)
    client.want(A)
    for peer in (ANN, BOB, CEE):
        client.sent(peer)
    client.haves(ANN, A)
    client.dont_haves(BOB, A)
    report = client.tracker.report(client.session, A.multihash)
    assert report == {ANN: PeerAnswer.HAVE, BOB: PeerAnswer.DONT_HAVE, CEE: PeerAnswer.SILENT}
    assert client.tracker.report(client.session, B.multihash) == {}
    assert client.tracker.report(99, A.multihash) == {}


def test_errors_name_the_block_and_the_peers() -> None:
    error = unavailable(A, {ANN: PeerAnswer.DONT_HAVE})
    assert isinstance(error, BlockNotFoundError)
    assert error.cid == A
    assert str(A) in str(error)
    assert f"{ANN} does not have it" in str(error)
    error = unavailable(A, {ANN: PeerAnswer.DONT_HAVE, BOB: PeerAnswer.DISCONNECTED})
    assert type(error) is BlockUnavailableError
    assert error.peers[BOB] is PeerAnswer.DISCONNECTED
    assert type(unavailable(A, {})) is BlockUnavailableError
    assert isinstance(timed_out(A, 30, {}), TimeoutError)
    assert describe_peers({}) == "no peer is connected"


# -- sessions of their own kind -------------------------------------------------------------------


def test_a_fixed_session_asks_its_peers_only() -> None:
    client = Client(ANN, BOB)
    fixed = client.tracker.open_session([BOB])
    client.want(A, session=fixed)
    assert client.sent(ANN) == []
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    client.dont_haves(BOB, A)
    assert answers(client.failures()) == [{BOB: PeerAnswer.DONT_HAVE}]


def test_a_fixed_session_whose_peer_is_not_there_fails_at_once() -> None:
    client = Client(ANN)
    fixed = client.tracker.open_session([BOB])
    client.want(A, session=fixed)
    assert answers(client.failures()) == [{BOB: PeerAnswer.DISCONNECTED}]


def test_a_want_of_two_sessions_fails_for_the_one_whose_peers_do_not_have_it() -> None:
    client = Client(ANN, BOB)
    fixed, other = (client.tracker.open_session([peer]) for peer in (ANN, BOB))
    client.want(A, session=fixed)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.want(A, session=other)
    assert client.sent(BOB) == [(WANT_HAVE, A)]
    client.haves(BOB, A)
    client.dont_haves(ANN, A)
    assert [failure.session_id for failure in client.failures()] == [fixed]
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    client.tracker.remove_peer(ANN)
    assert client.block(BOB, A) == [other]


def test_a_want_of_a_fixed_session_in_vain_joins_none() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.dont_haves(BOB, A)
    fixed = client.tracker.open_session([BOB])
    client.want(A, session=fixed)
    assert [failure.session_id for failure in client.failures()] == [fixed]
    assert client.block(ANN, A) == [client.session]


def test_what_a_peer_delivers_does_not_open_sessions_to_it() -> None:
    client = Client(ANN, BOB)
    fixed = client.tracker.open_session([ANN])
    client.want(A, session=fixed)
    client.want(A)
    client.sent(ANN)
    assert client.block(BOB, A) == [fixed, client.session]
    assert not client.tracker.knows_peers(fixed)
    assert client.tracker.knows_peers(client.session)
    assert not client.tracker.knows_peers(99)


def test_a_session_for_presence_asks_for_haves_only() -> None:
    client = Client(ANN, BOB)
    probe = client.tracker.open_session(presence_only=True)
    client.want(A, session=probe)
    assert client.sent(ANN) == client.sent(BOB) == [(WANT_HAVE, A)]
    client.dont_haves(ANN, A)
    assert client.tracker.take_outcomes() == []
    client.haves(BOB, A)
    assert client.tracker.take_outcomes() == [Found(probe, A.multihash)]
    assert client.tracker.wantlist() == []
    assert client.sent(ANN) == client.sent(BOB) == [(CANCEL, A)]


def test_presence_is_told_from_what_a_fetch_has_heard() -> None:
    client = Client(ANN, BOB)
    fixed, probe = (
        client.tracker.open_session([BOB], presence_only=True),
        client.tracker.open_session(presence_only=True),
    )
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.want(A, session=probe)
    client.want(A, session=fixed)
    assert client.tracker.take_outcomes() == [Found(probe, A.multihash)]
    client.haves(BOB, A)
    assert client.tracker.take_outcomes() == [Found(fixed, A.multihash)]
    assert client.tracker.wantlist() == [A]


def test_a_fetch_takes_over_what_was_asked_for_presence() -> None:
    client = Client(ANN)
    probe = client.tracker.open_session(presence_only=True)
    client.want(A, session=probe)
    client.want(A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    assert client.block(ANN, A) == [probe, client.session]


# -- several who want one block -------------------------------------------------------------------


def test_one_want_goes_out_for_two_sessions_and_all_names_of_a_block() -> None:
    client = Client(ANN)
    other = client.tracker.open_session()
    v1 = CID.for_block(b"x", codec="dag-pb")
    client.want(v1)
    client.want(v1.to_v0(), session=other)
    client.want(v1)
    assert client.sent(ANN) == [(WANT_BLOCK, v1)]
    assert client.block(ANN, CID.for_block(b"x")) == [client.session, other]


def test_a_cancel_goes_out_when_the_last_session_leaves() -> None:
    client = Client(ANN, BOB)
    other = client.tracker.open_session()
    client.want(A, B)
    client.want(A, session=other)
    client.sent(ANN)
    client.tracker.unwant(client.session, A.multihash)
    client.tracker.unwant(client.session, A.multihash)
    assert client.sent(ANN) == []
    client.tracker.close_session(other)
    client.tracker.close_session(other)
    assert client.sent(ANN) == [(CANCEL, A)]
    assert client.sent(BOB) == [(WANT_HAVE, B)]  # it was never told of the other
    client.tracker.unwant(other, B.multihash)
    assert client.tracker.wantlist() == [B]


def test_never_a_cancel_and_a_want_for_one_block_in_a_message() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    client.tracker.unwant(client.session, A.multihash)
    client.want(A, B)
    assert client.sent(ANN) == [(CANCEL, A), (WANT_BLOCK, B)]
    assert client.tracker.has_outgoing(ANN)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]


def test_a_want_joined_while_its_block_is_being_stored_is_satisfied_with_it() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    want = client.tracker.claim(ANN, A, 2000, client.now)
    assert want is not None
    assert client.tracker.claim(ANN, A, 2000, client.now) is None
    assert client.tracker.came_lately(A)  # it comes a second time
    other = client.tracker.open_session()
    client.want(A, session=other)
    client.haves(ANN, A)
    client.dont_haves(ANN, A)
    client.tracker.remove_peer(ANN)
    client.tracker.unwant(client.session, A.multihash)
    assert client.failures() == []
    assert client.tracker.settle(want) == (other,)


def test_a_block_nobody_wants_is_not_claimed() -> None:
    client = Client(ANN)
    assert client.block(ANN, A) == []
    assert not client.tracker.came_lately(A)
    client.fetched_from(ANN, A)
    assert client.block(ANN, A) == []
    assert client.tracker.came_lately(A)


def test_blocks_from_here_and_from_unknown_peers_satisfy_wants() -> None:
    client = Client(ANN)
    client.want(A, B)
    client.sent(ANN)
    assert client.tracker.is_wanted(A)
    assert client.block(None, A) == [client.session]
    assert not client.tracker.is_wanted(A)
    assert client.block(BOB, B) == [client.session]
    assert client.sent(ANN) == [(CANCEL, A), (CANCEL, B)]


def test_of_blocks_that_came_only_the_latest_are_remembered() -> None:
    client = Client(ANN)
    cids = [CID.for_block(b"%d" % number) for number in range(RECENT_BLOCKS + 1)]
    client.fetched_from(ANN, *cids)
    assert not client.tracker.came_lately(cids[0])
    assert client.tracker.came_lately(cids[1])


def test_what_comes_after_a_session_was_closed_is_nothing() -> None:
    client = Client(ANN, BOB)
    client.want(A, B)
    client.sent(ANN), client.sent(BOB)
    client.tracker.close_session(client.session)
    client.haves(ANN, A)
    client.dont_haves(BOB, A)
    assert client.block(ANN, B) == []
    assert client.tracker.take_outcomes() == []
    assert not client.tracker.knows_peers(client.session)
    assert client.sent(ANN) == [(CANCEL, A), (CANCEL, B)]


def test_what_is_taken_back_before_it_was_said_is_never_said() -> None:
    client = Client(ANN)
    client.want(A)
    client.tracker.unwant(client.session, A.multihash)
    assert not client.tracker.has_outgoing(ANN)
    assert client.sent(ANN) == []


def test_a_want_goes_alone_only_where_none_is_unanswered_and_none_came_together() -> None:
    client = Client(ANN)

    def alone() -> list[CID]:
        entries = client.tracker.take_message(ANN, if_single=True)
        client.tracker.message_written(ANN, client.now)
        return [entry.cid for entry in entries]

    assert client.tracker.take_message(BOB, if_single=True) == []
    assert alone() == []
    client.want(A)
    assert alone() == [A]
    client.want(B)
    client.want(C)
    assert alone() == []
    assert client.asked(ANN) == [B, C]
    for cid in (A, B, C):
        client.block(ANN, cid)
    client.want(D)
    assert alone() == []  # more may come, as they did before
    assert client.asked(ANN) == [D]
    client.block(ANN, D)
    client.want(A)
    assert alone() == [A]
    client.tracker.unwant(client.session, A.multihash)
    assert alone() == []
    assert client.sent(ANN) == [(CANCEL, A)]


# -- limits ---------------------------------------------------------------------------------------


def test_no_more_wants_are_on_the_wire_than_a_server_keeps() -> None:
    client = Client(ANN, max_wants=2)
    client.want(A, B, C)
    assert len(client.sent(ANN)) == 2
    assert not client.tracker.has_outgoing(ANN)
    assert client.sent(ANN) == []
    client.ready  # noqa: B018 - forget it
    client.block(ANN, A)
    assert client.ready == {ANN}
    assert client.sent(ANN) == [(WANT_BLOCK, C)]


def test_a_dont_have_makes_room_for_another_want() -> None:
    client = Client(ANN, max_wants=1)
    patient = client.tracker.open_session(wait=True)
    client.want(A, B, session=patient)
    client.sent(ANN)
    client.ready  # noqa: B018 - forget it
    client.dont_haves(ANN, A)
    assert client.ready == {ANN}
    assert client.sent(ANN) == [(WANT_BLOCK, B)]


def test_what_was_not_asked_is_not_remembered() -> None:
    client = Client(ANN, BOB)
    fixed = client.tracker.open_session([ANN])
    client.want(A, session=fixed)
    client.sent(ANN)
    for number in range(1000):
        client.haves(ANN, CID.for_block(b"%d" % number))
    client.haves(BOB, A)
    client.dont_haves(CEE, A)
    assert client.tracker.report(fixed, A.multihash) == {ANN: PeerAnswer.SILENT}
    assert client.sent(BOB) == []


def test_a_have_beats_a_dont_have_that_was_overtaken() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(BOB, A)
    client.haves(ANN, A)
    client.dont_haves(ANN, A)
    assert client.tracker.report(client.session, A.multihash)[ANN] is PeerAnswer.HAVE


def test_a_peer_that_gets_the_block_later_is_asked_once_more() -> None:
    client = Client(ANN)
    patient = client.tracker.open_session(wait=True)
    client.want(A, session=patient)
    client.sent(ANN)
    client.dont_haves(ANN, A)
    assert client.sent(ANN) == []
    client.haves(ANN, A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]


def test_priorities_count_down_unless_they_are_given() -> None:
    client = Client(ANN)
    client.want(A, B)
    client.tracker.want(client.session, C, client.now, priority=7)
    priorities = [entry.priority for entry in client.tracker.take_message(ANN)]
    assert priorities == [2**31 - 1, 2**31 - 2, 7]


# -- peers that do not know HAVE ------------------------------------------------------------------


def test_old_peers_are_asked_for_the_block_one_after_the_other() -> None:
    client = Client(ANN, BOB)
    for peer in (ANN, BOB):
        client.tracker.set_supports_have(peer, False)
    client.tracker.set_supports_have(CEE, False)
    client.want(A)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    assert client.sent(BOB) == []
    client.wait(DONT_HAVE_TIMEOUT - 0.1)
    assert client.sent(BOB) == []
    client.wait(2)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]
    assert client.sent(ANN) == []


# -- failures on the way --------------------------------------------------------------------------


def test_a_lost_message_goes_out_again_as_far_as_it_matters() -> None:
    client = Client(ANN)
    client.want(A, B)
    client.sent(ANN)
    client.tracker.unwant(client.session, A.multihash)
    client.want(C, D)
    lost = client.tracker.take_message(ANN)
    assert [told(entry) for entry in lost] == [(CANCEL, A), (WANT_BLOCK, C), (WANT_BLOCK, D)]
    client.tracker.unwant(client.session, D.multihash)
    client.tracker.message_lost(ANN, lost)
    assert client.sent(ANN) == [(CANCEL, D), (CANCEL, A), (WANT_BLOCK, B), (WANT_BLOCK, C)]


def test_a_lost_cancel_does_not_follow_a_new_want() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    client.tracker.unwant(client.session, A.multihash)
    lost = client.tracker.take_message(ANN)
    client.want(A)
    client.tracker.message_lost(ANN, lost)
    assert client.sent(ANN) == [(CANCEL, A)]
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.tracker.message_lost(ANN, lost)  # a cancel that has been overtaken by the want
    assert client.sent(ANN) == [(WANT_BLOCK, A)]
    client.tracker.message_lost(BOB, lost)


def test_a_reset_stream_sends_again_what_is_unanswered() -> None:
    client = Client(ANN)
    client.want(A, B)
    client.sent(ANN)
    client.block(ANN, A)
    client.want(C)
    client.tracker.stream_reset(ANN, client.now)
    assert client.sent(ANN) == [(WANT_BLOCK, B), (WANT_BLOCK, C)]
    client.tracker.send_all_again(ANN)
    client.tracker.send_all_again(BOB)
    assert client.sent(ANN) == [(WANT_BLOCK, B), (WANT_BLOCK, C)]


def test_a_reset_of_an_idle_stream_is_nothing() -> None:
    client = Client(ANN)
    client.tracker.stream_reset(ANN, client.now)
    client.tracker.stream_reset(BOB, client.now)
    assert client.ready == set()


def test_a_peer_that_only_resets_is_given_up() -> None:
    client = Client(ANN)
    client.want(A)
    for _ in range(MAX_RESETS):
        assert client.sent(ANN) == [(WANT_BLOCK, A)]
        client.tracker.stream_reset(ANN, client.now)
    client.sent(ANN)
    assert client.failures() == []
    client.tracker.stream_reset(ANN, client.now)
    assert answers(client.failures()) == [{ANN: PeerAnswer.UNRESPONSIVE}]


def test_a_word_in_between_forgives_resets() -> None:
    client = Client(ANN)
    client.want(A)
    for _ in range(5 * MAX_RESETS):
        client.sent(ANN)
        client.tracker.stream_reset(ANN, client.now)
        client.tracker.heard(ANN)
    assert client.failures() == []


def test_a_block_that_comes_before_its_want_was_written_tells_no_latency() -> None:
    client = Client(ANN)
    client.want(A)
    client.tracker.take_message(ANN)
    assert client.block(ANN, A) == [client.session]
    client.tracker.message_written(ANN, client.now)
    client.tracker.message_written(BOB, client.now)
    assert client.peer(ANN).timeout == DONT_HAVE_TIMEOUT


def test_a_block_that_comes_twice_at_once_is_a_duplicate_of_the_sessions_that_wait() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    assert client.tracker.claim(ANN, A, 10, client.now) is not None
    assert client.tracker.claim(ANN, A, 10, client.now) is None
    assert client.tracker.duplicate(ANN, A) == (client.session,)
    assert client.tracker.duplicate(ANN, B) is None
    assert client.tracker.duplicate(BOB, B) is None


def test_no_peer_is_asked_for_a_block_that_is_being_stored() -> None:
    client = Client(ANN)
    client.want(A)
    client.sent(ANN)
    want = client.tracker.claim(ANN, A, 10, client.now)
    assert want is not None
    client.tracker.add_peer(BOB)
    fixed = client.tracker.open_session([BOB])
    client.want(A, session=fixed)
    assert client.sent(BOB) == []
    assert client.tracker.settle(want) == (client.session, fixed)
    client.wait(100)
    assert client.sent(BOB) == []


def test_a_peer_of_the_session_that_cannot_be_asked_is_passed_over() -> None:
    client = Client(ANN)
    client.fetched_from(ANN, A)
    client.tracker.add_peer(BOB)
    client.tracker.peer_failed(ANN, PeerAnswer.UNRESPONSIVE, client.now)
    client.want(B)
    assert client.sent(BOB) == [(WANT_BLOCK, B)]
    assert client.sent(ANN) == []


def test_a_peer_that_is_asked_for_the_block_already_may_turn_out_to_be_old() -> None:
    client = Client(ANN, BOB)
    client.want(A, B)
    client.sent(ANN), client.sent(BOB)
    client.haves(BOB, B)
    client.haves(ANN, A)
    client.tracker.set_supports_have(ANN, False)
    client.tracker.set_supports_have(ANN, True)
    client.tracker.set_supports_have(ANN, True)
    assert client.sent(ANN) == [(WANT_BLOCK, A)]


def test_of_peers_that_are_gone_some_are_named() -> None:
    peers = peer_ids(MAX_LOST_PEERS + 10)
    client = Client(*peers, local=True)
    patient = client.tracker.open_session(wait=True)
    client.want(A, session=patient)
    for peer in peers:
        client.sent(peer)
        client.haves(peer, A)
        client.tracker.remove_peer(peer)
    assert list(client.tracker.report(patient, A.multihash)) == peers[10:]


# -- and besides ----------------------------------------------------------------------------------


def test_nothing_is_left_of_wants_that_are_over() -> None:
    client = Client(ANN, BOB)
    for number in range(200):
        cid = CID.for_block(b"%d" % number)
        client.want(cid)
        client.sent(ANN), client.sent(BOB)
        if number % 2:
            client.block(ANN, cid)
        else:
            client.tracker.unwant(client.session, cid.multihash)
        client.sent(ANN), client.sent(BOB)
    assert client.owes_nothing(ANN)
    assert client.owes_nothing(BOB)
    assert client.tracker.wantlist() == []
    assert client.tracker.peer_ids == [ANN, BOB]
    client.wait(1000)
    assert client.tracker.timers.next is None


def test_peers_that_are_not_there_are_no_error() -> None:
    client = Client()
    client.tracker.peer_failed(ANN, PeerAnswer.SILENT, client.now)
    client.tracker.heard(ANN)
    client.haves(ANN, A)
    assert client.sent(ANN) == []
    assert not client.tracker.has_outgoing(ANN)


def test_a_have_that_another_session_has_heard_is_used() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.haves(BOB, A)
    other = client.tracker.open_session()
    client.want(A, session=other)
    client.tracker.close_session(client.session)
    client.sent(ANN)
    client.dont_haves(ANN, A)
    assert client.sent(BOB) == [(WANT_BLOCK, A)]


def test_a_peer_that_turns_out_to_be_old_is_not_asked_for_haves_again() -> None:
    client = Client(ANN, BOB)
    client.want(A)
    client.sent(ANN), client.sent(BOB)
    client.haves(ANN, A)
    client.tracker.set_supports_have(BOB, False)
    client.tracker.send_all_again(BOB)
    assert client.sent(BOB) == []
    client.tracker.remove_peer(BOB)
    client.tracker.remove_peer(ANN)
    assert answers(client.failures()) == [{ANN: PeerAnswer.DISCONNECTED}]
