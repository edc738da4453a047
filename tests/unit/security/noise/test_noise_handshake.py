from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import HandshakeFailure, LocalProtocolError
from libp2p.io.message_buffer import MessageBuffer
from libp2p.security.noise.handshake import (
    MAX_HANDSHAKE_MESSAGE_BYTES,
    PROTOCOL_NAME,
    XXHandshake,
    frame,
    message_extent,
)
from tests.support.fragments import cut, piece_sizes
from tests.support.noise_vectors import Vector, load_vectors

VECTORS = load_vectors()
TRANSPORT_NONCE = bytes(12)

#: Every X25519 point that makes the shared secret zero (RFC 7748 §6.1, RFC 8422 §5.11).
SMALL_ORDER_POINTS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def key(seed: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(sha256(bytes([seed])).digest())


def new_pair() -> tuple[XXHandshake, XXHandshake]:
    return (
        XXHandshake(is_initiator=True, static=key(1), ephemeral=key(2)),
        XXHandshake(is_initiator=False, static=key(3), ephemeral=key(4)),
    )


@pytest.mark.parametrize("vector", VECTORS)
def test_both_sides_write_and_read_the_published_messages(vector: Vector) -> None:
    sides = (vector.initiator(), vector.responder())
    for index, (payload, ciphertext) in enumerate(vector.messages[:3]):
        writer, reader = sides[index % 2], sides[1 - index % 2]
        assert writer.write(payload) == ciphertext
        assert reader.read(ciphertext) == payload
    initiator, responder = sides
    assert initiator.is_done
    assert responder.is_done
    assert initiator.remote_static == vector.responder_static.public_key().public_bytes_raw()
    assert responder.remote_static == vector.initiator_static.public_key().public_bytes_raw()


@pytest.mark.parametrize("vector", VECTORS)
def test_the_transport_keys_encrypt_the_published_messages(vector: Vector) -> None:
    initiator, responder = vector.initiator(), vector.responder()
    responder.read(initiator.write(vector.messages[0][0]))
    initiator.read(responder.write(vector.messages[1][0]))
    responder.read(initiator.write(vector.messages[2][0]))
    ours, theirs = initiator.split(), responder.split()
    assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
    assert ours.handshake_hash == theirs.handshake_hash == vector.handshake_hash
    for send_key, (payload, ciphertext) in zip(
        (ours.send, theirs.send), vector.messages[3:], strict=True
    ):
        assert ChaCha20Poly1305(send_key).encrypt(TRANSPORT_NONCE, payload, None) == ciphertext


def test_the_transcript_begins_with_the_name_and_the_empty_prologue() -> None:
    # The name is exactly as long as a hash, so it is not hashed; the empty prologue is.
    assert len(PROTOCOL_NAME) == 32
    initiator, _ = new_pair()
    message = initiator.write(b"")
    expected = sha256(sha256(PROTOCOL_NAME).digest() + message).digest()
    assert initiator._state.transcript == sha256(expected).digest()


@given(st.tuples(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200)))
def test_payloads_of_any_size_pass(payloads: tuple[bytes, bytes, bytes]) -> None:
    initiator, responder = new_pair()
    assert responder.read(initiator.write(payloads[0])) == payloads[0]
    assert initiator.read(responder.write(payloads[1])) == payloads[1]
    assert responder.read(memoryview(initiator.write(payloads[2]))) == payloads[2]
    assert initiator.split().handshake_hash == responder.split().handshake_hash


@pytest.mark.parametrize("index", [0, 1, 2])
@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_ends_the_handshake(index: int, position: int, bit: int) -> None:
    initiator, responder = new_pair()

    def complete() -> None:
        writer, reader = initiator, responder
        for number in range(3):
            message = bytearray(writer.write(b"payload" if number else b""))
            if number == index:
                # Even where Curve25519 ignores a point's highest bit, the transcript does not.
                message[position % len(message)] ^= 1 << bit
            reader.read(message)
            writer, reader = reader, writer

    with pytest.raises(HandshakeFailure):
        complete()
    assert not responder.is_done


@pytest.mark.parametrize("missing", [1, 16, 17, 64, 65, 95, 96])
def test_a_message_that_ends_early_is_refused(missing: int) -> None:
    initiator, responder = new_pair()
    responder.read(initiator.write(b""))
    message = responder.write(b"")
    with pytest.raises(HandshakeFailure):
        initiator.read(message[: len(message) - missing])


def test_the_first_message_must_hold_a_key() -> None:
    _, responder = new_pair()
    with pytest.raises(HandshakeFailure, match="ends 1 bytes early"):
        responder.read(bytes(31))


@pytest.mark.parametrize("point", SMALL_ORDER_POINTS)
def test_a_point_of_small_order_is_refused(point: bytes) -> None:
    _, responder = new_pair()
    responder.read(point)
    with pytest.raises(HandshakeFailure, match="small order"):
        responder.write(b"")


def test_messages_out_of_turn_are_this_sides_mistake() -> None:
    initiator, responder = new_pair()
    with pytest.raises(LocalProtocolError):
        initiator.read(bytes(32))
    with pytest.raises(LocalProtocolError):
        responder.write(b"")
    with pytest.raises(LocalProtocolError):
        initiator.split()
    with pytest.raises(LocalProtocolError):
        _ = initiator.remote_static
    responder.read(initiator.write(b""))
    with pytest.raises(LocalProtocolError):
        initiator.write(b"")
    initiator.read(responder.write(b""))
    responder.read(initiator.write(b""))
    with pytest.raises(LocalProtocolError):
        initiator.read(bytes(100))
    with pytest.raises(LocalProtocolError):
        responder.write(b"")


# -- framing --------------------------------------------------------------------------------------


def test_a_frame_is_a_big_endian_length_and_the_message() -> None:
    assert frame(b"") == b"\x00\x00"
    assert frame(bytes(0x0102)) == b"\x01\x02" + bytes(0x0102)


@given(st.lists(st.binary(max_size=300), max_size=6), st.binary(max_size=1), piece_sizes)
def test_any_split_gives_the_same_messages(
    messages: list[bytes], leftover: bytes, sizes: list[int]
) -> None:
    reader = MessageBuffer()
    received = []
    for piece in cut(b"".join(map(frame, messages)) + leftover, sizes):
        reader.feed([piece])
        while (message := reader.next_message(message_extent)) is not None:
            received.append(message)
    assert received == messages
    assert reader.take_leftover() == leftover
    assert reader.take_leftover() == b""


def test_a_huge_message_is_refused_at_its_length() -> None:
    reader = MessageBuffer()
    reader.feed([frame(bytes(MAX_HANDSHAKE_MESSAGE_BYTES))])
    assert reader.next_message(message_extent) == bytes(MAX_HANDSHAKE_MESSAGE_BYTES)
    reader.feed([b"\x40", b"\x01"])
    with pytest.raises(HandshakeFailure, match="16385 bytes"):
        reader.next_message(message_extent)
