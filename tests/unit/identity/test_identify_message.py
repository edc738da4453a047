"""Identify messages: what is sent can be read by all, what is read is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.crypto import ed25519
from libp2p.exceptions import IdentifyError
from libp2p.identity.identify.message import (
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    MAX_OWN_MESSAGES,
    MAX_PROTOCOL_LENGTH,
    MAX_VERSION_LENGTH,
    OWN_MESSAGE_BYTES,
    BareReader,
    IdentifyReader,
    encode_identify,
    parse_identify_response,
    read_identity,
)
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.io.frame_reader import FrameReader
from libp2p.peer.addresses import AddressScope
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.peerdata import MAX_ADDRESSES_PER_PEER, MAX_PROTOCOLS_PER_PEER
from libp2p.utils.varint import encode_varint_prefixed
from tests.support.fragments import cut, piece_sizes

if TYPE_CHECKING:
    from libp2p.crypto.keys import KeyPair

KEYS = ed25519.create_new_key_pair(bytes(32))
PEER = ID.from_pubkey(KEYS.public_key)
OTHER = ed25519.create_new_key_pair(bytes([1]) * 32)
PUBLIC, PRIVATE, LOOPBACK = (
    Multiaddr(f"/ip4/{ip}/tcp/4001") for ip in ("8.8.8.8", "192.168.1.2", "127.0.0.1")
)
SCOPES = AddressScope


def identify(**fields: object) -> Identify:
    return Identify(public_key=KEYS.public_key.serialize(), **fields)  # type: ignore[arg-type]


def record(*addresses: Multiaddr, key: KeyPair = KEYS, peer: ID = PEER) -> bytes:
    return seal_record(PeerRecord(peer, addresses, seq=1), key.private_key).marshal_envelope()


def frames_of(encoded: bytes) -> list[bytes]:
    reader = FrameReader(MAX_MESSAGE_BYTES)
    frames = reader.receive([encoded])
    assert reader.at_boundary
    return frames


def read_all(encoded: bytes) -> Identify:
    reader = IdentifyReader()
    reader.receive([encoded])
    return reader.finish()


FULL = identify(
    listen_addrs=[PUBLIC.to_bytes(), LOOPBACK.to_bytes()],
    protocols=["/ipfs/id/1.0.0", "/ipfs/bitswap/1.2.0"],
    observed_addr=PRIVATE.to_bytes(),
    protocol_version="ipfs/0.1.0",
    agent_version="kubo/0.43.0",
    signedPeerRecord=record(PUBLIC),
)


class TestSending:
    def test_an_ordinary_message_is_one(self) -> None:
        (frame,) = frames_of(encode_identify(FULL))
        assert Identify.FromString(frame) == FULL

    def test_wire_form(self) -> None:
        message = Identify(public_key=b"key", protocols=["/a"], agent_version="x")
        assert encode_identify(message) == b"\x0c" + b"\x0a\x03key" + b"\x1a\x02/a" + b"\x32\x01x"

    def test_a_record_that_does_not_fit_goes_alone(self) -> None:
        message = identify(signedPeerRecord=bytes(4050), protocols=["/a"])
        first, second = frames_of(encode_identify(message))
        assert Identify.FromString(first) == identify(protocols=["/a"])
        assert Identify.FromString(second) == Identify(signedPeerRecord=bytes(4050))
        assert read_all(encode_identify(message)) == message

    def test_a_record_that_nobody_would_read_is_left_out(self) -> None:
        message = identify(signedPeerRecord=bytes(MAX_MESSAGE_BYTES))
        assert read_all(encode_identify(message)) == identify()

    @given(st.integers(min_value=0, max_value=3000), st.integers(min_value=0, max_value=400))
    def test_every_message_fits_into_every_reader(self, addresses: int, protocols: int) -> None:
        message = identify(
            listen_addrs=[PUBLIC.to_bytes()] * addresses,
            protocols=[f"/protocol/{number}" for number in range(protocols)],
            signedPeerRecord=record(PUBLIC),
        )
        encoded = encode_identify(message)
        frames = frames_of(encoded)
        assert len(frames) <= MAX_OWN_MESSAGES
        for frame in frames:
            assert len(encode_varint_prefixed(frame)) <= OWN_MESSAGE_BYTES
        merged = read_all(encoded)
        assert merged.protocols == message.protocols
        if len(frames) < MAX_OWN_MESSAGES:
            assert merged == message

    def test_protocols_are_in_the_first_message(self) -> None:
        message = identify(protocols=["/a"] * 500, listen_addrs=[PUBLIC.to_bytes()] * 2000)
        first = Identify.FromString(frames_of(encode_identify(message))[0])
        assert len(first.protocols) == 500


class TestReceiving:
    @given(piece_sizes)
    def test_any_split_gives_the_same_message(self, sizes: list[int]) -> None:
        reader = IdentifyReader()
        for piece in cut(encode_identify(FULL), sizes):
            reader.receive([piece])
        assert reader.finish() == FULL

    def test_messages_are_merged(self) -> None:
        parts = [
            identify(protocols=["/a"], agent_version="old"),
            Identify(protocols=["/b"], listen_addrs=[PUBLIC.to_bytes()]),
            Identify(agent_version="new"),
        ]
        encoded = b"".join(encode_varint_prefixed(part.SerializeToString()) for part in parts)
        merged = read_all(encoded)
        assert list(merged.protocols) == ["/a", "/b"]
        assert merged.agent_version == "new"
        assert parse_identify_response(encoded) == merged

    def test_ten_messages_and_no_more(self) -> None:
        one = encode_varint_prefixed(Identify(protocols=["/a"]).SerializeToString())
        assert len(read_all(one * MAX_MESSAGES).protocols) == MAX_MESSAGES
        with pytest.raises(IdentifyError, match="more than 10"):
            read_all(one * (MAX_MESSAGES + 1))

    @pytest.mark.parametrize(
        "encoded",
        [
            b"",
            b"\x05abc",
            b"\x80",
            b"\x03abc",
            b"\x80\x00",
            encode_varint_prefixed(bytes(MAX_MESSAGE_BYTES + 1)),
            encode_varint_prefixed(b"\x1a\x02\xff\xff")[:-1],
        ],
    )
    def test_malformed_streams_are_refused(self, encoded: bytes) -> None:
        with pytest.raises(IdentifyError):
            read_all(encoded)

    def test_py_libp2ps_bare_messages_are_understood(self) -> None:
        assert parse_identify_response(FULL.SerializeToString()) == FULL
        assert parse_identify_response(encode_identify(FULL)) == FULL

    @pytest.mark.parametrize(
        "response", [b"", b"\xff", Identify(protocols=["/a"]).SerializeToString(), b"\x02\x32\x00"]
    )
    def test_responses_without_a_key_are_refused(self, response: bytes) -> None:
        with pytest.raises(ValueError, match="identify message"):
            parse_identify_response(response)


class TestChecking:
    def test_all_that_a_peer_says(self) -> None:
        identity = read_identity(FULL, PEER, SCOPES.PRIVATE)
        assert identity.peer_id == PEER
        assert identity.public_key == KEYS.public_key
        assert identity.protocols == ("/ipfs/id/1.0.0", "/ipfs/bitswap/1.2.0")
        assert identity.addresses == (PUBLIC,)
        assert identity.observed_addr == PRIVATE
        assert identity.protocol_version == "ipfs/0.1.0"
        assert identity.agent_version == "kubo/0.43.0"
        assert identity.signed_record is not None

    def test_a_peer_that_says_nothing(self) -> None:
        identity = read_identity(Identify(), PEER, SCOPES.PRIVATE)
        assert identity.public_key == KEYS.public_key  # it is in the id
        assert identity.protocols is None
        assert identity.addresses is None
        assert identity.observed_addr is None
        assert identity.signed_record is None
        assert (identity.protocol_version, identity.agent_version) == ("", "")
        hashed = ID(b"\x12\x20" + bytes(32))
        assert read_identity(Identify(), hashed, SCOPES.PRIVATE).public_key is None

    @pytest.mark.parametrize("key", [b"", b"\xff", OTHER.public_key.serialize()])
    def test_another_peers_key_is_refused(self, key: bytes) -> None:
        with pytest.raises(IdentifyError, match="key"):
            read_identity(Identify(public_key=key), PEER, SCOPES.PRIVATE)

    @pytest.mark.parametrize(
        ("scope", "believed"),
        [
            (SCOPES.LOOPBACK, (PUBLIC, PRIVATE, LOOPBACK)),
            (SCOPES.PRIVATE, (PUBLIC, PRIVATE)),
            (SCOPES.PUBLIC, (PUBLIC,)),
        ],
    )
    @pytest.mark.parametrize("signed", [False, True])
    def test_addresses_are_believed_as_far_as_the_peer_is(
        self, scope: AddressScope, believed: tuple[Multiaddr, ...], signed: bool
    ) -> None:
        told = (PUBLIC, PRIVATE, LOOPBACK)
        if signed:
            message = identify(signedPeerRecord=record(*told))
        else:
            message = identify(listen_addrs=[address.to_bytes() for address in told])
        assert read_identity(message, PEER, scope).addresses == believed

    def test_signed_addresses_count_and_unsigned_ones_do_not(self) -> None:
        message = identify(listen_addrs=[PRIVATE.to_bytes()], signedPeerRecord=record(PUBLIC))
        assert read_identity(message, PEER, SCOPES.LOOPBACK).addresses == (PUBLIC,)

    @pytest.mark.parametrize(
        "bad",
        [
            b"",
            b"\xff",
            record(PUBLIC)[:-1] + b"\0",
            record(PUBLIC, key=OTHER),
            record(PUBLIC, key=OTHER, peer=ID.from_pubkey(OTHER.public_key)),
        ],
    )
    def test_a_bad_record_is_as_good_as_none(self, bad: bytes) -> None:
        message = identify(listen_addrs=[PRIVATE.to_bytes()], signedPeerRecord=bad)
        identity = read_identity(message, PEER, SCOPES.LOOPBACK)
        assert identity.signed_record is None
        assert identity.addresses == (PRIVATE,)

    def test_addresses_of_other_peers_and_of_unknown_kinds_are_left_out(self) -> None:
        addresses = [
            Multiaddr(f"{PUBLIC}/p2p/{PEER}").to_bytes(),
            Multiaddr(f"{PUBLIC}/p2p/{ID.from_pubkey(OTHER.public_key)}").to_bytes(),
            b"\xff\xff",
        ]
        message = identify(listen_addrs=addresses, observed_addr=b"\xff")
        identity = read_identity(message, PEER, SCOPES.LOOPBACK)
        assert identity.addresses == (PUBLIC,)
        assert identity.observed_addr is None

    def test_strings_that_are_not_utf8_are_read_with_gaps(self) -> None:
        wire = b"\x1a\x03/\xff\x61" + b"\x2a\x02\xb8\x61" + b"\x32\x01\xc3"
        identity = read_identity(Identify.FromString(wire), PEER, SCOPES.PUBLIC)
        assert identity.protocols == ("/\ufffda",)
        assert (identity.protocol_version, identity.agent_version) == ("\ufffda", "\ufffd")

    def test_everything_is_bounded(self) -> None:
        message = identify(
            protocols=["/" + "x" * MAX_PROTOCOL_LENGTH, *(f"/{n}" for n in range(2000))],
            listen_addrs=[Multiaddr(f"/ip4/8.8.8.8/tcp/{n}").to_bytes() for n in range(2000)],
            agent_version="\x1b[31m" + "x" * 10_000,
        )
        identity = read_identity(message, PEER, SCOPES.LOOPBACK)
        assert identity.protocols == tuple(f"/{n}" for n in range(MAX_PROTOCOLS_PER_PEER))
        assert identity.addresses is not None
        assert len(identity.addresses) == MAX_ADDRESSES_PER_PEER
        assert identity.agent_version.startswith("[31mxxx")
        assert len(identity.agent_version) < MAX_VERSION_LENGTH


def test_one_bare_message_is_read() -> None:
    message = identify(agent_version="old")
    reader = BareReader()
    for piece in cut(message.SerializeToString(), [1, 2, 3]):
        reader.receive([piece])
    assert reader.finish() == message
    with pytest.raises(IdentifyError):
        BareReader().finish()
    with pytest.raises(IdentifyError, match="more than"):
        reader.receive([bytes(MAX_MESSAGE_BYTES)])
