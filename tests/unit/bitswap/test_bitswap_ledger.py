"""The server's core: what is answered, in what order, and what is remembered."""

from __future__ import annotations

import pytest

from libp2p.bitswap.config import MAX_BLOCK_SIZE, MAX_REPLY_BLOCKS, MAX_REPLY_PRESENCES
from libp2p.bitswap.serve.ledger import Ledger
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from tests.support.bitswap_ledger import (
    ABSENT,
    LARGE,
    LARGE_DATA,
    SMALL,
    SMALL_DATA,
    Server,
    cancel,
    want,
    want_have,
)
from tests.support.blocks import block, blocks

ANN, BOB = ID(b"\x00\x03ann"), ID(b"\x00\x03bob")
HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave


# -- what is answered -----------------------------------------------------------------------------


def test_a_want_is_answered_by_the_block_and_over() -> None:
    server = Server()
    message = server.answer(ANN, want(LARGE))
    assert message is not None
    assert message.blocks == {LARGE: LARGE_DATA}
    assert server.wanted(ANN) == []
    assert server.answer(ANN) is None
    assert not server.ledger.is_wanted(LARGE)


@pytest.mark.parametrize(("cid", "with_block"), [(SMALL, True), (LARGE, False)])
def test_a_want_have_is_answered_by_a_small_block_or_else_by_have(
    cid: CID, with_block: bool
) -> None:
    server = Server()
    message = server.answer(ANN, want_have(cid))
    assert message is not None
    assert list(message.blocks) == ([cid] if with_block else [])
    assert message.presences == ({} if with_block else {cid: HAVE})
    assert server.wanted(ANN) == []


def test_what_cannot_be_looked_up_now_is_looked_up_later_unless_it_is_cancelled() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want(SMALL), want(ABSENT)])
    wants = server.ledger.look_ups(ANN, 2)
    server.ledger.receive(ANN, [cancel(SMALL)])
    server.ledger.look_up_later(wants)
    assert [found.cid for found in server.ledger.look_ups(ANN, 10)] == [ABSENT, LARGE]


def test_dont_have_is_said_only_to_who_asks_and_does_not_end_the_want() -> None:
    server = Server()
    assert server.answer(ANN, want(ABSENT)) is None
    assert server.answer(BOB, want_have(ABSENT, dont_have=True)).presences == {ABSENT: DONT_HAVE}  # type: ignore[union-attr]
    assert server.wanted(ANN) == server.wanted(BOB) == [ABSENT]


def test_an_empty_block_is_a_block() -> None:
    cid = CID.for_block(b"")
    message = Server({cid: b""}).answer(ANN, want(cid))
    assert message is not None
    assert message.blocks == {cid: b""}


def test_the_answer_has_the_cid_that_was_asked_for() -> None:
    v1 = CID.for_block(LARGE_DATA, codec="dag-pb")
    server = Server({v1.to_v0(): LARGE_DATA, v1: LARGE_DATA})
    message = server.answer(ANN, want(v1.to_v0()), want(v1))
    assert message is not None
    assert list(message.blocks) == [v1.to_v0(), v1]


def test_identity_cids_are_ignored() -> None:
    server = Server()
    assert server.answer(ANN, want(CID.for_block(b"x", hash="identity"), dont_have=True)) is None
    assert server.wanted(ANN) == []


def test_a_block_that_fits_into_no_message_is_not_here() -> None:
    fits = CID.for_block(b"fits")
    longer_prefix = CID.for_block(b"fits not", hash="blake2b-256")
    ledger = Ledger()
    ledger.receive(ANN, [want(fits), want(longer_prefix, dont_have=True)])
    for found in ledger.look_ups(ANN, 10):
        ledger.resolve(found, MAX_BLOCK_SIZE)
    reply = ledger.next_reply(ANN)
    assert reply is not None
    assert [w.cid for w in reply.wants] == [fits]
    assert [w.cid for w in reply.presences] == [longer_prefix]


def test_a_block_that_has_vanished_is_denied_and_still_wanted() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE, dont_have=True), want(SMALL)])
    server.look_up(ANN)
    server.content.clear()
    message = server.answer(ANN)
    assert message is not None
    assert message.presences == {LARGE: DONT_HAVE}
    assert not message.blocks
    assert server.wanted(ANN) == [LARGE, SMALL]
    assert server.answer(ANN) is None


# -- subscriptions --------------------------------------------------------------------------------


def test_a_block_that_comes_later_is_sent_to_who_wants_it() -> None:
    server = Server()
    assert server.answer(ANN, want(ABSENT, dont_have=True)) is not None
    server.ledger.receive(BOB, [want_have(ABSENT)])
    server.look_up(BOB)
    server.content[ABSENT] = b"x" * 2000
    assert server.ledger.new_block(ABSENT, 2000) == [ANN, BOB]
    assert list(server.answer(ANN).blocks) == [ABSENT]  # type: ignore[union-attr]
    assert server.answer(BOB).presences == {ABSENT: HAVE}  # type: ignore[union-attr]
    assert server.wanted(ANN) == server.wanted(BOB) == []


def test_a_block_stored_under_another_cid_is_the_block() -> None:
    v1 = CID.for_block(b"x", codec="dag-pb")
    server = Server()
    assert server.answer(ANN, want(v1.to_v0())) is None
    server.content[v1.to_v0()] = b"x"
    assert server.ledger.new_block(v1, 1) == [ANN]
    assert list(server.answer(ANN).blocks) == [v1.to_v0()]  # type: ignore[union-attr]


def test_a_block_that_comes_while_it_is_looked_up_is_sent_once() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(ABSENT, dont_have=True), want(LARGE)])
    sought, large = server.ledger.look_ups(ANN, 10)
    assert server.ledger.new_block(ABSENT, 9) == [ANN]
    server.ledger.resolve(sought, None)  # what the store said before it came
    server.ledger.resolve(large, None)
    assert server.ledger.new_block(LARGE, 1025) == [ANN]
    assert server.ledger.new_block(LARGE, 1025) == []  # it is queued already
    server.content[ABSENT] = b"x" * 9
    message = server.answer(ANN)
    assert message is not None
    assert list(message.blocks) == [ABSENT, LARGE]
    assert not message.presences
    assert server.answer(ANN) is None


def test_a_block_that_comes_before_it_is_looked_up_or_denied_is_sent() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(ABSENT, dont_have=True)])
    assert server.ledger.new_block(ABSENT, 9) == [ANN]
    assert server.look_up(ANN) == 0
    server.ledger.receive(BOB, [want(ABSENT, dont_have=True)])
    server.look_up(BOB)  # a DONT_HAVE is queued
    server.content[ABSENT] = b"x" * 9
    assert server.ledger.new_block(ABSENT, 9) == [BOB]
    assert list(server.answer(BOB).blocks) == [ABSENT]  # type: ignore[union-attr]


def test_a_block_that_comes_while_it_is_denied_follows() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(ABSENT, dont_have=True)])
    taken = server.take(ANN)
    assert taken is not None
    server.content[ABSENT] = b"x" * 9
    assert server.ledger.new_block(ABSENT, 9) == []
    server.ledger.sent(taken[0])
    assert server.ledger.pending(ANN)
    assert list(server.answer(ANN).blocks) == [ABSENT]  # type: ignore[union-attr]


def test_a_repeated_want_is_answered_again_once_it_was_answered() -> None:
    server = Server()
    assert server.answer(ANN, want(ABSENT, dont_have=True)) is not None
    assert server.answer(ANN, want(ABSENT, dont_have=True)) is not None
    assert server.answer(ANN, want(LARGE)) is not None
    assert server.answer(ANN, want(LARGE)) is not None


def test_a_thousand_requests_for_a_block_on_its_way_send_it_once() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE)])
    taken = server.take(ANN)
    assert taken is not None
    for _ in range(1000):
        server.ledger.receive(ANN, [want(LARGE), want_have(LARGE)])
    assert server.take(ANN) is None
    server.ledger.sent(taken[0])
    assert server.take(ANN) is None


def test_a_want_for_the_block_after_a_want_have_gets_the_block() -> None:
    server = Server()
    server.ledger.receive(ANN, [want_have(LARGE)])
    server.look_up(ANN)
    message = server.answer(ANN, want(LARGE))  # while HAVE is queued
    assert message is not None
    assert list(message.blocks) == [LARGE]
    server.ledger.receive(ANN, [want_have(LARGE)])
    taken = server.take(ANN)
    assert taken is not None
    server.ledger.receive(ANN, [want(LARGE)])  # while HAVE is being sent
    server.ledger.sent(taken[0])
    assert list(server.answer(ANN).blocks) == [LARGE]  # type: ignore[union-attr]


def test_a_want_for_a_denied_block_upgraded_is_denied_once() -> None:
    server = Server()
    server.ledger.receive(ANN, [want_have(ABSENT, dont_have=True)])
    server.look_up(ANN)
    message = server.answer(ANN, want(ABSENT))
    assert message is not None
    assert message.presences == {ABSENT: DONT_HAVE}
    assert server.ledger.wantlist(ANN)[0].want_type is WantType.Block


# -- cancels, full lists, the end -----------------------------------------------------------------


def test_a_cancel_takes_back_what_is_queued() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want(ABSENT, dont_have=True), want(SMALL)])
    server.look_up(ANN)
    server.ledger.receive(ANN, [cancel(LARGE), cancel(ABSENT), cancel(block(99)[0])])
    message = server.answer(ANN)
    assert message is not None
    assert list(message.blocks) == [SMALL]
    assert not message.presences
    assert message.pending_bytes == 0


def test_a_cancel_before_the_look_up_and_during_it() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want(SMALL)])
    (sought,) = server.ledger.look_ups(ANN, 1)
    server.ledger.receive(ANN, [cancel(LARGE), cancel(SMALL)])
    server.ledger.resolve(sought, 1025)
    assert not server.ledger.pending(ANN)


def test_a_cancel_of_a_reply_on_its_way_stays_a_cancel() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE)])
    taken = server.take(ANN)
    assert taken is not None
    server.ledger.receive(ANN, [cancel(LARGE)])
    server.ledger.failed(taken[0])
    assert not server.ledger.pending(ANN)
    assert server.wanted(ANN) == []


def test_cancels_make_room_for_the_wants_of_their_message() -> None:
    server = Server(max_entries=1)
    server.ledger.receive(ANN, [want(LARGE)])
    server.ledger.receive(ANN, [want(SMALL), cancel(LARGE)])
    assert server.wanted(ANN) == [SMALL]


def test_a_full_list_replaces_all_wants() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want(SMALL)])
    server.look_up(ANN)
    server.ledger.receive(ANN, [want(SMALL), want(ABSENT)], full=True)
    assert server.wanted(ANN) == [SMALL, ABSENT]
    assert list(server.answer(ANN).blocks) == [SMALL]  # type: ignore[union-attr]
    assert server.answer(ANN, full=True) is None
    assert server.wanted(ANN) == []


def test_a_peer_that_is_gone_is_forgotten_with_its_reply() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want(ABSENT)])
    server.ledger.receive(BOB, [want(LARGE)])
    taken = server.take(ANN)
    assert taken is not None
    server.ledger.forget(ANN)
    server.ledger.sent(taken[0])
    assert server.ledger.count == 1
    assert server.ledger.new_block(LARGE, 1025) == [BOB]
    assert server.ledger.new_block(ABSENT, 9) == []
    server.ledger.forget(ANN)
    assert server.ledger.look_ups(ANN, 1) == []
    assert server.ledger.next_reply(ANN) is None
    assert not server.ledger.pending(ANN)


def test_a_reply_that_could_not_be_sent_is_sent_again() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want_have(ABSENT, dont_have=True)])
    first = server.take(ANN)
    assert first is not None
    server.ledger.failed(first[0])
    second = server.take(ANN)
    assert second is not None
    assert second[1].blocks == first[1].blocks
    assert second[1].presences == first[1].presences


# -- order and size -------------------------------------------------------------------------------


def test_higher_priorities_come_first_and_equal_ones_in_order() -> None:
    content = blocks(5)
    a, b, c, d, e = content
    server = Server(content)
    server.ledger.receive(
        ANN, [want(a, -1), want(b, 5), want(c, 0), want(d, 5), want(e, 2**31 - 1)]
    )
    server.look_up(ANN)
    server.ledger.receive(ANN, [want(a, 6), want(b, 5)])
    message = server.answer(ANN)
    assert message is not None
    assert list(message.blocks) == [e, a, b, d, c]


def test_a_reply_is_as_large_as_its_target_and_tells_what_is_left() -> None:
    content = blocks(10, 100)
    server = Server(content)
    server.ledger.receive(ANN, map(want, content))
    sizes: list[tuple[int, int]] = []
    while taken := server.take(ANN, target=250):
        server.ledger.sent(taken[0])
        sizes.append((len(taken[1].blocks), taken[1].pending_bytes))
    assert sizes == [(2, 800), (2, 600), (2, 400), (2, 200), (2, 0)]


def test_a_block_larger_than_the_target_goes_alone() -> None:
    big, data = block(5, 5000)
    server = Server({big: data, SMALL: SMALL_DATA})
    server.ledger.receive(ANN, [want(big), want(SMALL)])
    taken = server.take(ANN, target=100)
    assert taken is not None
    assert list(taken[1].blocks) == [big]


def test_no_reply_has_too_many_parts() -> None:
    many = MAX_REPLY_BLOCKS + MAX_REPLY_PRESENCES + 10
    cids = [CID.for_block(b"%d" % number) for number in range(many)]
    server = Server({cid: b"" for cid in cids[: MAX_REPLY_BLOCKS + 5]})
    server.ledger.receive(ANN, [want(cid, dont_have=True) for cid in cids])
    counts: list[tuple[int, int]] = []
    while message := server.answer(ANN):
        counts.append((len(message.blocks), len(message.presences)))
    assert max(counts) <= (MAX_REPLY_BLOCKS, MAX_REPLY_PRESENCES)
    assert sum(b for b, _ in counts) == MAX_REPLY_BLOCKS + 5
    assert sum(p for _, p in counts) == MAX_REPLY_PRESENCES + 5


def test_bytes_on_their_way_to_a_peer_are_limited() -> None:
    content = blocks(4, 1000)
    server = Server(content, max_outstanding=1500)
    server.ledger.receive(ANN, map(want, content))
    one, two = server.take(ANN, target=1000), server.take(ANN, target=1000)
    assert one is not None
    assert two is not None
    assert server.take(ANN) is None
    assert one[0].peer.peer_id == ANN
    server.ledger.failed(one[0])
    assert server.take(ANN) is not None


# -- abuse ----------------------------------------------------------------------------------------


def test_wants_beyond_the_limit_are_denied_and_forgotten() -> None:
    server = Server(max_entries=10)
    cids = list(blocks(100))
    server.ledger.receive(
        ANN, [want(cid, dont_have=number < 50) for number, cid in enumerate(cids)]
    )
    message = server.answer(ANN)
    assert message is not None
    assert server.wanted(ANN) == cids[:10]
    assert len(message.presences) == 50
    assert server.answer(ANN) is None


def test_thousands_of_wants_of_one_message_are_all_served() -> None:
    content = blocks(3000, 20)
    server = Server(content)
    server.ledger.receive(ANN, map(want, content))
    served = 0
    while message := server.answer(ANN):
        served += len(message.blocks)
    assert served == 3000
    assert server.ledger.count == 0


def test_churn_of_wants_and_cancels_holds_no_memory() -> None:
    server = Server()
    for _ in range(1000):
        server.ledger.receive(ANN, [want(LARGE), want(SMALL)])
        server.look_up(ANN)
        server.ledger.receive(ANN, [cancel(LARGE), cancel(SMALL)])
    peer = server.ledger._peers[ANN]
    assert len(peer.blocks._heap) < 200
    assert not peer.wants
    assert not peer.new
    assert server.ledger._by_key == {}
    server.ledger.receive(ANN, [want(SMALL)])
    assert list(server.answer(ANN).blocks) == [SMALL]  # type: ignore[union-attr]


def test_many_codecs_of_one_block_are_many_wants() -> None:
    cids = [CID.for_block(LARGE_DATA, codec=codec) for codec in range(0x300000, 0x300100)]
    server = Server(dict.fromkeys(cids, LARGE_DATA))
    server.ledger.receive(ANN, map(want, cids))
    assert server.ledger.new_block(cids[0], len(LARGE_DATA)) == [ANN]
    message = server.answer(ANN)
    assert message is not None
    assert list(message.blocks) == cids[: len(message.blocks)]
