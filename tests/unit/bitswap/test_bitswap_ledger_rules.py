"""The server's core: denied wants, early HAVEs, orders of one's own, and its limits."""

from __future__ import annotations

import pytest

from libp2p.bitswap.config import MAX_REPLY_PRESENCES
from libp2p.bitswap.serve.ledger import Ledger, LedgerLimits, Task
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from tests.support.bitswap_ledger import (
    ABSENT,
    LARGE,
    LARGE_DATA,
    SMALL,
    Server,
    cancel,
    want,
    want_have,
)
from tests.support.blocks import blocks

ANN, BOB = ID(b"\x00\x03ann"), ID(b"\x00\x03bob")
HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave


# -- what a peer must not get ---------------------------------------------------------------------


def test_a_denied_want_is_answered_as_if_the_block_were_not_here() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE, dont_have=True), want(SMALL)], denied={LARGE, SMALL})
    server.ledger.receive(ANN, [want_have(ABSENT, dont_have=True)])
    message = server.answer(ANN)
    assert message is not None
    assert message.presences == {LARGE: DONT_HAVE, ABSENT: DONT_HAVE}
    assert not message.blocks
    assert server.wanted(ANN) == [ABSENT]
    # Asked again, it is denied again, as one that is not here.
    server.ledger.receive(ANN, [want(LARGE, dont_have=True)], denied=[LARGE])
    assert server.answer(ANN).presences == {LARGE: DONT_HAVE}  # type: ignore[union-attr]


def test_a_denied_block_that_comes_later_does_not_leak() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(ABSENT, dont_have=True)], denied=[ABSENT])
    server.ledger.receive(BOB, [want(ABSENT)])
    server.look_up(ANN), server.look_up(BOB)
    server.content[ABSENT] = b"x" * 9
    assert server.ledger.new_block(ABSENT, 9) == [BOB]
    assert server.answer(ANN).presences == {ABSENT: DONT_HAVE}  # type: ignore[union-attr]
    server.ledger.forget(BOB)
    assert not server.ledger.is_wanted(ABSENT)


def test_a_cancel_and_a_full_list_end_a_denied_want_too() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE), want(SMALL)], denied=[LARGE, SMALL])
    assert server.ledger.count == 2
    server.ledger.receive(ANN, [cancel(LARGE)])
    assert server.answer(ANN, full=True) is None
    assert server.ledger.count == 0


def test_who_is_allowed_later_gets_the_block() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE, dont_have=True)], denied=[LARGE])
    server.look_up(ANN)
    message = server.answer(ANN, want(LARGE))
    assert message is not None
    assert list(message.blocks) == [LARGE]


@pytest.mark.parametrize("at", ["new", "sought", "queued", "idle"])
def test_what_is_denied_later_is_not_sent(at: str) -> None:
    server = Server()
    if at == "idle":
        server.content.clear()
    server.ledger.receive(ANN, [want(LARGE)])
    sought = server.ledger.look_ups(ANN, 1) if at == "sought" else []
    if at in ("queued", "idle"):
        server.look_up(ANN)
    server.ledger.deny(ANN, [LARGE, ABSENT])
    server.ledger.deny(ANN, [LARGE])
    server.ledger.deny(BOB, [LARGE])
    for found in sought:
        server.ledger.resolve(found, 1025)
    server.content[LARGE] = LARGE_DATA
    assert server.answer(ANN) is None
    assert server.ledger.new_block(LARGE, 1025) == []


def test_what_is_denied_while_it_is_sent_is_not_sent_again() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE)])
    taken = server.take(ANN)
    assert taken is not None
    server.ledger.deny(ANN, [LARGE])
    server.ledger.failed(taken[0])
    assert server.answer(ANN) is None
    server.ledger.receive(ANN, [want_have(ABSENT, dont_have=True)])
    taken = server.take(ANN)
    assert taken is not None
    server.ledger.deny(ANN, [ABSENT])
    server.ledger.sent(taken[0])
    assert server.answer(ANN).presences == {ABSENT: DONT_HAVE}  # type: ignore[union-attr]


# -- a word in the meantime -----------------------------------------------------------------------


def test_have_is_said_once_for_blocks_that_wait() -> None:
    content = blocks(3)
    server = Server(content)
    one, two, three = content
    server.ledger.receive(ANN, [want(cid, dont_have=True) for cid in (one, two)])
    server.ledger.receive(ANN, [want(three), want(ABSENT, dont_have=True)])
    assert server.ledger.early_haves(ANN) is None  # nobody knows yet that they are here
    server.look_up(ANN)
    message = server.ledger.early_haves(ANN)
    assert message is not None
    assert message.presences == {one: HAVE, two: HAVE}  # who does not wait for a word gets none
    assert server.ledger.early_haves(ANN) is None
    assert server.ledger.early_haves(BOB) is None
    # The blocks follow all the same.
    message = server.answer(ANN)
    assert message is not None
    assert set(message.blocks) == {one, two, three}


def test_have_is_said_for_a_block_that_is_about_to_be_sent() -> None:
    content = blocks(2)
    server = Server(content)
    one, two = content
    server.ledger.receive(ANN, [want(cid, dont_have=True) for cid in content])
    taken = server.take(ANN, target=1)
    assert taken is not None
    message = server.ledger.early_haves(ANN, taken[0])
    assert message is not None
    assert message.presences == {one: HAVE, two: HAVE}
    server.ledger.sent(taken[0])
    assert server.ledger.early_haves(ANN) is None


def test_early_haves_pass_over_cancelled_wants_and_are_limited() -> None:
    cids = [CID.for_block(b"%d" % number) for number in range(MAX_REPLY_PRESENCES + 10)]
    server = Server(dict.fromkeys(cids, b"x" * 2000))
    server.ledger.receive(ANN, [want(cid, dont_have=True) for cid in cids])
    server.look_up(ANN)
    server.ledger.receive(ANN, map(cancel, cids[:5]))
    said = [server.ledger.early_haves(ANN) for _ in range(3)]
    assert [len(message.presences) if message else 0 for message in said] == [
        MAX_REPLY_PRESENCES, 5, 0,
    ]  # fmt: skip


# -- orders of one's own --------------------------------------------------------------------------


def test_a_comparator_orders_the_blocks_of_a_peer() -> None:
    content = {CID.for_block(b"%d" % size): b"x" * size for size in (10, 30, 20, 20)}
    server = Server(content, {"comparator": lambda one, other: one.size > other.size})
    a, b, c, *_ = content
    assert server.ledger.first_task(ANN) is None
    server.ledger.receive(ANN, [want(a, 100), want(b, 1), want_have(c, 2)])
    assert server.ledger.first_task(ANN) is None
    server.look_up(ANN)
    assert server.ledger.first_task(ANN) == Task(ANN, b, 1, WantType.Block, 30)
    message = server.answer(ANN)
    assert message is not None
    assert list(message.blocks) == [b, c, a]


def test_a_comparator_orders_peers_by_their_first_blocks() -> None:
    server = Server(parts={"comparator": lambda one, other: one.priority < other.priority})
    server.ledger.receive(ANN, [want(LARGE, 2)])
    server.ledger.receive(BOB, [want(SMALL, 1)])
    assert not server.ledger.comes_before(ANN, BOB)  # neither has a block that is queued
    server.look_up(ANN)
    assert server.ledger.comes_before(BOB, ANN)  # its wants have to be looked up
    assert not server.ledger.comes_before(ANN, BOB)
    server.look_up(BOB)
    assert server.ledger.comes_before(BOB, ANN)
    assert not server.ledger.comes_before(ANN, BOB)


def test_the_first_task_is_none_that_was_cancelled() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE, 2), want(SMALL, 1)])
    server.look_up(ANN)
    server.ledger.receive(ANN, [cancel(LARGE)])
    task = server.ledger.first_task(ANN)
    assert task is not None
    assert task.cid == SMALL


# -- what is on its way ---------------------------------------------------------------------------


def test_presences_do_not_wait_for_blocks() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(LARGE, 5), want(ABSENT, 1, dont_have=True)])
    server.look_up(ANN)
    reply = server.ledger.next_reply(ANN, with_blocks=False)
    assert reply is not None
    assert reply.fill([]).presences == {ABSENT: DONT_HAVE}
    server.ledger.sent(reply)
    assert server.ledger.next_reply(ANN, with_blocks=False) is None
    assert server.ledger.has_blocks(ANN)


def test_what_is_cancelled_while_it_is_read_is_not_sent() -> None:
    server = Server()
    server.ledger.receive(
        ANN, [want(LARGE), want(SMALL), want(ABSENT, dont_have=True), want_have(LARGE)]
    )
    server.look_up(ANN)
    reply = server.ledger.next_reply(ANN)
    assert reply is not None
    server.ledger.receive(ANN, [cancel(LARGE), cancel(ABSENT)])
    message = reply.fill([server.content[found.cid] for found in reply.wants])
    assert list(message.blocks) == [SMALL]
    assert not message.presences
    server.ledger.sent(reply)
    assert server.ledger.count == server.ledger.sending_bytes == 0


def test_pending_bytes_count_what_was_read_ahead() -> None:
    content = blocks(3, 1000)
    server = Server(content)
    server.ledger.receive(ANN, map(want, content))
    server.look_up(ANN)
    first, second = (server.ledger.next_reply(ANN, 1000) for _ in range(2))
    assert first is not None
    assert second is not None
    assert server.ledger.sending_bytes == 2000
    assert first.fill([b"x" * 1000]).pending_bytes == 2000
    server.ledger.sent(first)
    assert second.fill([b"x" * 1000]).pending_bytes == 1000


@pytest.mark.parametrize(("limit", "replies"), [(1500, 2), (0, 4)])
def test_the_limit_of_bytes_on_their_way_can_be_lifted(limit: int, replies: int) -> None:
    content = blocks(4, 1000)
    server = Server(content, max_outstanding=limit)
    server.ledger.receive(ANN, map(want, content))
    server.look_up(ANN)
    taken = 0
    while server.ledger.next_reply(ANN, 1000) is not None:
        taken += 1
    assert taken == replies
    assert not server.ledger.has_blocks(ANN)
    assert not server.ledger.has_blocks(BOB)


def test_what_waits_is_counted() -> None:
    server = Server()
    assert server.ledger.pending(ANN) == 0
    server.ledger.receive(ANN, [want(LARGE), want(ABSENT, dont_have=True)])
    assert server.ledger.has_look_ups(ANN)
    assert server.ledger.pending(ANN) == 2
    server.look_up(ANN)
    assert not server.ledger.has_look_ups(ANN)
    assert server.ledger.pending(ANN) == 2
    server.ledger.receive(ANN, [want(SMALL)])
    assert server.ledger.pending(ANN) == 3
    assert server.ledger.peer_ids == [ANN]


# -- limits ---------------------------------------------------------------------------------------


def test_a_ledger_without_room_denies_and_remembers_nothing() -> None:
    server = Server(max_entries=0)
    message = server.answer(ANN, want(LARGE, dont_have=True), want_have(SMALL), want(ABSENT))
    assert message is not None
    assert message.presences == {LARGE: DONT_HAVE}
    assert server.ledger.count == 0
    assert server.ledger.new_block(LARGE, 1025) == []


def test_who_does_not_read_its_denials_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libp2p.bitswap.serve.ledger.MAX_UNREMEMBERED_ANSWERS", 10)
    server = Server(max_entries=0)
    for _ in range(20):
        server.ledger.receive(ANN, [want(LARGE, dont_have=True)])
    assert server.ledger.pending(ANN) == 10
    assert server.answer(ANN) is not None
    assert server.answer(ANN) is None


def test_the_wants_of_all_peers_are_limited_but_each_keeps_a_few() -> None:
    cids = list(blocks(30))
    ledger = Ledger(LedgerLimits(max_total=20, min_entries=5))
    ledger.receive(ANN, map(want, cids))
    ledger.receive(BOB, map(want, cids))
    assert len(ledger.wantlist(ANN)) == 20
    assert len(ledger.wantlist(BOB)) == 5
    ledger.forget(ANN)
    ledger.receive(BOB, map(want, cids))
    assert len(ledger.wantlist(BOB)) == ledger.count == 20


def test_a_new_want_takes_the_place_of_the_oldest_that_waits_in_vain() -> None:
    content = blocks(8)
    a, b, c, d, e, f, *_ = content
    server = Server({f: content[f]}, max_entries=3)
    assert server.answer(ANN, want(a), want(b), want(c)) is None
    assert server.answer(ANN, want(a)) is None  # asked again it is not the oldest any more
    server.ledger.receive(ANN, [want(d), want(e), want(f)])
    assert server.wanted(ANN) == [d, e, f]
    assert list(server.answer(ANN).blocks) == [f]  # type: ignore[union-attr]
    assert not server.ledger.is_wanted(a)
    # Those that have been denied since make room, too.
    server.ledger.receive(ANN, [want(a, dont_have=True)])
    assert server.answer(ANN) is not None
    server.ledger.receive(ANN, [want(b), want(c), want(f)])
    assert server.wanted(ANN) == [b, c, f]


def test_only_the_wants_that_are_named_are_retained() -> None:
    server = Server()
    list(server.ledger.retaining(ANN, {}))
    server.ledger.receive(ANN, [want(LARGE), want(SMALL)])
    list(server.ledger.retaining(ANN, {SMALL: Entry(SMALL)}))
    assert server.wanted(ANN) == [SMALL]


def test_cancelled_blocks_leave_the_queue() -> None:
    content = blocks(1000, 10)
    server = Server(content)
    server.ledger.receive(ANN, map(want, content))
    server.look_up(ANN)
    server.ledger.receive(ANN, map(cancel, list(content)[1:]))
    assert server.ledger.pending(ANN) == 1
    assert list(server.answer(ANN).blocks) == list(content)[:1]  # type: ignore[union-attr]


def test_what_is_missing_is_what_was_not_here_when_last_seen() -> None:
    server = Server()
    ledger = server.ledger
    ledger.receive(ANN, [want(LARGE), want(ABSENT, dont_have=True)])
    ledger.receive(BOB, [want_have(ABSENT)])
    assert set(ledger.missing()) == {LARGE, ABSENT}  # not looked up yet
    server.look_up(ANN), server.look_up(BOB)
    assert ledger.missing() == [ABSENT]
    assert server.answer(ANN) is not None
    assert ledger.missing() == [ABSENT]  # DONT_HAVE does not end a want
    ledger.new_block(ABSENT, 9)
    assert ledger.missing() == []
