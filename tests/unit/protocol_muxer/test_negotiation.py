from __future__ import annotations

from contextlib import suppress
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    LocalProtocolError,
    MultiselectClientError,
    MultiselectError,
    NegotiationError,
    ProtocolNotSupportedError,
    RemoteProtocolError,
)
from libp2p.protocol_muxer.negotiation import (
    MAX_MESSAGE_BYTES,
    MAX_PROPOSALS,
    Initiator,
    MessageReader,
    Responder,
    Step,
    encode_message,
)
from libp2p.utils.varint import encode_uvarint
from tests.support.fragments import cut, piece_sizes

HEADER_BYTES = b"\x13/multistream/1.0.0\n"
NA_BYTES = b"\x03na\n"
NOISE = TProtocol("/noise")
TLS = TProtocol("/tls/1.0.0")
YAMUX = TProtocol("/yamux/1.0.0")

protocol_names = (
    st.text(
        st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]),
        min_size=1,
        max_size=90,
    )
    .filter(lambda name: name != "na")
    .map(TProtocol)
)


def feed_pieces(side: Initiator | Responder, data: bytes, sizes: list[int]) -> Step:
    """Feed ``data`` piece by piece; what comes after the agreement is dropped."""
    sent = b""
    for piece in cut(data, sizes):
        to_send, protocol = side.receive([piece])
        sent += to_send
        if protocol is not None:
            return Step(sent, protocol)
    return Step(sent, None)


# -- messages -------------------------------------------------------------------------------------


def test_a_message_is_a_length_the_text_and_a_line_feed() -> None:
    assert encode_message("/noise") == b"\x07/noise\n"
    assert encode_message("/multistream/1.0.0") == HEADER_BYTES


def test_a_length_of_two_bytes() -> None:
    text = "x" * 200
    encoded = encode_message(text)
    assert encoded == b"\xc9\x01" + text.encode() + b"\n"
    reader = MessageReader()
    reader.feed([encoded])
    assert reader.next_message() == text


@given(st.lists(st.text(max_size=100), max_size=8), piece_sizes)
def test_any_split_gives_the_same_messages(texts: list[str], sizes: list[int]) -> None:
    texts = [text.replace("\n", "") for text in texts]
    reader = MessageReader()
    messages = []
    for piece in cut(b"".join(map(encode_message, texts)), sizes):
        reader.feed([piece])
        while (message := reader.next_message()) is not None:
            messages.append(message)
    assert messages == texts
    assert b"".join(reader.take_leftover()) == b""


def test_the_longest_message_is_1024_bytes_with_its_line_feed() -> None:
    reader = MessageReader()
    reader.feed([encode_message("x" * (MAX_MESSAGE_BYTES - 1))])
    assert reader.next_message() == "x" * 1023
    reader.feed([encode_message("x" * MAX_MESSAGE_BYTES)])
    with pytest.raises(NegotiationError, match="1025 bytes"):
        reader.next_message()


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (b"\x00", "0 bytes"),
        (b"\x81\x08", "1025 bytes"),
        (b"\xff\x7f", "16383 bytes"),
        (b"\x83\x00na\n", "shortest form"),
        (b"\x80\x80", "longer than 2 bytes"),
        (b"\xff\xff\xff\xff\x0f", "longer than 2 bytes"),
        (b"\x03nay", "line feed"),
        (b"\x03\xff\xfe\n", "UTF-8"),
    ],
)
def test_malformed_messages_are_refused_as_soon_as_they_show(wire: bytes, complaint: str) -> None:
    reader = MessageReader()
    reader.feed([wire])
    with pytest.raises(NegotiationError, match=complaint) as raised:
        reader.next_message()
    assert raised.value.code == 0x1001


@pytest.mark.parametrize("length", [1025, 2**14, 2**20, 2**30, 2**62])
def test_ghsa_xqvc_92cf_94j4_a_declared_length_beyond_the_limit_is_refused_within_two_bytes(
    length: int,
) -> None:
    wire = encode_uvarint(length)
    for side in (Initiator([NOISE]), Responder([NOISE])):
        side.receive([HEADER_BYTES, wire[:1]])
        with pytest.raises(NegotiationError, match=r"1025 bytes|longer than 2 bytes"):
            side.receive([wire[1:2]])


def test_a_broken_negotiation_is_caught_by_every_name_it_has() -> None:
    error = NegotiationError("why")
    assert isinstance(error, MultiselectError)
    assert isinstance(error, MultiselectClientError)
    assert isinstance(error, RemoteProtocolError)


# -- the initiator --------------------------------------------------------------------------------


def test_the_first_proposal_goes_out_with_the_header() -> None:
    assert Initiator([NOISE, TLS]).start() == HEADER_BYTES + b"\x07/noise\n"


def test_an_echo_is_the_agreement() -> None:
    initiator = Initiator([NOISE])
    assert initiator.receive([HEADER_BYTES, b"\x07/noise\n"]) == Step(b"", NOISE)
    assert b"".join(initiator.take_leftover()) == b""


def test_the_header_may_arrive_alone() -> None:
    initiator = Initiator([NOISE])
    assert initiator.receive([HEADER_BYTES]) == Step(b"", None)
    assert initiator.receive([b"\x07/noise\n"]) == Step(b"", NOISE)


def test_a_refusal_leads_on_to_the_next_proposal() -> None:
    initiator = Initiator([TLS, NOISE])
    assert initiator.receive([HEADER_BYTES + NA_BYTES]) == Step(b"\x07/noise\n", None)
    assert initiator.receive([b"\x07/noise\n"]) == Step(b"", NOISE)


def test_when_every_proposal_was_refused_the_error_names_them() -> None:
    initiator = Initiator([TLS, NOISE])
    initiator.receive([HEADER_BYTES + NA_BYTES])
    with pytest.raises(ProtocolNotSupportedError, match=r"/tls/1\.0\.0, /noise"):
        initiator.receive([NA_BYTES])
    with pytest.raises(LocalProtocolError):
        initiator.receive([NA_BYTES])


def test_the_initiator_hands_back_what_follows_the_agreement() -> None:
    initiator = Initiator([NOISE])
    step = initiator.receive([HEADER_BYTES, b"\x07/noise\n\x00\x20data", b"more"])
    assert step.protocol == NOISE
    assert b"".join(initiator.take_leftover()) == b"\x00\x20datamore"
    assert b"".join(initiator.take_leftover()) == b""


def test_an_agreed_negotiation_takes_nothing_more() -> None:
    initiator = Initiator([NOISE])
    initiator.receive([HEADER_BYTES, b"\x07/noise\n"])
    with pytest.raises(LocalProtocolError, match="over"):
        initiator.receive([b"\x07/noise\n"])


@pytest.mark.parametrize("side", [Initiator([NOISE]), Responder([NOISE])])
def test_another_header_is_refused(side: Initiator | Responder) -> None:
    with pytest.raises(NegotiationError, match=r"peer speaks '/multistream/2\.0\.0'"):
        side.receive([encode_message("/multistream/2.0.0")])


def test_an_answer_to_a_question_that_was_not_asked_is_refused() -> None:
    initiator = Initiator([NOISE, TLS])
    with pytest.raises(NegotiationError, match=r"answered '/tls/1\.0\.0'"):
        initiator.receive([HEADER_BYTES, encode_message(TLS)])


@pytest.mark.parametrize(
    "protocols", [[], [""], ["na"], ["/a\n/b"], ["x" * 1024], ["é" * 512], ["/x"] * 65]
)
def test_what_cannot_be_proposed_is_the_callers_mistake(protocols: list[str]) -> None:
    with pytest.raises(LocalProtocolError):
        Initiator([TProtocol(protocol) for protocol in protocols])


def test_a_single_known_protocol_can_be_negotiated_lazily() -> None:
    # All that an optimistic initiator has to say goes out at once, application data included; the
    # answer is looked at when the first application data of the peer is.
    initiator, responder = Initiator([NOISE]), Responder([NOISE])
    to_send, protocol = responder.receive([initiator.start() + b"request"])
    assert protocol == NOISE
    assert b"".join(responder.take_leftover()) == b"request"
    assert initiator.receive([responder.start() + to_send + b"reply"]).protocol == NOISE
    assert b"".join(initiator.take_leftover()) == b"reply"


# -- the responder --------------------------------------------------------------------------------


def test_the_responder_writes_its_header_without_waiting() -> None:
    assert Responder([NOISE]).start() == HEADER_BYTES


def test_tls_is_refused_and_the_refusal_leads_on_to_noise() -> None:
    responder = Responder({NOISE: None})
    assert responder.receive([HEADER_BYTES + encode_message(TLS)]) == Step(NA_BYTES, None)
    assert responder.receive([encode_message(NOISE)]) == Step(b"\x07/noise\n", NOISE)
    with pytest.raises(LocalProtocolError, match="over"):
        responder.receive([encode_message(NOISE)])


@pytest.mark.parametrize("proposal", ["ls", "na", "", "/plaintext/2.0.0", "/noise\n", "/noise/"])
def test_whatever_is_not_supported_is_answered_with_na(proposal: str) -> None:
    responder = Responder([NOISE])
    assert responder.receive([HEADER_BYTES + encode_message(proposal)]) == Step(NA_BYTES, None)


def test_pipelined_proposals_are_answered_in_one_buffer() -> None:
    responder = Responder([NOISE])
    step = responder.receive(
        [HEADER_BYTES + encode_message(TLS) + encode_message("ls") + encode_message(NOISE)]
    )
    assert step == Step(NA_BYTES * 2 + b"\x07/noise\n", NOISE)


def test_nobody_can_agree_on_the_refusal() -> None:
    responder = Responder(lambda _: True)
    assert responder.receive([HEADER_BYTES + NA_BYTES]) == Step(NA_BYTES, None)


def test_support_may_be_a_test_of_the_name() -> None:
    responder = Responder(lambda protocol: protocol.startswith("/ipfs/"))
    step = responder.receive([HEADER_BYTES + encode_message("/ipfs/bitswap/1.2.0")])
    assert step.protocol == "/ipfs/bitswap/1.2.0"


def test_the_responder_hands_back_data_of_the_proposals_segment() -> None:
    responder = Responder([YAMUX])
    step = responder.receive([HEADER_BYTES + encode_message(YAMUX) + b"\x00\x01frame"])
    assert step.protocol == YAMUX
    assert b"".join(responder.take_leftover()) == b"\x00\x01frame"


def test_the_64th_proposal_is_the_last_one() -> None:
    refused = encode_message(TLS) * (MAX_PROPOSALS - 1)
    responder = Responder([NOISE])
    step = responder.receive([HEADER_BYTES, refused, encode_message(NOISE)])
    assert step == Step(NA_BYTES * (MAX_PROPOSALS - 1) + b"\x07/noise\n", NOISE)
    responder = Responder([NOISE])
    responder.receive([HEADER_BYTES, refused])
    with pytest.raises(NegotiationError, match="none of 64"):
        responder.receive([encode_message(TLS)])
    with pytest.raises(LocalProtocolError):
        responder.receive([encode_message(NOISE)])


# -- both -----------------------------------------------------------------------------------------


@given(
    proposals=st.lists(protocol_names, min_size=1, max_size=10, unique=True),
    supported=st.sets(protocol_names, max_size=4),
    wanted=st.integers(min_value=0, max_value=9),
    sizes=piece_sizes,
)
def test_any_split_leads_to_the_same_agreement(
    proposals: list[TProtocol],
    supported: set[TProtocol],
    wanted: int,
    sizes: list[int],
) -> None:
    supported |= set(islice(proposals, wanted, None))
    expected = next((name for name in proposals if name in supported), None)
    initiator, responder = Initiator(proposals), Responder(supported)
    to_responder, to_initiator = initiator.start(), responder.start()
    agreed: TProtocol | None = None
    while agreed is None:
        answer, agreed = feed_pieces(responder, to_responder, sizes)
        to_initiator += answer
        try:
            to_responder, protocol = feed_pieces(initiator, to_initiator, sizes)
        except ProtocolNotSupportedError:
            assert expected is None
            return
        to_initiator = b""
        assert protocol == agreed
    assert agreed == expected


@given(trailing=st.binary(max_size=300), sizes=piece_sizes)
def test_no_byte_after_the_agreement_is_lost(trailing: bytes, sizes: list[int]) -> None:
    pieces = list(cut(HEADER_BYTES + encode_message(NOISE) + trailing, sizes))
    for side in (Initiator([NOISE]), Responder([NOISE])):
        for index, piece in enumerate(pieces):
            if side.receive([piece]).protocol is not None:
                rest = b"".join(pieces[index + 1 :])
                assert b"".join(side.take_leftover()) + rest == trailing
                break
        else:
            pytest.fail("no agreement")


@given(st.binary(max_size=300), piece_sizes)
def test_noise_from_the_peer_ends_in_a_typed_error_or_in_waiting(
    garbage: bytes, sizes: list[int]
) -> None:
    for side in (Initiator([NOISE]), Responder([NOISE])):
        with suppress(NegotiationError):
            assert feed_pieces(side, garbage, sizes).protocol is None
