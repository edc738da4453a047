"""Signed envelopes and the peer records in them."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.crypto import ecc, ed25519, secp256k1
from libp2p.exceptions import InvalidRecord
from libp2p.peer.envelope import (
    ENVELOPE_DOMAIN,
    MAX_ENVELOPE_BYTES,
    PEER_RECORD_CODEC,
    Envelope,
    consume_envelope,
    consume_peer_record,
    make_unsigned,
    seal,
    seal_record,
    unmarshal_envelope,
)
from libp2p.peer.id import ID
from libp2p.peer.pb import peer_record_pb2
from libp2p.peer.peer_record import (
    MAX_RECORD_ADDRESSES,
    PeerRecord,
    addrs_from_protobuf,
    peer_record_from_peer_info,
    timestamp_seq,
    unmarshal_record,
)
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils.varint import encode_varint_prefixed

KEYS = ed25519.create_new_key_pair(bytes(32))
PEER = ID.from_pubkey(KEYS.public_key)
ADDRESSES = [Multiaddr("/ip4/127.0.0.1/tcp/1"), Multiaddr("/ip6/::1/udp/2/quic-v1")]
RECORD = PeerRecord(PEER, ADDRESSES, seq=7)


def test_the_signed_bytes_are_each_part_behind_its_length() -> None:
    assert make_unsigned("domain", b"\x03\x01", bytes(200)) == (
        b"\x06domain" + b"\x02\x03\x01" + b"\xc8\x01" + bytes(200)
    )


def test_wire_form_of_a_record() -> None:
    first, second = (address.to_bytes() for address in ADDRESSES)
    assert RECORD.marshal_record() == b"".join(
        (
            b"\x0a\x26" + PEER.to_bytes(),
            b"\x10\x07",
            *(bytes((0x1A, len(raw) + 2, 0x0A, len(raw))) + raw for raw in (first, second)),
        )
    )


def test_wire_form_of_an_envelope() -> None:
    envelope = seal("domain", b"\x03\x02", b"payload", KEYS.private_key)
    key, signature = KEYS.public_key.serialize(), envelope.signature
    assert envelope.marshal_envelope() == b"".join(
        (
            bytes((0x0A, len(key))) + key,
            b"\x12\x02\x03\x02",
            b"\x1a\x07payload",
            bytes((0x2A, len(signature))) + signature,
        )
    )


@pytest.mark.parametrize("module", [ed25519, secp256k1, ecc])
def test_a_sealed_record_is_read_again(module: object) -> None:
    pair = module.create_new_key_pair()  # type: ignore[attr-defined]
    record = PeerRecord(ID.from_pubkey(pair.public_key), ADDRESSES)
    sealed = seal_record(record, pair.private_key)
    for envelope, read in (
        consume_envelope(sealed.marshal_envelope(), ENVELOPE_DOMAIN),
        consume_peer_record(sealed.marshal_envelope()),
    ):
        assert envelope.equal(sealed)
        assert read.equal(record)
        assert read is envelope.record()
        assert envelope.signer == record.peer_id
        assert envelope.payload_type == PEER_RECORD_CODEC == record.codec()


def test_a_signature_holds_in_its_domain_for_its_type_and_payload_only() -> None:
    sealed = seal_record(RECORD, KEYS.private_key)
    sealed.validate(RECORD.domain())
    parts = (sealed.public_key, sealed.payload_type, sealed.raw_payload, sealed.signature)
    with pytest.raises(InvalidRecord, match="signature"):
        sealed.validate("libp2p-relay-rsvp")
    for index, other in enumerate(
        (ed25519.create_new_key_pair().public_key, b"\x03\x02", b"other", bytes(64))
    ):
        changed = [*parts]
        changed[index] = other
        with pytest.raises(InvalidRecord, match="signature"):
            Envelope(*changed).validate(RECORD.domain())  # type: ignore[arg-type]


def test_a_record_signed_by_another_peer_is_refused() -> None:
    forged = seal_record(RECORD, ed25519.create_new_key_pair().private_key).marshal_envelope()
    consume_envelope(forged, ENVELOPE_DOMAIN)  # the signature itself is in order
    with pytest.raises(InvalidRecord, match="is signed by"):
        consume_peer_record(forged)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x0a\x02\x08\x09", b"\x12\x02\x03\x01"])
def test_malformed_envelopes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        unmarshal_envelope(data)


def test_cve_2023_40583_a_long_envelope_is_not_read() -> None:
    sealed = seal_record(RECORD, KEYS.private_key).marshal_envelope()
    unknown_field = b"\x7a" + encode_varint_prefixed(bytes(MAX_ENVELOPE_BYTES - len(sealed) - 3))
    assert len(sealed + unknown_field) == MAX_ENVELOPE_BYTES
    assert consume_peer_record(sealed + unknown_field)[1] == RECORD
    with pytest.raises(InvalidRecord, match="8193 bytes"):
        unmarshal_envelope(sealed + unknown_field + b"\x00")


@pytest.mark.parametrize("payload", [b"\xff", b"", b"\x0a\x04peer"])
def test_malformed_records_are_refused(payload: bytes) -> None:
    envelope = seal(ENVELOPE_DOMAIN, PEER_RECORD_CODEC, payload, KEYS.private_key)
    with pytest.raises(InvalidRecord):
        consume_peer_record(envelope.marshal_envelope())


def test_an_envelope_of_something_else_has_no_record() -> None:
    with pytest.raises(InvalidRecord, match="0302"):
        seal(ENVELOPE_DOMAIN, b"\x03\x02", RECORD.marshal_record(), KEYS.private_key).record()


def test_unreadable_addresses_of_a_record_are_left_out() -> None:
    message = RECORD.to_protobuf()
    message.addresses.add(multiaddr=b"\xff\xff")
    assert unmarshal_record(message.SerializeToString()) == RECORD
    many = [peer_record_pb2.PeerRecord.AddressInfo(multiaddr=ADDRESSES[0].to_bytes())] * 1000
    assert len(addrs_from_protobuf(many)) == MAX_RECORD_ADDRESSES


def test_sequence_numbers_only_grow() -> None:
    numbers = [timestamp_seq() for _ in range(1000)]
    assert sorted(set(numbers)) == numbers
    assert peer_record_from_peer_info(PeerInfo(PEER, ADDRESSES)).seq > numbers[-1]


def test_equality() -> None:
    sealed = seal_record(RECORD, KEYS.private_key)
    assert PeerRecord(PEER, ADDRESSES, seq=7) == RECORD
    assert hash(RECORD) == hash(PeerRecord(PEER, ADDRESSES, seq=7))
    assert RECORD not in (PeerRecord(PEER, ADDRESSES, seq=8), PeerRecord(PEER, seq=7), PEER)
    assert hash(sealed) == hash(unmarshal_envelope(sealed.marshal_envelope()))
    assert sealed not in (seal("other", b"", b"", KEYS.private_key), RECORD)
    assert str(PEER) in repr(RECORD)
    assert str(PEER) in repr(sealed)
