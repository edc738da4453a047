"""Keys of blocks, the types of wantlists, and py-libp2p's message helpers."""

from __future__ import annotations

from libp2p.bitswap import messages as factory
from libp2p.bitswap.config import send_deadline
from libp2p.bitswap.pb.bitswap_pb2 import Message as ProtoMessage
from libp2p.bitswap.wantlist import BitswapMessage, BlockPresence, Wantlist, WantlistEntry
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.ipld.cid import CID

V1 = CID.for_block(b"abc")
V0 = CID.for_block(b"abc", codec="dag-pb", version=0)


def test_version_and_codec_do_not_change_the_key() -> None:
    assert V0.multihash == V1.multihash == CID.for_block(b"abc", codec="dag-json").multihash


def test_a_wantlist_knows_what_it_contains() -> None:
    wantlist = Wantlist()
    assert not wantlist
    wantlist.add(str(V1), 5, WantType.Have, True)
    wantlist.cancel(V0)
    assert wantlist.contains(V1.buffer)
    assert not wantlist.contains(V0)
    assert wantlist
    assert len(wantlist) == 2
    assert wantlist.entries == [
        WantlistEntry(V1.buffer, 5, False, WantType.Have, True),
        WantlistEntry(V0.buffer, cancel=True),
    ]


def test_a_message_goes_through_protobuf_unchanged() -> None:
    assert not BitswapMessage().is_want
    message = BitswapMessage(pending_bytes=9)
    message.add_want(V1, 3, WantType.Have, True)
    message.cancel_want(V0)
    message.add_block(V1, b"abc")
    message.add_have(V1)
    message.add_dont_have(V0)
    assert message.is_want
    assert message.has_blocks
    assert message.has_presences
    assert message.blocks == [(V1.buffer, b"abc")]
    assert [block.prefix for block in message.to_proto().payload] == [V1.prefix]
    assert message.block_presences == [BlockPresence.have(V1), BlockPresence.dont_have(V0)]
    assert BitswapMessage.from_proto(message.to_proto()) == message


def test_an_empty_message_still_has_a_wantlist_on_the_wire() -> None:
    assert BitswapMessage().to_proto().SerializeToString() == b"\x0a\x00"
    assert BitswapMessage.from_proto(ProtoMessage()) == BitswapMessage()


def test_old_blocks_and_unknown_kinds_are_read_from_protobuf() -> None:
    raw = b"\x12\x03abc" + b"\x22\x04\x0a\x00\x10\x05"
    message = BitswapMessage.from_proto(ProtoMessage.FromString(raw))
    assert message.blocks == [(V0.buffer, b"abc")]
    assert message.block_presences == []


def test_messages_are_made_by_the_names_of_py_libp2p() -> None:
    entry = factory.create_wantlist_entry(V1, 4, want_type=WantType.Have, send_dont_have=True)
    wants = factory.create_wantlist_message([entry], full=True)
    assert wants.wantlist.full
    assert wants.wantlist.entries[0].block == V1.buffer
    assert int(wants.wantlist.entries[0].wantType) == 1
    assert list(factory.create_block_message_v100([b"abc"]).blocks) == [b"abc"]
    (payload,) = factory.create_block_message_v110([(V1.prefix, b"abc")]).payload
    assert (payload.prefix, payload.data) == (V1.prefix, b"abc")
    have, not_here = factory.create_block_presence_message([(V1, True), (V0, False)]).blockPresences
    assert (int(have.type), int(not_here.type)) == (
        BlockPresenceType.Have,
        BlockPresenceType.DontHave,
    )
    whole = factory.create_message([entry], [b"x"], [(b"p", b"d")], [(V1, True)], 7, True)
    assert whole.pendingBytes == 7
    assert factory.create_message().HasField("wantlist")


def test_the_time_to_send_grows_with_the_size_within_bounds() -> None:
    assert send_deadline(0) == 10
    assert send_deadline(500_000) == 42
    assert send_deadline(10**9) == 120
