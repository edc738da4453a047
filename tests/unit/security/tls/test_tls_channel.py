"""TLS records, checked against RFC 8448's example and against the AEAD used by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import ConnectionClosedError, DecryptionFailedException
from libp2p.security.channel import MAX_RECORDS_AT_ONCE
from libp2p.security.tls import channel as channel_module
from libp2p.security.tls.channel import (
    ALERT,
    APPLICATION_DATA,
    BAD_RECORD_MAC,
    CIPHER_SUITES,
    CLOSE_NOTIFY,
    HANDSHAKE,
    MAX_MESSAGE_BYTES,
    MAX_PLAINTEXT_BYTES,
    MAX_RECORD_BYTES,
    MAX_RECORDS_WITHOUT_DATA,
    RECORD_OVERFLOW,
    UNEXPECTED_MESSAGE,
    TlsChannel,
    expand_label,
)
from tests.support.ends import Chop, chops
from tests.support.strategies import octets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from libp2p.base_types import Buffer

AES_128 = CIPHER_SUITES["TLS_AES_128_GCM_SHA256"]
HEADER, KIND_AND_TAG = 5, 17

# RFC 8448 §3, "Simple 1-RTT Handshake".
CLIENT_SECRET = bytes.fromhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
SERVER_SECRET = bytes.fromhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
CLIENT_RECORD = bytes.fromhex(
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f"
    "2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae6"
    "3aeebb21694915e4"
)

KEY_UPDATE, NEW_SESSION_TICKET, CERTIFICATE_REQUEST = 24, 4, 13


def ends() -> tuple[TlsChannel, TlsChannel]:
    """A client's channel and its server's."""
    return (
        TlsChannel(AES_128, CLIENT_SECRET, SERVER_SECRET, is_initiator=True),
        TlsChannel(AES_128, SERVER_SECRET, CLIENT_SECRET),
    )


class ByHand:
    """The client's records as RFC 8446 §5.2 says, with anything in them."""

    def __init__(self, secret: bytes = CLIENT_SECRET) -> None:
        self.secret = secret
        self.sequence = 0

    def record(self, kind: int, content: bytes, padding: int = 0) -> bytes:
        return self.seal(content + bytes([kind]) + bytes(padding))

    def seal(self, inner: bytes) -> bytes:
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2)
        iv = expand_label(self.secret, b"iv", 12, "sha256")
        nonce = bytes(a ^ b for a, b in zip(iv, self.sequence.to_bytes(12), strict=True))
        self.sequence += 1
        key = expand_label(self.secret, b"key", 16, "sha256")
        return header + AES_128.aead(key).encrypt(nonce, inner, header)

    def data(self, content: bytes, padding: int = 0) -> bytes:
        return self.record(APPLICATION_DATA, content, padding)

    def message(self, kind: int, body: bytes) -> bytes:
        return self.record(HANDSHAKE, bytes([kind]) + len(body).to_bytes(3) + body)

    def renew(self) -> None:
        self.secret = expand_label(self.secret, b"traffic upd", 32, "sha256")
        self.sequence = 0


def join(wire: Sequence[Buffer]) -> bytes:
    return b"".join(wire)


def record_sizes(wire: bytes) -> list[int]:
    """The plaintext sizes of the records in ``wire``, which have no padding."""
    sizes, offset = [], 0
    while offset < len(wire):
        assert wire[offset : offset + 3] == b"\x17\x03\x03"
        length = int.from_bytes(wire[offset + 3 : offset + HEADER])
        sizes.append(length - KIND_AND_TAG)
        offset += HEADER + length
    assert offset == len(wire)
    return sizes


def opened(channel: TlsChannel, wire: bytes) -> bytes:
    plaintexts, used = channel.open(memoryview(wire))
    assert used == len(wire)
    return b"".join(plaintexts)


def open_in_pieces(channel: TlsChannel, pieces: Sequence[bytes]) -> bytes:
    """Open as a session does: what is left of a record stays in front of the next piece."""
    plaintext, held = b"", b""
    for piece in pieces:
        held += piece
        while True:
            plaintexts, used = channel.open(memoryview(held))
            plaintext += b"".join(plaintexts)
            held = held[used:]
            if not channel.has_more:
                break
    assert not held
    return plaintext


# -- data -----------------------------------------------------------------------------------------


def test_the_example_of_rfc_8448() -> None:
    client, server = ends()
    assert join(client.seal([bytes(range(50))])) == CLIENT_RECORD
    assert opened(server, CLIENT_RECORD) == bytes(range(50))


def test_both_directions_count_on_their_own() -> None:
    client, server = ends()
    for turn in range(3):
        question = join(client.seal([b"question %d" % turn]))
        assert opened(server, question) == b"question %d" % turn
        answer = join(server.seal([b"answer %d" % turn]))
        assert opened(client, answer) == b"answer %d" % turn


@pytest.mark.parametrize("more", [0, 1, MAX_RECORDS_AT_ONCE])
def test_so_many_records_are_decrypted_at_once(more: int) -> None:
    client, server = ends()
    wire = b"".join(join(client.seal([b"x"])) for _ in range(MAX_RECORDS_AT_ONCE + more))
    first, used = server.open(memoryview(wire))
    assert join(first) == b"x" * MAX_RECORDS_AT_ONCE
    assert server.has_more
    rest, used_then = server.open(memoryview(wire)[used:])
    assert join(rest) == b"x" * more
    assert used + used_then == len(wire)
    assert server.has_more == (more == MAX_RECORDS_AT_ONCE)
    assert server.open(memoryview(b"")) == ([], 0)
    assert not server.has_more


@given(st.lists(st.lists(octets(max_size=40), max_size=6), max_size=4), chops)
def test_any_split_of_the_wire_gives_the_same_plaintext(
    messages: list[list[bytes]], chop: Chop
) -> None:
    client, server = ends()
    wire = b"".join(piece for batch in messages for piece in map(bytes, client.seal(batch)))
    assert open_in_pieces(server, chop(wire)) == b"".join(b"".join(batch) for batch in messages)


# Sizes around those of whole records; what the bytes are does not matter to their packing.
batches = st.lists(
    st.one_of(
        st.integers(0, 40),
        st.sampled_from([MAX_PLAINTEXT_BYTES - 1, MAX_PLAINTEXT_BYTES, 2 * MAX_PLAINTEXT_BYTES]),
        st.integers(MAX_PLAINTEXT_BYTES + 1, 5 * MAX_PLAINTEXT_BYTES),
    ),
    max_size=6,
)


def filled(sizes: list[int]) -> list[bytes]:
    return [bytes([turn + 1]) * size for turn, size in enumerate(sizes)]


@given(batches)
def test_records_are_full_sized_at_most_and_never_empty(sizes: list[int]) -> None:
    client, server = ends()
    wire = join(client.seal(filled(sizes)))
    assert all(0 < size <= MAX_PLAINTEXT_BYTES for size in record_sizes(wire))
    assert opened(server, wire) == b"".join(filled(sizes))


@given(batches)
def test_every_record_but_the_last_is_full(sizes: list[int]) -> None:
    client, _ = ends()
    *full, _ = [*record_sizes(join(client.seal(filled(sizes)))), 0]
    assert all(size == MAX_PLAINTEXT_BYTES for size in full[:-1])


@pytest.mark.parametrize(
    ("sizes", "records"),
    [
        ([], []),
        ([0], []),
        ([0, 0], []),
        ([1, 2, 3], [6]),
        ([16_384], [16_384]),
        ([16_384, 0, 1], [16_384, 1]),
        # One yamux frame, header and body, is four records.
        ([12, 65_507], [16_384, 16_384, 16_384, 16_367]),
        ([65_536, 5], [16_384, 16_384, 16_384, 16_384, 5]),
        # A record is filled before the next one begins.
        ([16_000, 12, 4_096], [16_384, 3_724]),
    ],
)
def test_buffers_share_records_as_long_as_they_fit(sizes: list[int], records: list[int]) -> None:
    client, _ = ends()
    assert record_sizes(join(client.seal([bytes(size) for size in sizes]))) == records


@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_can_be_sealed(shape: type[Buffer]) -> None:
    client, server = ends()
    assert opened(server, join(client.seal([shape(b"one"), shape(b"two")]))) == b"onetwo"


def test_an_incomplete_record_is_left_for_later() -> None:
    client, _ = ends()
    first, second = join(client.seal([b"first"])), join(client.seal([b"second"]))
    for cut in range(len(second)):
        _, server = ends()
        assert server.open(memoryview(first + second[:cut])) == ([b"first"], len(first))


@pytest.mark.parametrize("padding", [1, 100, MAX_PLAINTEXT_BYTES - 15])
def test_padding_is_taken_off(padding: int) -> None:
    _, server = ends()
    client = ByHand()
    assert (
        opened(server, client.data(b"ends in zeros\x00\x00", padding)) == b"ends in zeros\x00\x00"
    )
    assert opened(server, client.data(bytes(MAX_PLAINTEXT_BYTES))) == bytes(MAX_PLAINTEXT_BYTES)


@pytest.mark.parametrize("name", CIPHER_SUITES)
def test_every_suite_protects(name: str) -> None:
    suite = CIPHER_SUITES[name]
    size = {"sha256": 32, "sha384": 48}[suite.digest]
    one, two = b"1" * size, b"2" * size
    ours, theirs = TlsChannel(suite, one, two), TlsChannel(suite, two, one)
    assert opened(theirs, join(ours.seal([b"hello"]))) == b"hello"


# -- what is refused ------------------------------------------------------------------------------


@given(octets(max_size=50, min_size=1), st.data())
def test_a_changed_bit_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    client, server = ends()
    wire = bytearray(join(client.seal([plaintext])))
    at = data.draw(st.sampled_from([0, 1, 2, *range(HEADER, len(wire))]))
    wire[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DecryptionFailedException):
        server.open(memoryview(wire))


def refused(server: TlsChannel, wire: bytes, alert: int, match: str = ".") -> None:
    """It ends the connection, for good, and the peer is told why, once."""
    for _ in range(2):
        with pytest.raises(DecryptionFailedException, match=match):
            server.open(memoryview(wire))
    client, _ = ends()
    with pytest.raises(ConnectionClosedError, match=rf"\(alert {alert}\)"):
        opened(client, join(server.close()))
    assert server.close() == []
    with pytest.raises(ConnectionClosedError, match="this side"):
        server.seal([b"data"])


@pytest.mark.parametrize("length", [0, 1, 15, 16])
def test_a_record_that_is_too_short_is_refused(length: int) -> None:
    _, server = ends()
    header = b"\x17\x03\x03" + length.to_bytes(2)
    refused(server, header + bytes(40), UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 1, MAX_PLAINTEXT_BYTES + 256, 0xFFFF])
def test_a_record_that_is_too_long_is_refused_at_its_length(length: int) -> None:
    _, server = ends()
    refused(server, b"\x17\x03\x03" + length.to_bytes(2), RECORD_OVERFLOW)


def test_padding_is_part_of_a_records_length() -> None:
    _, server = ends()
    refused(server, ByHand().data(b"data", MAX_PLAINTEXT_BYTES - 3), RECORD_OVERFLOW)


@pytest.mark.parametrize("kind", [20, ALERT, HANDSHAKE, ord("G")])
def test_a_record_that_is_not_protected_is_refused(kind: int) -> None:
    _, server = ends()
    refused(server, bytes([kind]) + b"\x03\x03\x00\x01\x01", UNEXPECTED_MESSAGE)


def test_a_forged_record_is_refused() -> None:
    _, server = ends()
    wire = bytearray(ByHand().data(b"data"))
    wire[-1] ^= 1
    refused(server, bytes(wire), BAD_RECORD_MAC, "authenticate")


ENDS_BADLY: dict[str, Callable[[ByHand], bytes]] = {
    "forged": lambda client: b"\x17\x03\x03\x00\x14" + bytes(20),
    "no record": lambda client: b"GET / HTTP/1.1",
    "fatal alert": lambda client: client.record(ALERT, bytes([2, 80])),
    "unexpected message": lambda client: client.message(CERTIFICATE_REQUEST, b""),
}


@pytest.mark.parametrize("ending", ENDS_BADLY)
def test_what_came_before_is_not_lost(ending: str) -> None:
    _, server = ends()
    client = ByHand()
    wire = client.data(b"last words") + client.data(b", padded", 1) + ENDS_BADLY[ending](client)
    plaintexts, _ = server.open(memoryview(wire))
    assert join(plaintexts) == b"last words, padded"
    assert server.has_more, "the session must come back without waiting for more bytes"
    for _ in range(2):
        with pytest.raises((DecryptionFailedException, ConnectionClosedError)):
            server.open(memoryview(b""))


def test_a_replayed_record_is_refused() -> None:
    client, server = ends()
    wire = join(client.seal([b"pay 10"]))
    opened(server, wire)
    with pytest.raises(DecryptionFailedException, match="authenticate"):
        server.open(memoryview(wire))


@pytest.mark.parametrize(
    "inner",
    [
        b"",
        bytes(100),
        bytes(MAX_PLAINTEXT_BYTES + 1),
        b"data" + bytes([20]),
        b"data" + bytes([99]),
        bytes([HANDSHAKE]),
        bytes([ALERT]),
        bytes([2, 0, 0, ALERT]),
    ],
    ids=[
        "nothing",
        "padding",
        "too much",
        "ccs",
        "unknown",
        "no message",
        "no alert",
        "long alert",
    ],
)
def test_content_that_makes_no_sense_is_refused(inner: bytes) -> None:
    _, server = ends()
    refused(server, ByHand().seal(inner), UNEXPECTED_MESSAGE)


def test_records_without_data_are_refused_if_there_are_many() -> None:
    _, server = ends()
    client = ByHand()
    for _ in range(3):
        for _ in range(MAX_RECORDS_WITHOUT_DATA):
            assert opened(server, client.data(b"")) == b""
        # Padded or not, data shows that the peer has something to say.
        assert opened(server, client.data(b"data", padding=client.sequence % 2)) == b"data"
    wire = b"".join(client.data(b"") for _ in range(MAX_RECORDS_WITHOUT_DATA + 1))
    with pytest.raises(DecryptionFailedException, match="without data"):
        server.open(memoryview(wire))


# -- alerts ---------------------------------------------------------------------------------------


def test_a_close_notify_ends_what_is_read() -> None:
    _, server = ends()
    client = ByHand()
    wire = client.data(b"last words") + client.record(ALERT, bytes([1, CLOSE_NOTIFY]))
    assert opened(server, wire + client.data(b"after") + b"rubbish") == b"last words"
    assert server.ended
    assert opened(server, b"more rubbish") == b""
    assert record_sizes(join(server.seal([b"still writing"]))) == [13]


def test_this_side_ends_with_a_close_notify() -> None:
    client, server = ends()
    wire = join(client.seal([b"last words"])) + join(client.close())
    assert client.close() == []
    with pytest.raises(ConnectionClosedError, match="this side"):
        client.seal([b"more"])
    assert opened(server, wire) == b"last words"
    assert server.ended
    assert not client.ended
    # The peer may go on, and then ends as well.
    assert opened(client, join(server.seal([b"answer"])) + join(server.close())) == b"answer"
    assert client.ended


def test_who_has_ended_names_no_faults_any_more() -> None:
    _, server = ends()
    assert server.close()
    with pytest.raises(DecryptionFailedException):
        server.open(memoryview(ByHand().message(CERTIFICATE_REQUEST, b"")))
    assert server.close() == []


def test_a_close_notify_is_a_warning() -> None:
    client, _ = ends()
    assert join(client.close()) == ByHand().record(ALERT, bytes([1, CLOSE_NOTIFY]))


def test_a_user_that_cancels_is_followed_by_a_close_notify() -> None:
    _, server = ends()
    client = ByHand()
    assert opened(server, client.data(b"data") + client.record(ALERT, b"\x01\x5a")) == b"data"
    assert not server.ended
    assert opened(server, client.data(b"more") + client.record(ALERT, b"\x01\x00")) == b"more"
    assert server.ended


def test_a_peer_that_ended_with_an_error_is_told_nothing() -> None:
    _, server = ends()
    with pytest.raises(ConnectionClosedError):
        server.open(memoryview(ByHand().record(ALERT, bytes([2, 80]))))
    assert server.close() == []


@pytest.mark.parametrize(("code", "name"), [(42, "bad certificate"), (77, "unknown")])
def test_any_other_alert_is_an_error(code: int, name: str) -> None:
    _, server = ends()
    with pytest.raises(ConnectionClosedError, match=rf"{name} \(alert {code}\)") as caught:
        server.open(memoryview(ByHand().record(ALERT, bytes([2, code]))))
    assert caught.value.close_code == code


# -- messages of the handshake --------------------------------------------------------------------


def ticket(size: int) -> bytes:
    return bytes([NEW_SESSION_TICKET]) + size.to_bytes(3) + bytes(size)


def test_tickets_are_not_wanted() -> None:
    client, _ = ends()
    server = ByHand(SERVER_SECRET)
    wire = server.record(HANDSHAKE, ticket(1000) + ticket(13)) + server.data(b"data")
    assert opened(client, wire) == b"data"
    # One over several records.
    for start in range(0, 1004, 300):
        assert opened(client, server.record(HANDSHAKE, ticket(1000)[start : start + 300])) == b""
    assert opened(client, server.data(b"more")) == b"more"


def test_only_servers_send_tickets() -> None:
    _, server = ends()
    refused(server, ByHand().record(HANDSHAKE, ticket(1000)[:4]), UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("size", [0, 12])
def test_a_ticket_without_a_ticket_in_it_is_refused(size: int) -> None:
    client, _ = ends()
    with pytest.raises(DecryptionFailedException, match="not allowed"):
        client.open(memoryview(ByHand(SERVER_SECRET).record(HANDSHAKE, ticket(size))))


def test_it_is_messages_that_are_counted() -> None:
    client, _ = ends()
    server = ByHand(SERVER_SECRET)
    many = ticket(13) * MAX_RECORDS_WITHOUT_DATA
    # Each of these is one message, also the one that spans two records.
    opened(client, server.record(HANDSHAKE, many) + server.data(b"data"))
    opened(client, server.record(HANDSHAKE, many[:-1]) + server.record(HANDSHAKE, many[-1:]))
    with pytest.raises(DecryptionFailedException, match="without data"):
        client.open(memoryview(server.record(HANDSHAKE, ticket(13))))


INTERRUPTIONS: dict[str, Callable[[ByHand], bytes]] = {
    "data": lambda peer: peer.data(b"data"),
    "padded data": lambda peer: peer.data(b"data", 1),
    "empty data": lambda peer: peer.data(b""),
    "close_notify": lambda peer: peer.record(ALERT, bytes([1, CLOSE_NOTIFY])),
    "user_canceled": lambda peer: peer.record(ALERT, bytes([1, 90])),
}


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_nothing_comes_between_the_records_of_a_message(name: str) -> None:
    client, _ = ends()
    server = ByHand(SERVER_SECRET)
    assert opened(client, server.record(HANDSHAKE, ticket(100)[:50])) == b""
    with pytest.raises(DecryptionFailedException, match="interrupts"):
        client.open(memoryview(INTERRUPTIONS[name](server)))


# -- what a peer can make this side do ------------------------------------------------------------


def renewing(peer: ByHand, request: bytes) -> bytes:
    record = peer.message(KEY_UPDATE, request)
    peer.renew()
    return record


FLOODS: dict[str, Callable[[ByHand], bytes]] = {
    "one byte": lambda peer: peer.data(b"x"),
    "one byte, padded": lambda peer: peer.data(b"x", 1),
    "padding": lambda peer: peer.data(b"x", MAX_PLAINTEXT_BYTES - 1),
    "tickets": lambda peer: peer.record(HANDSHAKE, ticket(13) * 32) + peer.data(b"x"),
    "no tickets": lambda peer: peer.record(HANDSHAKE, ticket(0) * 4096) + peer.data(b"x"),
    "big tickets": lambda peer: peer.record(HANDSHAKE, ticket(16_380)) + peer.data(b"x"),
    "bits of tickets": lambda peer: (
        b"".join(peer.record(HANDSHAKE, bytes([byte])) for byte in ticket(13)) + peer.data(b"x")
    ),
    "key updates": lambda peer: renewing(peer, b"\x01") + peer.data(b"x"),
    "cancellations": lambda peer: peer.record(ALERT, b"\x01\x5a") + peer.data(b"x"),
    "nothing": lambda peer: peer.data(b"") + peer.data(b"x"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_one_call_does_a_bounded_amount_of_work(name: str) -> None:
    client, _ = ends()
    server, wire = ByHand(SERVER_SECRET), b""
    while len(wire) < 1 << 20 and server.sequence < 3 * MAX_RECORDS_AT_ONCE:
        wire += FLOODS[name](server)
        if name == "key updates" and len(wire) > 20_000:
            break
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with suppress(DecryptionFailedException):
            client.open(memoryview(wire))
    finally:
        sys.setprofile(before)
    # Sixty calls to each record, Python's own included: a few milliseconds on a slow machine.
    assert calls < 60 * MAX_RECORDS_AT_ONCE


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CERTIFICATE_REQUEST, b"\x00\x00\x00"),
        (KEY_UPDATE, b""),
        (KEY_UPDATE, b"\x02"),
        (KEY_UPDATE, b"\x00\x00"),
    ],
)
def test_other_messages_are_refused(kind: int, body: bytes) -> None:
    _, server = ends()
    with pytest.raises(DecryptionFailedException):
        server.open(memoryview(ByHand().message(kind, body)))


def test_a_huge_message_is_refused_at_its_length() -> None:
    client, _ = ends()
    message = bytes([NEW_SESSION_TICKET]) + (MAX_MESSAGE_BYTES + 1).to_bytes(3)
    with pytest.raises(DecryptionFailedException, match="not allowed"):
        client.open(memoryview(ByHand(SERVER_SECRET).record(HANDSHAKE, message)))


def test_nothing_may_follow_a_key_update_under_the_old_keys() -> None:
    _, server = ends()
    update = bytes([KEY_UPDATE, 0, 0, 1, 0])
    with pytest.raises(DecryptionFailedException, match="key update"):
        server.open(memoryview(ByHand().record(HANDSHAKE, update + update)))


def test_the_peer_goes_on_to_new_keys() -> None:
    _, server = ends()
    client = ByHand()
    wire = client.data(b"old ") + client.message(KEY_UPDATE, b"\x00")
    client.renew()
    assert opened(server, wire + client.data(b"new")) == b"old new"
    # It did not ask for this side's.
    assert join(server.seal([b"same"])) == ByHand(SERVER_SECRET).data(b"same")


def test_who_is_asked_for_new_keys_answers_once_before_its_next_data() -> None:
    _, server = ends()
    client = ByHand()
    for _ in range(2):
        opened(server, client.message(KEY_UPDATE, b"\x01"))
        client.renew()
    assert server.seal([]) == []
    expected = ByHand(SERVER_SECRET)
    update = expected.message(KEY_UPDATE, b"\x00")
    expected.renew()
    assert join(server.seal([b"data"])) == update + expected.data(b"data")
    assert join(server.seal([b"data"])) == expected.data(b"data")


def test_keys_are_renewed_before_they_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_RECORDS_PER_KEY", 4)
    client, server = ends()
    for turn in range(20):
        assert opened(server, join(client.seal([b"question", bytes(turn)])))[:8] == b"question"
        assert opened(client, join(server.seal([b"answer"]))) == b"answer"
        assert client._send.sequence <= 4
        assert server._send.sequence <= 4
    assert opened(server, join(client.seal([bytes(20 * MAX_PLAINTEXT_BYTES)]))) == bytes(
        20 * MAX_PLAINTEXT_BYTES
    )
