"""What the cores do in steps, and what happens between two of them."""

from __future__ import annotations

import logging

import pytest

from libp2p.bitswap.common.chores import Chores, each
from libp2p.bitswap.config import MAX_CANCELS, MAX_MESSAGE_PARTS, STEP_ITEMS
from libp2p.bitswap.errors import MessageTooLargeError, PeerAnswer
from libp2p.bitswap.wire.decode import Decoding, MessageReader, decode
from libp2p.bitswap.wire.entry import Entry
from libp2p.bitswap.wire.message import Message
from libp2p.exceptions import ParseError
from libp2p.ipld.cid import CID
from libp2p.resources import Scope
from libp2p.utils.fault_log import FAULT_LOG_SECONDS, MAX_FAULT_KINDS, FaultLog
from libp2p.utils.varint import encode_uvarint
from tests.support.bitswap_ledger import ABSENT, SMALL, Server, want
from tests.support.want_client import ANN, BOB, HAVE, Client

MANY = [CID.for_block(b"%d" % number) for number in range(3 * STEP_ITEMS)]


# -- chores and faults ----------------------------------------------------------------------------


def test_a_chore_is_done_a_step_at_a_time() -> None:
    chores = Chores()
    done: list[int] = []
    chores.begin(each(range(2 * STEP_ITEMS + 1), done.append))
    assert len(done) == STEP_ITEMS
    chores.begin(each(range(5), done.append))
    assert len(chores.left) == 1
    chores.step()
    assert len(done) == 2 * STEP_ITEMS + 5
    chores.finish()
    assert len(done) == 2 * STEP_ITEMS + 6
    assert not chores.left


def test_a_kind_of_fault_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = FaultLog(lambda: now)
    for _ in range(5):
        log.note("the store", OSError("x"))
    log.note("the store", KeyError("y"))
    assert len(caplog.records) == 2
    now = FAULT_LOG_SECONDS
    log.note("the store", OSError("x"))
    assert caplog.messages[-1] == "the store failed (4 more since the last report)"
    assert caplog.records[-1].levelno == logging.ERROR
    for number in range(2 * MAX_FAULT_KINDS):
        log.note(f"{number}", OSError("x"))
    assert len(log._kinds) <= MAX_FAULT_KINDS


# -- decoding -------------------------------------------------------------------------------------


def test_a_message_that_is_decoded_in_steps_is_the_same() -> None:
    message = Message(
        [Entry(cid, send_dont_have=True) for cid in MANY[:50]],
        full=True,
        blocks=[(CID.for_block(b"x"), b"x")],
        presences=[(cid, HAVE) for cid in MANY[50:100]],
        pending_bytes=7,
    )
    (frame,) = message.frames()
    body = b"".join(frame)[2:]
    decoding, steps = Decoding([body]), 1
    while not decoding.advance(7):
        steps += 1
    assert steps > 12
    whole = decode([body])
    for name in Message.__slots__:
        assert getattr(decoding.message, name) == getattr(whole, name)
    parts = list(whole.answers(20))
    assert [part.parts for part in parts] == [1, 20, 20, 10]
    assert not any(part.entries for part in parts)
    assert whole.parts == 101


@pytest.mark.parametrize(
    "body",
    [
        b"\x28\x01" * (2 * MAX_MESSAGE_PARTS + 1),
        b"\x0a" + encode_uvarint(2 * (2 * MAX_MESSAGE_PARTS + 1))
        + b"\x10\x01" * (2 * MAX_MESSAGE_PARTS + 1),
    ],
)  # fmt: skip
def test_fields_that_say_nothing_are_counted(body: bytes) -> None:
    with pytest.raises(MessageTooLargeError):
        decode([body])


@pytest.mark.parametrize("start", [b"\x1a", b"\x22"])
def test_a_part_with_very_many_fields_is_malformed(start: bytes) -> None:
    with pytest.raises(ParseError, match="too many fields"):
        decode([start + encode_uvarint(200) + b"\x30\x00" * 100])


def test_an_unfinished_message_keeps_no_more_memory_than_its_bytes() -> None:
    reader = MessageReader()
    record = memoryview(bytes(64 * 1024))
    reader.receive_frames([encode_uvarint(1_000_000), record[:5000]])
    reader.receive_frames([record[5000:10_000], bytes(100)])
    whole = memoryview(bytes(60_000))
    reader.receive_frames([whole])
    kept = reader._queue._chunks
    assert not any(isinstance(chunk, memoryview) and chunk.obj is record.obj for chunk in kept)
    assert any(isinstance(chunk, memoryview) and chunk.obj is whole.obj for chunk in kept)


# -- the ledger -----------------------------------------------------------------------------------


def test_the_wants_of_a_peer_that_is_gone_are_dropped_in_steps() -> None:
    chores, scope = Chores(), Scope("all")
    server = Server(None, {"chores": chores, "scope": scope})
    server.ledger.receive(ANN, [want(cid) for cid in MANY])
    assert scope.held == server.ledger.count_of(ANN) == len(MANY)
    server.ledger.forget(ANN)
    assert server.ledger.count == scope.held == 2 * STEP_ITEMS
    assert server.ledger.count_of(ANN) == 0
    server.ledger.receive(ANN, [want(MANY[-1])])  # it is back
    server.look_up(ANN)
    assert server.ledger.new_block(MANY[-2], 5) == []
    assert server.ledger.new_block(MANY[-1], 5) == [ANN]
    chores.finish()
    assert server.ledger.count == scope.held == 1


def test_a_list_that_replaces_is_looked_at_in_steps() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(cid) for cid in MANY])
    steps = server.ledger.retaining(ANN, {MANY[-1]: want(MANY[-1]), MANY[0]: Entry(MANY[0])})
    next(steps)
    server.ledger.receive(ANN, [Entry(MANY[-2], cancel=True)])  # meanwhile
    for _ in steps:
        pass
    assert [entry.cid for entry in server.ledger.wantlist(ANN)] == [MANY[0], MANY[-1]]
    server.ledger.receive(ANN, [want(cid) for cid in MANY])
    server.ledger.receive(ANN, [want(SMALL)], True)
    assert [entry.cid for entry in server.ledger.wantlist(ANN)] == [SMALL]


def test_what_the_store_failed_at_waits_and_is_looked_up_again() -> None:
    server = Server()
    server.ledger.receive(ANN, [want(SMALL, dont_have=True), want(ABSENT, dont_have=True)])
    found, other = server.ledger.look_ups(ANN, 10)
    server.ledger.put_aside(found)
    server.ledger.put_aside(found)
    server.ledger.resolve(other, 5)
    assert other.waits_for_block
    reply = server.ledger.next_reply(ANN)
    assert reply is not None
    server.ledger.put_aside(other)
    reply.leave_out([other])
    assert not reply.fill([])
    server.ledger.sent(reply)
    assert not server.ledger.pending(ANN)
    for one in (found, other, other):
        server.ledger.look_again(one)
    assert server.look_up(ANN) == 2
    assert server.take(ANN) is not None


# -- the tracker ----------------------------------------------------------------------------------


def test_a_peer_that_leaves_with_many_wants_leaves_in_steps() -> None:
    client = Client(ANN, max_wants=10_000)
    client.want(*MANY)
    tracker = client.tracker
    tracker.add_peer(BOB)
    tracker.chores.finish()
    tracker.remove_peer(ANN)
    assert tracker.chores.left
    tracker.claim(BOB, MANY[-1], 5, client.now)  # it has come from another one meanwhile
    tracker.unwant(client.session, MANY[-2].multihash)
    tracker.chores.finish()
    for cid in MANY[:-2]:
        assert tracker.report(client.session, cid.multihash)[ANN] is PeerAnswer.DISCONNECTED


def test_a_session_with_many_wants_that_ends_while_it_is_seen_to() -> None:
    client = Client(ANN, max_wants=10_000, searches=True)
    client.want(*MANY)
    tracker = client.tracker
    tracker.provider_connected(MANY[0].multihash, ANN)
    assert tracker.chores.left
    tracker.unwant(client.session, MANY[-1].multihash)
    tracker.close_session(client.session)
    tracker.chores.finish()
    assert tracker.wantlist() == []
    assert not tracker.is_asked(ANN)
    assert not tracker.has_delivered(ANN, client.now)


def test_no_more_cancels_go_into_a_message_than_wants() -> None:
    client = Client(ANN, max_wants=10_000)
    client.want(*MANY)
    tracker = client.tracker
    tracker.take_message(ANN)
    tracker.message_written(ANN, client.now)
    tracker.close_session(client.session)
    tracker.chores.finish()
    assert len(tracker.take_message(ANN)) == MAX_CANCELS
    again = tracker.open_session()
    tracker.want(again, MANY[-1], client.now)  # is cancelled with the next message
    assert tracker.has_outgoing(ANN)
    entries = tracker.take_message(ANN)
    assert len(entries) == len(MANY) - MAX_CANCELS
    assert all(entry.cancel for entry in entries)
    assert [entry.cid for entry in tracker.take_message(ANN)] == [MANY[-1]]


def test_who_has_delivered_lately_is_known() -> None:
    client = Client(ANN)
    client.want(MANY[0])
    tracker = client.tracker
    tracker.take_message(ANN)
    tracker.message_written(ANN, client.now)
    assert tracker.is_asked(ANN)
    assert tracker.claim(ANN, MANY[0], 5, client.now) is not None
    assert tracker.has_delivered(ANN, client.now + 1)
    assert not tracker.has_delivered(ANN, client.now + 100)
    assert not tracker.has_delivered(BOB, client.now)
