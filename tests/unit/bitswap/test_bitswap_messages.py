"""Messages to buffers and back: vectors, any split, merging, limits, and whatever peers send."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libp2p.bitswap.config import (
    BITSWAP_PROTOCOL_NO_VERSION,
    BITSWAP_PROTOCOL_V100,
    BITSWAP_PROTOCOL_V110,
    BITSWAP_PROTOCOL_V120,
    BITSWAP_PROTOCOLS,
    MAX_BLOCK_SIZE,
    MAX_MESSAGE_PARTS,
    MAX_MESSAGE_PIECES,
    MAX_MESSAGE_SIZE,
)
from libp2p.bitswap.errors import MessageTooLargeError
from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage
from libp2p.bitswap.wire.decode import MessageReader, decode, owned
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.bitswap.wire.protocols import Dialect, speaks_have
from libp2p.exceptions import ParseError
from libp2p.ipld.cid import CID
from libp2p.utils.varint import encode_uvarint
from tests.support.blocks import block, blocks

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

ABC = CID.for_block(b"abc")
FOOBAR_V0 = CID.for_block(b"foobar", codec="dag-pb", version=0)
HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave


def wire(message: Message, dialect: Dialect = Dialect.V1) -> bytes:
    (frame,) = message.frames(dialect)
    return b"".join(frame)


def read(*buffers: Buffer) -> list[Message]:
    reader = MessageReader()
    messages = reader.receive(buffers)
    assert reader.at_boundary
    return messages


def read_body(body: bytes) -> Message:
    (message,) = read(encode_uvarint(len(body)) + body)
    return message


def field(number: int, body: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + encode_uvarint(len(body)) + body


def same(one: Message, two: Message) -> bool:
    return (
        one.entries == two.entries
        and one.full == two.full
        and one.blocks == two.blocks
        and one.presences == two.presences
        and one.pending_bytes == two.pending_bytes
    )


# -- vectors --------------------------------------------------------------------------------------

WANT_ABC = bytes.fromhex(
    "2e0a2c0a2a0a2401551220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad10012801"
)
BLOCK_ABC = bytes.fromhex("0f0a001a0b0a04015512201203616263")
BLOCK_ABC_WITHOUT_WANTLIST = bytes.fromhex("0d1a0b0a04015512201203616263")
FOOBAR_HASH = "1220c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2"


def test_a_want_has_the_bytes_that_others_write() -> None:
    message = Message([Entry(ABC, 1, send_dont_have=True)])
    assert wire(message) == WANT_ABC
    assert same(read(WANT_ABC)[0], message)


def test_a_block_comes_with_an_empty_wantlist() -> None:
    message = Message(blocks=[(ABC, b"abc")])
    assert wire(message) == BLOCK_ABC
    assert same(read(BLOCK_ABC)[0], message)


def test_a_message_without_a_wantlist_is_read() -> None:
    assert same(read(BLOCK_ABC_WITHOUT_WANTLIST)[0], Message(blocks=[(ABC, b"abc")]))


def test_a_have_has_the_bytes_that_go_writes() -> None:
    body = bytes.fromhex("0a22" + FOOBAR_HASH)
    assert wire(Message(presences=[(FOOBAR_V0, HAVE)])) == b"\x28\x0a\x00" + field(4, body)


def test_a_dont_have_names_its_type() -> None:
    body = bytes.fromhex("0a22" + FOOBAR_HASH + "1001")
    assert wire(Message(presences=[(FOOBAR_V0, DONT_HAVE)])) == b"\x2a\x0a\x00" + field(4, body)


def test_a_cancel_is_the_cid_and_the_flag() -> None:
    cancel = Entry(ABC, 7, cancel=True, want_type=WantType.Have, send_dont_have=True)
    entry = b"\x0a\x24" + ABC.buffer + b"\x18\x01"
    raw = b"\x2c" + field(1, field(1, entry))
    assert wire(Message([cancel])) == raw
    assert read(raw)[0].entries == {ABC: Entry(ABC, 0, cancel=True)}


def test_a_version_0_block_has_the_prefix_that_go_parses() -> None:
    message = wire(Message(blocks=[(FOOBAR_V0, b"foobar")]))
    assert message[3:] == field(3, bytes.fromhex("0a0400701220") + field(2, b"foobar"))


@pytest.mark.parametrize(
    ("priority", "encoded"),
    [
        (-1, "10ffffffffffffffffff01"),
        (0, ""),
        (1, "1001"),
        (2**31 - 1, "10ffffffff07"),
        (-(2**31), "1080808080f8ffffffff01"),
    ],
)
def test_priorities_are_int32(priority: int, encoded: str) -> None:
    raw = wire(Message([Entry(ABC, priority)]))
    assert raw.endswith(ABC.buffer + bytes.fromhex(encoded))
    assert read(raw)[0].entries[ABC].priority == priority


@pytest.mark.parametrize("prefix", ["", "1220", "00701220"])
def test_version_0_blocks_are_known_by_all_prefixes_in_use(prefix: str) -> None:
    block_field = field(1, bytes.fromhex(prefix)) + field(2, b"foobar")
    assert read_body(field(3, block_field)).blocks == {FOOBAR_V0: b"foobar"}


def test_a_truncated_digest_is_as_long_as_its_prefix_says() -> None:
    message = read_body(field(3, field(1, bytes.fromhex("01551214")) + field(2, b"abc")))
    (cid,) = message.blocks
    assert cid.digest == ABC.digest[:20]


@pytest.mark.parametrize("name", ["sha2-512", "blake2b-256", "sha1", "sha3-256", "dbl-sha2-256"])
def test_blocks_of_other_hash_functions_are_read(name: str) -> None:
    cid = CID.for_block(b"abc", hash=name)
    assert read(wire(Message(blocks=[(cid, b"abc")])))[0].blocks == {cid: b"abc"}


# -- dialects -------------------------------------------------------------------------------------


def test_the_protocol_decides_on_the_dialect() -> None:
    assert Dialect.of(BITSWAP_PROTOCOL_V120) is Dialect.of(BITSWAP_PROTOCOL_V110) is Dialect.V1
    assert Dialect.of(BITSWAP_PROTOCOL_V100) is Dialect.V0
    assert Dialect.of(BITSWAP_PROTOCOL_NO_VERSION) is Dialect.V0
    assert Dialect.of(None) is Dialect.V1


@pytest.mark.parametrize("prefix", ["", "/celestia", "/ipfs/bitswap/1.0.0"])
def test_a_networks_prefix_does_not_hide_the_version(prefix: str) -> None:
    v0, have = [], []
    for protocol in BITSWAP_PROTOCOLS:
        v0.append(Dialect.of(prefix + protocol) is Dialect.V0)
        have.append(speaks_have(prefix + protocol))
    assert v0 == [False, False, True, True]
    assert have == [True, False, False, False]


@pytest.mark.parametrize("protocol", [None, "", "/other/1.0.0"])
def test_other_protocols_count_as_the_newest(protocol: str | None) -> None:
    assert Dialect.of(protocol) is Dialect.V1
    assert speaks_have(protocol)


def test_old_peers_get_bare_blocks_and_no_presences() -> None:
    message = Message(blocks=[(ABC, b"abc")], presences=[(FOOBAR_V0, HAVE)])
    assert wire(message, Dialect.V0) == b"\x07\x0a\x00" + field(2, b"abc")


def test_a_bare_block_is_named_by_version_0() -> None:
    v0 = CID.for_block(b"abc", codec="dag-pb", version=0)
    assert read_body(field(2, b"abc")).blocks == {v0: b"abc"}


# -- any split, and protobuf as the judge ----------------------------------------------------------

cids = st.builds(
    lambda data, version: (
        CID.for_block(data, codec="dag-pb", version=0) if version == 0 else CID.for_block(data)
    ),
    st.binary(max_size=8),
    st.integers(0, 1),
)
entries = st.builds(
    Entry,
    cids,
    st.integers(-(2**31), 2**31 - 1),
    st.just(False),
    st.sampled_from(WantType),
    st.booleans(),
)
payload = st.binary(max_size=9000).map(lambda data: (CID.for_block(data), data))
messages = st.builds(
    Message,
    st.lists(entries, max_size=5),
    full=st.booleans(),
    blocks=st.lists(payload, max_size=4),
    presences=st.lists(st.tuples(cids, st.sampled_from(BlockPresenceType)), max_size=5),
    pending_bytes=st.integers(0, 2**31 - 1),
)


@given(st.lists(messages, min_size=1, max_size=3), st.data())
@settings(max_examples=60)
def test_any_split_gives_the_same_messages(sent: list[Message], data: st.DataObject) -> None:
    raw = b"".join(map(wire, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    reader = MessageReader()
    received: list[Message] = []
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        received += reader.receive([memoryview(raw)[start:stop]])
    assert reader.at_boundary
    assert len(received) == len(sent)
    assert all(map(same, received, sent))


def test_views_that_keep_more_alive_than_they_show_are_copied() -> None:
    record, other = bytes(1000), bytes(1000)
    shown = memoryview(record)
    small = memoryview(other)
    views: list[Buffer] = [shown[:300], b"x", shown[300:600], small[:100], small[:300]]
    kept = owned(views)
    assert kept == views
    assert [type(view) for view in kept] == [memoryview, bytes, memoryview, bytes, bytes]
    assert list(map(id, owned(views[:3]))) == list(map(id, views[:3]))


@given(messages)
@settings(max_examples=60)
def test_protobuf_reads_what_is_written(message: Message) -> None:
    raw = wire(message)
    proto = ProtoMessage.FromString(raw[len(raw) - decode_length(raw) :])
    assert [entry.block for entry in proto.wantlist.entries] == [c.buffer for c in message.entries]
    assert [entry.priority for entry in proto.wantlist.entries] == [
        entry.priority for entry in message.entries.values()
    ]
    assert proto.HasField("wantlist")
    assert proto.wantlist.full == message.full
    assert [b.data for b in proto.payload] == list(message.blocks.values())
    assert [p.cid for p in proto.blockPresences] == [c.buffer for c in message.presences]
    assert proto.pendingBytes == message.pending_bytes
    assert same(decode([proto.SerializeToString()]), message)


def decode_length(raw: bytes) -> int:
    reader = MessageReader()
    (frame,) = reader.receive_frames([raw])
    return sum(map(len, frame))


def body_of(message: Message) -> bytes:
    (frame,) = MessageReader().receive_frames([wire(message)])
    return b"".join(frame)


def outcome(*pieces: bytes) -> object:
    """What a message says, or that it is refused."""
    try:
        message = decode([*pieces])
    except (ParseError, MessageTooLargeError) as error:
        return type(error)
    return (message.entries, message.full, message.blocks, message.presences, message.pending_bytes)


@given(st.one_of(st.binary(max_size=60), messages.map(body_of)), st.data())
def test_what_a_message_says_does_not_depend_on_its_pieces(raw: bytes, data: st.DataObject) -> None:
    body = bytearray(raw)
    for at in data.draw(st.lists(st.integers(0, max(len(body) - 1, 0)), max_size=2)):
        body[at : at + 1] = data.draw(st.binary(max_size=11))
    whole = bytes(body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert outcome(*pieces) == outcome(*(whole[at : at + 1] for at in range(len(whole))))
    assert outcome(*pieces) == outcome(whole)


def padded(number: int, zeros: int) -> bytes:
    """A varint that is longer than it need be."""
    first = encode_uvarint(number)
    return first[:-1] + bytes((first[-1] | 0x80,)) + b"\x80" * (zeros - 1) + b"\x00"


def padded_field(number: int, body: bytes) -> bytes:
    return padded(number << 3 | 2, 1) + padded(len(body), 2) + body


@given(st.integers(0, 2**31 - 1), st.booleans(), st.booleans(), st.integers(1, 3))
def test_numbers_in_a_long_form_say_the_same(
    priority: int, have: bool, send_dont_have: bool, zeros: int
) -> None:
    entry = padded_field(1, ABC.buffer)
    for number, value in ((2, priority), (4, have), (5, send_dont_have)):
        entry += padded(number << 3, zeros) + padded(int(value), zeros)
    block_of = padded_field(1, ABC.prefix) + padded_field(2, b"abc")
    presence = padded_field(1, FOOBAR_V0.buffer) + padded(2 << 3, 1) + padded(1, zeros)
    message = read_body(
        padded_field(1, padded_field(1, entry) + padded(2 << 3, 1) + padded(1, zeros))
        + padded_field(3, block_of)
        + padded_field(4, presence)
    )
    kind = WantType.Have if have else WantType.Block
    assert message.entries == {ABC: Entry(ABC, priority, False, kind, send_dont_have)}
    assert message.full
    assert message.blocks == {ABC: b"abc"}
    assert message.presences == {FOOBAR_V0: DONT_HAVE}


def test_an_entry_may_be_longer_than_a_byte_can_say() -> None:
    long = CID.for_block(bytes(128), hash="identity")
    want = Entry(long, 5, want_type=WantType.Have)
    assert read(wire(Message([Entry(ABC), want, Entry(FOOBAR_V0)])))[0].entries[long] == want


def test_every_cut_of_a_message_in_two_works() -> None:
    raw = wire(Message([Entry(ABC)], blocks=[block(1, 5000)], presences=[(FOOBAR_V0, HAVE)]))
    for cut in range(1, len(raw)):
        reader = MessageReader()
        assert reader.receive([raw[:cut]]) == []
        assert not reader.at_boundary
        (message,) = reader.receive([raw[cut:]])
        assert len(message.blocks) == len(message.presences) == len(message.entries) == 1


def test_a_limit_leaves_the_other_messages_for_the_next_call() -> None:
    bodies = [body_of(Message(blocks=[block(number)])) for number in range(3)]
    raw = b"".join(encode_uvarint(len(body)) + body for body in bodies)
    reader = MessageReader()
    frames = reader.receive_frames([raw], 2)
    assert [b"".join(frame) for frame in frames] == bodies[:2]
    assert reader.buffered
    assert not reader.at_boundary
    (last,) = reader.receive_frames([], 2)
    assert b"".join(last) == bodies[2]
    assert reader.at_boundary


def test_a_block_in_one_piece_is_not_copied_twice() -> None:
    cid, data = block(1, 100_000)
    (frame,) = Message(blocks=[(cid, data)]).frames()
    assert [part for part in frame if part is data] == [data]  # the very buffer is sent


def test_a_message_in_single_bytes_is_held_in_few_pieces() -> None:
    cid, data = block(1, MAX_MESSAGE_PIECES * 2)
    raw = wire(Message(blocks=[(cid, data)]))
    reader = MessageReader()
    received: list[Message] = []
    for at in range(len(raw)):
        received += reader.receive([raw[at : at + 1]])
        assert len(reader._queue._chunks) <= MAX_MESSAGE_PIECES + 1
    assert received[0].blocks == {cid: data}


# -- merging --------------------------------------------------------------------------------------


def merged(*entries: Entry) -> Entry:
    message = Message(entries)
    (entry,) = message.entries.values()
    return entry


def test_a_want_for_the_block_beats_one_for_a_have() -> None:
    have, want = Entry(ABC, 5, want_type=WantType.Have), Entry(ABC, 3)
    assert merged(have, want) == Entry(ABC, 5)
    assert merged(want, have) == Entry(ABC, 3)


def test_the_priority_of_the_same_type_is_the_last_one() -> None:
    assert merged(Entry(ABC, 5), Entry(ABC, 3)).priority == 3


def test_cancel_and_the_wish_for_dont_have_stay() -> None:
    assert merged(Entry(ABC, cancel=True), Entry(ABC)).cancel
    assert merged(Entry(ABC, send_dont_have=True), Entry(ABC)).send_dont_have


def test_a_block_beats_a_presence() -> None:
    message = Message(presences=[(ABC, DONT_HAVE)])
    message.add_block(ABC, b"abc")
    message.add_presence(ABC, HAVE)
    assert message.blocks == {ABC: b"abc"}
    assert message.presences == {}


def test_repeated_blocks_and_wantlists_in_one_message_add_up() -> None:
    one = field(3, field(1, ABC.prefix) + field(2, b"abc"))
    wants = [field(1, field(1, field(1, c.buffer))) for c in (ABC, FOOBAR_V0)]
    message = read_body(one * 1000 + b"".join(wants))
    assert list(message.blocks) == [ABC]
    assert list(message.entries) == [ABC, FOOBAR_V0]


def test_a_message_of_pending_bytes_alone_says_nothing() -> None:
    assert not Message(pending_bytes=5)
    assert not read(b"\x00")[0]
    assert Message(full=True)
    assert Message([Entry(ABC)])


# -- sizes ----------------------------------------------------------------------------------------


def test_the_largest_block_fits_alone() -> None:
    data = bytes(MAX_BLOCK_SIZE)
    cid = CID.for_block(data)
    (frame,) = Message(blocks=[(cid, data)], pending_bytes=99).frames()
    assert sum(map(len, frame)) == MAX_MESSAGE_SIZE + 4  # and its length
    (message,) = read(*frame)
    assert message.blocks == {cid: data}
    assert message.pending_bytes == 0  # no room was left to say so


def test_a_larger_block_is_refused() -> None:
    data = bytes(MAX_BLOCK_SIZE + 1)
    with pytest.raises(MessageTooLargeError):
        Message(blocks=[(CID.for_block(data), data)]).frames()


@given(st.integers(200, 4000))
@settings(max_examples=40)
def test_split_messages_say_the_same_and_keep_the_limit(limit: int) -> None:
    message = Message(
        [Entry(cid, number) for number, cid in enumerate(blocks(20))],
        full=True,
        blocks=blocks(20, 100).items(),
        presences=[(cid, HAVE) for cid in blocks(20, 50)],
        pending_bytes=7,
    )
    frames = message.frames(limit=limit)
    together = Message()
    fulls: list[bool] = []
    for frame in frames:
        (part,) = read(*frame)
        assert sum(map(len, frame)) <= limit + 2
        together.entries |= part.entries
        together.blocks |= part.blocks
        together.presences |= part.presences
        fulls += [part.full] if part.entries else []
    assert together.entries == message.entries
    assert together.blocks == message.blocks
    assert together.presences == message.presences
    assert fulls == [True] + [False] * (len(fulls) - 1)


def test_pending_bytes_are_told_in_the_last_message_and_stay_int32() -> None:
    message = Message(blocks=blocks(3, 300).items(), pending_bytes=2**40)
    *first, last = message.frames(limit=400)
    assert {read(*frame)[0].pending_bytes for frame in first} == {0}
    assert read(*last)[0].pending_bytes == 2**31 - 1
    assert wire(Message(pending_bytes=-5)) == b"\x02\x0a\x00"


# -- what is refused ------------------------------------------------------------------------------


def refused(*buffers: bytes) -> type[Exception]:
    with pytest.raises((ParseError, MessageTooLargeError)) as caught:
        MessageReader().receive(buffers)
    return caught.type


def test_a_length_of_4_mib_is_the_most() -> None:
    reader = MessageReader()
    assert reader.receive([encode_uvarint(MAX_MESSAGE_SIZE)]) == []
    assert reader.buffered == 0  # and nothing was made ready for it
    assert refused(encode_uvarint(MAX_MESSAGE_SIZE + 1)) is MessageTooLargeError


@pytest.mark.parametrize("length", ["8000", "ff00", "ffffffffffffffffff7f", "80808080808080808001"])
def test_a_length_not_in_its_shortest_form_or_too_long_is_refused(length: str) -> None:
    refused(bytes.fromhex(length))


def test_half_a_length_waits_for_the_rest() -> None:
    reader = MessageReader()
    assert reader.receive([b"\x82"]) == []
    assert not reader.at_boundary
    with pytest.raises(ParseError):
        reader.receive([b"\x00"])


@pytest.mark.parametrize(
    "body",
    [
        "ff",  # a tag that ends with the message
        "0a05",  # a wantlist longer than the message
        "0a040a03",  # an entry longer than its wantlist
        "0a020a05" + "00" * 5,  # an entry that goes on after its wantlist
        "0a010a",  # an entry without a length
        "0a040a020a05" + "00" * 5,  # a CID that goes on after its entry
        "0a040a021080" + "01",  # a priority that does
        "0a00" + "00",  # field 0
        "0b0c",  # a group
        "0e",  # wire type 6
        "09" + "00" * 7,  # a fixed64 of seven bytes
        "0d000000",  # a fixed32 of three bytes
        "28" + "ff" * 10 + "01",  # a number of 77 bits
        "12ffffffff0f",  # a block that is not there
        "1a021205",  # data longer than its block
        "1a04120300" + "00" * 2,  # data that goes on after its block
        "2202100f10",  # a presence and half a tag
        "28",  # a number that is not there
    ],
)
def test_malformed_protobuf_is_refused(body: str) -> None:
    raw = bytes.fromhex(body)
    assert issubclass(refused(encode_uvarint(len(raw)) + raw), ParseError)
    with pytest.raises(ParseError):
        decode([raw[at : at + 1] for at in range(len(raw))])


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_garbage_is_read_or_refused_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(ParseError, MessageTooLargeError):
        decode([body])


@pytest.mark.slow
def test_too_many_parts_are_refused() -> None:
    tiny = field(1, field(1, b"ab"))
    assert not decode([field(1, tiny * MAX_MESSAGE_PARTS)]).entries
    with pytest.raises(MessageTooLargeError):
        decode([field(1, tiny * (MAX_MESSAGE_PARTS + 1))])
    with pytest.raises(MessageTooLargeError):
        decode([field(4, b"") * (MAX_MESSAGE_PARTS + 1)])


# -- what is tolerated ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cid",
    [
        b"",
        b"\x12\x20short",
        ABC.buffer + b"\x00",
        b"\x02" + ABC.buffer[1:],
        b"\x81\x00" + ABC.buffer[1:],
        b"\x01\x55\x12" + encode_uvarint(2**62),
        b"\x01" + (b"\xff" * 8 + b"\x7f") * 2 + b"\x95\x01" + bytes(149),
    ],
    ids=["empty", "short", "trailing", "version 2", "long varint", "huge digest", "170 bytes"],
)
def test_a_bad_cid_costs_its_entry_only(cid: bytes) -> None:
    entry_of = [field(1, field(1, raw)) for raw in (cid, ABC.buffer)]
    presence_of = [field(4, field(1, raw)) for raw in (cid, FOOBAR_V0.buffer)]
    message = read_body(field(1, b"".join(entry_of)) + b"".join(presence_of))
    assert list(message.entries) == [ABC]
    assert list(message.presences) == [FOOBAR_V0]


@pytest.mark.parametrize(
    "prefix",
    [
        "01",
        "0255122000",
        "01551200",
        "015512ff01",
        "0155122000",
        "01559919" + "20",
        "01551210",
        "8100551220",
        "01551280808080808080808001",
    ],
)
def test_a_bad_prefix_costs_its_block_only(prefix: str) -> None:
    bad = field(3, field(1, bytes.fromhex(prefix)) + field(2, b"abc"))
    good = field(3, field(1, ABC.prefix) + field(2, b"abc"))
    assert read_body(bad + good).blocks == {ABC: b"abc"}


def test_unknown_fields_and_kinds_are_passed_over() -> None:
    unknown = b"\x30\x05" + b"\x39" + bytes(8) + b"\x3d" + bytes(4) + field(9, b"xyz")
    want = field(1, field(1, ABC.buffer) + b"\x20\x09" + unknown) + unknown
    presence = [field(4, field(1, ABC.buffer) + kind + unknown) for kind in (b"\x10\x02", b"")]
    block_field = field(3, unknown + field(1, FOOBAR_V0.prefix) + field(2, b"foobar"))
    message = read_body(unknown + field(1, want) + b"".join(presence) + block_field)
    assert message.entries == {ABC: Entry(ABC, 0, want_type=WantType.Block)}
    assert message.presences == {ABC: HAVE}  # the kind 2 was passed over
    assert message.blocks == {FOOBAR_V0: b"foobar"}


def test_negative_pending_bytes_are_none() -> None:
    assert read_body(b"\x28" + b"\xff" * 9 + b"\x01").pending_bytes == 0


def test_an_empty_block_is_a_block() -> None:
    cid = CID.for_block(b"")
    assert read(wire(Message(blocks=[(cid, b"")])))[0].blocks == {cid: b""}


def test_full_is_what_the_wantlist_says() -> None:
    assert read_body(field(1, b"\x10\x01")).full
    assert not read_body(field(1, b"\x10\x00")).full
    assert wire(Message(full=True)) == b"\x04" + field(1, b"\x10\x01")
