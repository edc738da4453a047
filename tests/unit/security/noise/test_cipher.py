"""Noise transport records, checked against the AEAD used by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import DecryptionFailedException, LocalProtocolError
from libp2p.security.channel import MAX_RECORDS_AT_ONCE
from libp2p.security.noise.cipher import (
    MAX_NONCE,
    MAX_PLAINTEXT_BYTES,
    MAX_RECORD_BYTES,
    TAG_BYTES,
    NoiseCipher,
)
from tests.support.ends import Chop, chopped_by, chops, octets

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

KEY_A, KEY_B = bytes(range(32)), bytes(range(32, 64))


def cipher_pair() -> tuple[NoiseCipher, NoiseCipher]:
    return NoiseCipher(KEY_A, KEY_B), NoiseCipher(KEY_B, KEY_A)


def record_by_hand(key: bytes, nonce: int, plaintext: bytes) -> bytes:
    """Noise specification §12.3: four zero bytes, then the counter as little-endian u64."""
    sealed = ChaCha20Poly1305(key).encrypt(bytes(4) + nonce.to_bytes(8, "little"), plaintext, None)
    return len(sealed).to_bytes(2, "big") + sealed


def record_sizes(wire: bytes) -> list[int]:
    """The plaintext sizes of the records in ``wire``."""
    sizes, offset = [], 0
    while offset < len(wire):
        length = int.from_bytes(wire[offset : offset + 2], "big")
        sizes.append(length - TAG_BYTES)
        offset += 2 + length
    assert offset == len(wire)
    return sizes


def open_in_pieces(cipher: NoiseCipher, pieces: Sequence[bytes]) -> bytes:
    """Open as a session does: what is left of a record stays in front of the next piece."""
    plaintext, held = b"", b""
    for piece in pieces:
        held += piece
        while True:
            opened, used = cipher.open(memoryview(held))
            plaintext += b"".join(opened)
            held = held[used:]
            if not cipher.has_more:
                break
    assert not held
    return plaintext


def test_records_are_those_of_the_noise_specification() -> None:
    ours, _ = cipher_pair()
    wire = b"".join([*ours.seal([b"first"]), *ours.seal([b"second"])])
    assert wire == record_by_hand(KEY_A, 0, b"first") + record_by_hand(KEY_A, 1, b"second")


@pytest.mark.parametrize("more", [0, 1, MAX_RECORDS_AT_ONCE])
def test_so_many_records_are_decrypted_at_once(more: int) -> None:
    ours, theirs = cipher_pair()
    wire = b"".join(b"".join(ours.seal([b"x"])) for _ in range(MAX_RECORDS_AT_ONCE + more))
    first, used = theirs.open(memoryview(wire))
    assert b"".join(first) == b"x" * MAX_RECORDS_AT_ONCE
    assert theirs.has_more
    rest, used_then = theirs.open(memoryview(wire)[used:])
    assert b"".join(rest) == b"x" * more
    assert used + used_then == len(wire)
    assert theirs.has_more == (more == MAX_RECORDS_AT_ONCE)
    assert theirs.open(memoryview(b"")) == ([], 0)
    assert not theirs.has_more


def test_both_directions_count_on_their_own() -> None:
    ours, theirs = cipher_pair()
    for turn in range(3):
        question = b"".join(ours.seal([b"question %d" % turn]))
        assert theirs.open(memoryview(question)) == ([b"question %d" % turn], len(question))
        answer = b"".join(theirs.seal([b"answer %d" % turn]))
        assert answer == record_by_hand(KEY_B, turn, b"answer %d" % turn)
        assert ours.open(memoryview(answer)) == ([b"answer %d" % turn], len(answer))


# Sizes around those of whole records; what the bytes are does not matter to their packing.
batches = st.lists(
    st.one_of(
        st.integers(0, 40),
        st.sampled_from([MAX_PLAINTEXT_BYTES - 1, MAX_PLAINTEXT_BYTES, 2 * MAX_PLAINTEXT_BYTES]),
        st.integers(MAX_PLAINTEXT_BYTES + 1, 3 * MAX_PLAINTEXT_BYTES),
    ),
    max_size=6,
)


def filled(sizes: list[int]) -> list[bytes]:
    return [bytes([turn + 1]) * size for turn, size in enumerate(sizes)]


@given(st.lists(st.lists(octets(40), max_size=6), max_size=4), chops)
def test_any_split_of_the_wire_gives_the_same_plaintext(
    messages: list[list[bytes]], chop: Chop
) -> None:
    ours, theirs = cipher_pair()
    wire = b"".join(piece for batch in messages for piece in ours.seal(batch))
    assert open_in_pieces(theirs, chop(wire)) == b"".join(b"".join(batch) for batch in messages)


@given(batches, st.lists(st.integers(20_000, 200_000), min_size=1, max_size=4))
def test_large_records_may_be_split_anywhere(sizes: list[int], cuts: list[int]) -> None:
    ours, theirs = cipher_pair()
    wire = b"".join(ours.seal(filled(sizes)))
    assert open_in_pieces(theirs, chopped_by(cuts)(wire)) == b"".join(filled(sizes))


@given(batches)
def test_records_are_full_sized_at_most_and_never_empty(sizes: list[int]) -> None:
    ours, theirs = cipher_pair()
    wire = b"".join(ours.seal(filled(sizes)))
    assert all(0 < size <= MAX_PLAINTEXT_BYTES for size in record_sizes(wire))
    plaintexts, used = theirs.open(memoryview(wire))
    assert used == len(wire)
    assert b"".join(plaintexts) == b"".join(filled(sizes))


@given(batches)
def test_a_buffer_that_fits_into_one_record_is_not_split(sizes: list[int]) -> None:
    ours, _ = cipher_pair()
    edges, offset = {0}, 0
    for size in record_sizes(b"".join(ours.seal(filled(sizes)))):
        offset += size
        edges.add(offset)
    start = 0
    for size in sizes:
        inside = {edge for edge in edges if start < edge < start + size}
        assert not inside or size > MAX_PLAINTEXT_BYTES
        start += size


@pytest.mark.parametrize(
    ("sizes", "records"),
    [
        ([], []),
        ([0], []),
        ([0, 0], []),
        ([1, 2, 3], [6]),
        ([MAX_PLAINTEXT_BYTES], [MAX_PLAINTEXT_BYTES]),
        # One yamux frame, header and body, is exactly one record.
        ([12, 65_507, 12, 65_507], [MAX_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES]),
        # Header and body of the second frame are two buffers: the header fits, the body does not.
        ([12, 65_500, 7, 65_519], [65_519, 65_519]),
        ([100, MAX_PLAINTEXT_BYTES], [100, MAX_PLAINTEXT_BYTES]),
        # What is left of a large buffer shares its record with the next one.
        ([MAX_PLAINTEXT_BYTES + 10, 20], [MAX_PLAINTEXT_BYTES, 30]),
        ([2 * MAX_PLAINTEXT_BYTES, 5], [MAX_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES, 5]),
    ],
)
def test_buffers_share_records_as_long_as_they_fit(sizes: list[int], records: list[int]) -> None:
    ours, _ = cipher_pair()
    assert record_sizes(b"".join(ours.seal([bytes(size) for size in sizes]))) == records


@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_can_be_sealed(shape: type[Buffer]) -> None:
    ours, theirs = cipher_pair()
    wire = b"".join(ours.seal([shape(b"one"), shape(b"two")]))
    assert theirs.open(memoryview(wire))[0] == [b"onetwo"]


def test_an_incomplete_record_is_left_for_later() -> None:
    ours, theirs = cipher_pair()
    first, second = b"".join(ours.seal([b"first"])), b"".join(ours.seal([b"second"]))
    for cut in range(len(second)):
        fresh = NoiseCipher(KEY_B, KEY_A)
        assert fresh.open(memoryview(first + second[:cut])) == ([b"first"], len(first))
    assert theirs.open(memoryview(b"")) == ([], 0)


@given(octets(50, min_size=1), st.data())
def test_a_changed_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    ours, theirs = cipher_pair()
    wire = bytearray(b"".join(ours.seal([plaintext])))
    at = data.draw(st.integers(2, len(wire) - 1))
    wire[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DecryptionFailedException):
        theirs.open(memoryview(wire))


@pytest.mark.parametrize("length", [0, 1, TAG_BYTES - 1, TAG_BYTES])
def test_a_record_too_short_for_its_tag_is_refused(length: int) -> None:
    _, theirs = cipher_pair()
    with pytest.raises(DecryptionFailedException):
        theirs.open(memoryview(length.to_bytes(2, "big") + bytes(length)))


def test_a_replayed_record_is_refused() -> None:
    ours, theirs = cipher_pair()
    wire = memoryview(b"".join(ours.seal([b"pay 10"])))
    theirs.open(wire)
    with pytest.raises(DecryptionFailedException):
        theirs.open(wire)


def test_a_record_that_was_left_out_is_noticed() -> None:
    ours, theirs = cipher_pair()
    ours.seal([b"never arrives"])
    with pytest.raises(DecryptionFailedException):
        theirs.open(memoryview(b"".join(ours.seal([b"arrives"]))))


def test_our_own_records_reflected_are_refused() -> None:
    ours, _ = cipher_pair()
    with pytest.raises(DecryptionFailedException):
        ours.open(memoryview(b"".join(ours.seal([b"boomerang"]))))


def test_an_empty_record_is_legal() -> None:
    _, theirs = cipher_pair()
    wire = record_by_hand(KEY_A, 0, b"") + record_by_hand(KEY_A, 1, b"x")
    plaintexts, used = theirs.open(memoryview(wire))
    assert (b"".join(plaintexts), used) == (b"x", len(wire))


def test_the_largest_record_fits_its_length_prefix() -> None:
    ours, _ = cipher_pair()
    length, ciphertext = ours.seal([bytes(MAX_PLAINTEXT_BYTES)])
    assert bytes(length) == b"\xff\xff"
    assert len(ciphertext) == MAX_RECORD_BYTES == 65_535


def test_the_last_nonce_is_never_used() -> None:
    ours, theirs = cipher_pair()
    ours._send_nonce = theirs._receive_nonce = MAX_NONCE - 1
    assert theirs.open(memoryview(b"".join(ours.seal([b"last"]))))[0] == [b"last"]
    with pytest.raises(LocalProtocolError, match="nonces"):
        ours.seal([b"one too many"])


def test_what_came_before_a_forged_record_is_not_lost() -> None:
    ours, theirs = cipher_pair()
    wire = b"".join(ours.seal([b"last words"])) + b"\x00\x14" + bytes(20)
    assert theirs.open(memoryview(wire))[0] == [b"last words"]
    assert theirs.has_more, "the session must come back without waiting for more bytes"
    for _ in range(2):
        with pytest.raises(DecryptionFailedException, match="authenticate"):
            theirs.open(memoryview(b""))
    assert theirs.close() == []
