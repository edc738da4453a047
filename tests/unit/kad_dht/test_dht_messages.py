"""Messages of the DHT: what other implementations write is read, and nothing of any bytes fails."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import RemoteProtocolError
from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.messages import (
    MAX_CLOSER_PEERS,
    MAX_KEY_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_PARTS,
    MAX_PEER_ENTRY_BYTES,
    MAX_PROVIDER_PEERS,
    MAX_TIME_LENGTH,
    MAX_VALUE_BYTES,
    Connection,
    Message,
    MessageType,
    PeerEntry,
    Record,
    decode,
    encode,
)
from libp2p.kad_dht.pb import kademlia_pb2 as pb
from libp2p.peer.addresses import MAX_ADDRESS_BYTES
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_uvarint, encode_varint_prefixed
from tests.support.identities import peer_id_of
from tests.support.strategies import octets

PEER = peer_id_of("peer")
ADDRESS = b"\x04\x01\x02\x03\x04\x06\x0f\xa1"

peer_ids = st.binary(min_size=32, max_size=32).map(lambda digest: ID(b"\x12\x20" + digest))
entries = st.builds(
    PeerEntry,
    peer_ids,
    st.lists(octets(60, min_size=1), max_size=4).map(tuple),
    st.sampled_from(Connection),
)
records = st.builds(
    Record, octets(80), octets(300), st.sampled_from(["", "2026-11-29T00:00:00.123456789Z"])
)
some_messages = st.builds(
    Message,
    st.sampled_from(MessageType),
    octets(80),
    st.none() | records,
    st.lists(entries, max_size=4).map(tuple),
    st.lists(entries, max_size=4).map(tuple),
)


def proto_of(message: Message) -> pb.Message:
    """The same message as protobuf's own object."""
    made = pb.Message(type=message.kind.name, key=message.key)
    if message.record is not None:
        record = message.record
        made.record.SetInParent()
        made.record.MergeFrom(
            pb.Record(key=record.key, value=record.value, timeReceived=record.time_received)
        )
    for field, peers in (
        (made.closerPeers, message.closer),
        (made.providerPeers, message.providers),
    ):
        for peer in peers:
            field.add(
                id=peer.peer_id.to_bytes(),
                addrs=peer.addrs,
                connection=peer.connection.name,
            )
    return made


class TestBothWays:
    @given(some_messages)
    def test_what_is_written_is_read_as_it_was(self, message: Message) -> None:
        assert decode(encode(message)) == message

    @given(some_messages)
    def test_the_bytes_are_those_of_protobuf(self, message: Message) -> None:
        theirs = proto_of(message).SerializeToString(deterministic=True)
        assert encode(message) == theirs
        assert decode(theirs) == message

    def test_a_request_of_go_is_read(self) -> None:
        # FIND_NODE with clusterLevelRaw 1, as go-libp2p-kad-dht sends it.
        request = bytes.fromhex("0804") + b"\x12\x22" + PEER.to_bytes()[:34] + b"\x50\x01"
        found = decode(request)
        assert (found.kind, found.key) == (MessageType.FIND_NODE, PEER.to_bytes()[:34])

    def test_fields_of_py_libp2p_are_ignored(self) -> None:
        proto = pb.Message(type=pb.Message.FIND_NODE, senderRecord=b"sealed", clusterLevelRaw=1)
        proto.closerPeers.add(id=PEER.to_bytes(), addrs=[ADDRESS], signedRecord=b"sealed")
        assert decode(proto.SerializeToString()).closer == (PeerEntry(PEER, (ADDRESS,)),)

    def test_unknown_fields_of_a_record_are_ignored(self) -> None:
        wire = b"\x1a\x08\x0a\x01k\x22\x03old"
        assert decode(wire) == Message(MessageType.PUT_VALUE, record=Record(b"k", b""))

    def test_fields_come_in_any_order_and_the_last_one_counts(self) -> None:
        wire = b"\x12\x01a\x08\x05\x12\x01b"
        assert decode(wire) == Message(MessageType.PING, b"b")

    def test_a_buffer_is_read(self) -> None:
        message = Message(MessageType.GET_VALUE, b"/v/key")
        assert decode(memoryview(encode(message))) == message


class TestSinglePeers:
    @given(octets(50))
    def test_any_id_is_read_or_left_out(self, raw: bytes) -> None:
        proto = pb.Message(type=pb.Message.FIND_NODE)
        proto.closerPeers.add(id=raw, addrs=[ADDRESS])
        proto.closerPeers.add(id=PEER.to_bytes(), addrs=[ADDRESS])
        found = decode(proto.SerializeToString()).closer
        assert found[-1] == PeerEntry(PEER, (ADDRESS,))
        assert len(found) in (1, 2)

    def test_a_peer_without_id_is_left_out(self) -> None:
        proto = pb.Message(type=pb.Message.FIND_NODE)
        proto.closerPeers.add(addrs=[ADDRESS])
        assert decode(proto.SerializeToString()) == Message(MessageType.FIND_NODE)

    def test_an_unknown_connection_is_none(self) -> None:
        peer = b"\x0a" + bytes((len(PEER.to_bytes()),)) + PEER.to_bytes() + b"\x18\xff\xff\x03"
        found = decode(b"\x08\x04\x42" + bytes((len(peer),)) + peer)
        assert found.closer == (PeerEntry(PEER),)

    @pytest.mark.parametrize("address", [b"", bytes(MAX_ADDRESS_BYTES + 1)])
    def test_an_address_that_is_none_is_left_out(self, address: bytes) -> None:
        proto = pb.Message()
        proto.providerPeers.add(id=PEER.to_bytes(), addrs=[address, ADDRESS])
        assert decode(proto.SerializeToString()).providers == (PeerEntry(PEER, (ADDRESS,)),)

    def test_addresses_are_trimmed_and_the_peer_stays(self) -> None:
        addrs = tuple(bytes((number % 251 + 1,)) * 200 for number in range(100))
        for wire in (
            encode(Message(MessageType.FIND_NODE, closer=(PeerEntry(PEER, addrs),))),
            proto_of(
                Message(MessageType.FIND_NODE, closer=(PeerEntry(PEER, addrs),))
            ).SerializeToString(),
        ):
            (peer,) = decode(wire).closer
            assert peer.peer_id == PEER
            assert peer.addrs == addrs[: len(peer.addrs)]
            size = pb.Message.Peer(
                id=PEER.to_bytes(), addrs=peer.addrs, connection="CONNECTED"
            ).ByteSize()
            assert MAX_PEER_ENTRY_BYTES - 210 < size <= MAX_PEER_ENTRY_BYTES

    def test_many_short_addresses_are_trimmed_exactly(self) -> None:
        wire = Message(MessageType.FIND_NODE, closer=(PeerEntry(PEER, (b"a",) * 5000),))
        (peer,) = decode(encode(wire)).closer
        entry = pb.Message.Peer(id=PEER.to_bytes(), addrs=peer.addrs, connection="CONNECTED")
        assert MAX_PEER_ENTRY_BYTES - 3 < entry.ByteSize() <= MAX_PEER_ENTRY_BYTES

    def test_an_entry_is_encoded_once(self) -> None:
        entry = PeerEntry(PEER, (ADDRESS,))
        assert entry.encoded is entry.encoded
        assert replace(entry, connection=Connection.CONNECTED).encoded != entry.encoded


class TestTooMuch:
    @pytest.mark.parametrize("field", ["closerPeers", "providerPeers"])
    def test_peers_beyond_the_limit_are_ignored(self, field: str) -> None:
        proto = pb.Message(type=pb.Message.FIND_NODE)
        for number in range(10_000):
            getattr(proto, field).add(id=b"\x12\x20" + number.to_bytes(32, "big"))
        found = decode(proto.SerializeToString())
        assert len(found.closer) + len(found.providers) in (MAX_CLOSER_PEERS, MAX_PROVIDER_PEERS)

    def test_a_message_that_is_too_long(self) -> None:
        with pytest.raises(InvalidMessageError, match="4194305 bytes"):
            decode(bytes(MAX_MESSAGE_BYTES + 1))

    @pytest.mark.parametrize(
        "part", [b"\x42\x00", b"\x50\x01", b"\x12\x00"], ids=["peers", "numbers", "keys"]
    )
    def test_a_message_of_too_many_parts_costs_little(self, part: bytes) -> None:
        began = time.process_time()
        with pytest.raises(InvalidMessageError, match=f"more than {MAX_MESSAGE_PARTS} fields"):
            decode(part * (MAX_MESSAGE_BYTES // len(part)))
        assert time.process_time() - began < 1

    def test_a_peer_of_too_many_parts_costs_little(self) -> None:
        peer = b"\x12\x00" * 2_000_000
        wire = b"\x42" + encode_varint_prefixed(peer)
        began = time.process_time()
        with pytest.raises(InvalidMessageError, match="fields"):
            decode(wire)
        assert time.process_time() - began < 1

    def test_a_key_that_is_too_long(self) -> None:
        longest = Message(MessageType.GET_VALUE, bytes(MAX_KEY_BYTES))
        assert decode(encode(longest)) == longest
        with pytest.raises(InvalidMessageError, match="key of 1025 bytes"):
            decode(encode(Message(MessageType.GET_VALUE, bytes(MAX_KEY_BYTES + 1))))
        with pytest.raises(InvalidMessageError, match="key of 1025 bytes"):
            decode(encode(Message(MessageType.PUT_VALUE, b"", Record(bytes(1025), b""))))

    def test_a_value_that_is_too_long(self) -> None:
        longest = Message(MessageType.PUT_VALUE, b"k", Record(b"k", bytes(MAX_VALUE_BYTES)))
        assert decode(encode(longest)) == longest
        with pytest.raises(InvalidMessageError, match="value of 1048577 bytes"):
            decode(encode(Message(MessageType.PUT_VALUE, b"", Record(b"", bytes(1 + (1 << 20))))))

    @pytest.mark.parametrize("time_received", ["9" * (MAX_TIME_LENGTH + 1), "gestern früh"])
    def test_a_time_that_is_none_is_left_out(self, time_received: str) -> None:
        record = Record(b"k", b"v", time_received)
        wire = encode(Message(MessageType.PUT_VALUE, b"k", record))
        assert decode(wire).record == Record(b"k", b"v")


class TestMalformed:
    @given(octets(200))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        try:
            found = decode(data)
        except InvalidMessageError:
            return
        assert decode(encode(found)) == found

    @pytest.mark.parametrize(
        "wire",
        [
            b"\x12\x05abc",  # cut off
            b"\x42\x03\x0a\x04aaaaa",  # a field of a peer that goes on behind the peer
            b"\x42\x02\x0a\x85aaaaaaaaaaa",  # its length, too
            b"\x02\x01a",  # field 0
            b"\x0b",  # a group
            b"\x08",
            b"\x08" + b"\xff" * 11,
            b"\x12",
            b"\xff" * 12,
        ],
    )
    def test_it_is_refused_with_a_reason(self, wire: bytes) -> None:
        with pytest.raises(InvalidMessageError, match="malformed DHT message") as caught:
            decode(wire)
        assert isinstance(caught.value, RemoteProtocolError)

    @pytest.mark.parametrize("kind", [6, 127, 2**63])
    def test_unknown_types(self, kind: int) -> None:
        with pytest.raises(InvalidMessageError, match=f"unknown type {kind}"):
            decode(b"\x08" + encode_uvarint(kind))
        assert decode(b"\x08\x84\x00").kind is MessageType.FIND_NODE  # 4, not in its shortest form
