"""Whatever a library raises for a peer's bytes is that peer's failure, at each place they enter."""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from multiaddr import Multiaddr

from libp2p.crypto import ecc, ed25519, rsa, secp256k1
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import (
    BaseLibp2pError,
    CryptographyError,
    HandshakeFailure,
    IdentifyError,
    InvalidAddrError,
    InvalidRecord,
)
from libp2p.hostile_input import accepts, refused_as
from libp2p.identity.identify.message import IdentifyReader, parse_identify_response
from libp2p.peer.addresses import address_from_wire
from libp2p.peer.envelope import seal_record, unmarshal_envelope
from libp2p.peer.host_names import ascii_name
from libp2p.peer.peer_record import PeerRecord, unmarshal_record
from libp2p.security.insecure.exchange import PlaintextExchange
from libp2p.security.noise.handshake import XXHandshake
from libp2p.security.noise.payload import make_payload, open_payload
from libp2p.security.tls.certificate import verify_certificate
from libp2p.utils.varint import encode_varint_prefixed
from tests.support.certificates import NOW, Recipe
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from libp2p.crypto.keys import KeyPair


class PanicException(BaseException):
    """What code in Rust raises when it panics has this name, and no importable class."""


ODDITIES: Final[list[BaseException]] = [
    KeyError(1),
    TypeError("features must be a list"),
    IndexError(),
    AttributeError("no such"),
    OverflowError("date value out of range"),
    RecursionError(),
    MemoryError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    struct.error("unpack requires 4 bytes"),
    AssertionError(),
    StopIteration(),
    DeprecationWarning("that was once allowed"),
    OSError(5, "Input/output error"),
    PanicException("index out of bounds"),
]


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: type(oddity).__name__)
def test_everything_becomes_ours(oddity: BaseException) -> None:
    with (
        pytest.raises(InvalidRecord, match=rf"the record: {type(oddity).__name__}") as caught,
        refused_as(InvalidRecord, "the record"),
    ):
        raise oddity
    assert caught.value.__cause__ is oddity


def test_our_own_errors_pass() -> None:
    with pytest.raises(HandshakeFailure), refused_as(InvalidRecord, "the record"):
        raise HandshakeFailure("as it is")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind), refused_as(InvalidRecord, "the record"):
        raise kind


async def test_cancellation_passes() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        with refused_as(InvalidRecord, "the record"):
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


def test_a_peers_words_are_cut_and_quoted() -> None:
    with pytest.raises(InvalidRecord) as caught, refused_as(InvalidRecord, "the record"):
        raise ValueError("\x1b[2J\n" + "x" * 100_000)
    assert str(caught.value).startswith(r"the record: ValueError('\x1b[2J\n")
    assert len(str(caught.value)) < 250


def test_accepting_is_returning() -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert accepts(lambda *numbers: bool(numbers), 0)
    assert not any(accepts(fail, oddity) for oddity in ODDITIES)
    with pytest.raises(KeyboardInterrupt):
        accepts(fail, KeyboardInterrupt())


# -- each place where bytes enter ---------------------------------------------------------------


def key_of(pair: KeyPair) -> bytes:
    return pair.public_key.serialize()


def identify(data: bytes) -> None:
    IdentifyReader().receive([encode_varint_prefixed(data)])


def plaintext(data: bytes) -> None:
    PlaintextExchange(ed25519_pair("alice").public_key).receive([data])


def noise_first(data: bytes) -> None:
    key = X25519PrivateKey.from_private_bytes(bytes(32))
    XXHandshake(is_initiator=False, static=key, ephemeral=key).read(data)


RECORD: Final = PeerRecord(peer_id_of("alice"), [Multiaddr("/dns4/a.example/tcp/1")], 1)
ENVELOPE: Final = seal_record(RECORD, ed25519_pair("alice").private_key).marshal_envelope()
EXCHANGE: Final = PlaintextExchange(ed25519_pair("alice").public_key).start()
HAS_COINCURVE: Final = find_spec("coincurve") is not None
OPENSSL_KEY: Final = "libp2p.crypto.secp256k1_openssl.ec.EllipticCurvePublicKey"
ED25519: Final = key_of(ed25519_pair("alice"))
SECP256K1: Final = key_of(secp256k1.create_new_key_pair())
ECDSA: Final = key_of(ecc.create_new_key_pair())
RSA: Final = key_of(rsa.create_new_key_pair())
PAYLOAD: Final = make_payload(ed25519_pair("alice").private_key, bytes(32))
CERTIFICATE: Final = Recipe().der()

#: What is called with a peer's bytes; where, and how it fails then.
ENTRIES: Final[dict[str, tuple[str, Callable[[], object], type[BaseLibp2pError]]]] = {
    "Ed25519 key": (
        "libp2p.crypto.ed25519.VerifyKey",
        lambda: deserialize_public_key(ED25519),
        CryptographyError,
    ),
    "secp256k1 key": (
        "coincurve.PublicKey" if HAS_COINCURVE else f"{OPENSSL_KEY}.from_encoded_point",
        lambda: deserialize_public_key(SECP256K1),
        CryptographyError,
    ),
    "ECDSA key": (
        "libp2p.crypto.der.serialization.load_der_public_key",
        lambda: deserialize_public_key(ECDSA),
        CryptographyError,
    ),
    "ECDSA key that cannot be written": (
        "libp2p.crypto.der.write_public",
        lambda: deserialize_public_key(ECDSA),
        CryptographyError,
    ),
    "RSA key": (
        "libp2p.crypto.der.serialization.load_der_public_key",
        lambda: deserialize_public_key(RSA),
        CryptographyError,
    ),
    "RSA key's size": (
        "libp2p.crypto.rsa.validate_rsa_key_size",
        lambda: deserialize_public_key(RSA),
        CryptographyError,
    ),
    "envelope": (
        "libp2p.peer.envelope.envelope_pb2.Envelope",
        lambda: unmarshal_envelope(ENVELOPE),
        InvalidRecord,
    ),
    "peer record": (
        "libp2p.peer.peer_record.peer_record_pb2.PeerRecord",
        lambda: unmarshal_record(RECORD.marshal_record()),
        InvalidRecord,
    ),
    "address": (
        "libp2p.peer.addresses.Multiaddr",
        lambda: address_from_wire(RECORD.addrs[0].to_bytes()),
        InvalidAddrError,
    ),
    "host name": (
        "idna.encode",
        lambda: ascii_name("münchen.example"),
        InvalidAddrError,
    ),
    "bare identify": (
        "libp2p.identity.identify.message.Identify",
        lambda: parse_identify_response(b"\x0a\x01k"),
        IdentifyError,
    ),
    "plaintext exchange": (
        "libp2p.security.insecure.exchange.plaintext_pb2.Exchange",
        lambda: plaintext(EXCHANGE),
        HandshakeFailure,
    ),
    "Noise key": (
        "libp2p.security.noise.handshake.X25519PublicKey",
        lambda: noise_first(bytes([9]) * 32),
        HandshakeFailure,
    ),
    "Noise payload": (
        "libp2p.security.noise.payload.noise_pb2.NoiseHandshakePayload",
        lambda: open_payload(PAYLOAD, bytes(32)),
        HandshakeFailure,
    ),
    "certificate": (
        "libp2p.security.tls.certificate.x509.load_der_x509_certificate",
        lambda: verify_certificate(CERTIFICATE, now=NOW),
        HandshakeFailure,
    ),
    "certificate's dates": (
        "libp2p.security.tls.certificate._check_validity",
        lambda: verify_certificate(CERTIFICATE, now=NOW),
        HandshakeFailure,
    ),
    "certificate's extensions": (
        "libp2p.security.tls.certificate._libp2p_extension",
        lambda: verify_certificate(CERTIFICATE, now=NOW),
        HandshakeFailure,
    ),
    "certificate's key": (
        "libp2p.security.tls.certificate._checked_public_key",
        lambda: verify_certificate(CERTIFICATE, now=NOW),
        HandshakeFailure,
    ),
}


class Odd:
    """Stands where a library's class or function stood; whatever is done with it fails."""

    def __init__(self, oddity: BaseException) -> None:
        self.oddity = oddity

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not arguments:
            return self  # an empty message, to be parsed into
        raise self.oddity

    def __getattr__(self, name: str) -> Odd:
        return self


@pytest.mark.parametrize(
    "oddity", [KeyError(1), RecursionError(), PanicException()], ids=lambda o: type(o).__name__
)
@pytest.mark.parametrize("entry", ENTRIES)
def test_each_entry_has_one_kind_of_failure(
    entry: str, oddity: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, enter, expected = ENTRIES[entry]
    enter()
    monkeypatch.setattr(where, Odd(oddity))
    with pytest.raises(expected):
        enter()


KINDS: Final[dict[str, tuple[str, Callable[[], KeyPair]]]] = {
    "ed25519": ("nacl.signing.VerifyKey.verify", ed25519.create_new_key_pair)
}
if HAS_COINCURVE:
    KINDS["secp256k1"] = ("coincurve.PublicKey.verify", secp256k1.create_new_key_pair)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: type(oddity).__name__)
def test_a_signature_that_cannot_be_verified_is_none(
    kind: str, oddity: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, new_pair = KINDS[kind]
    pair = new_pair()
    signature = pair.private_key.sign(b"data")
    assert pair.public_key.verify(b"data", signature)
    monkeypatch.setattr(where, Odd(oddity))
    assert not pair.public_key.verify(b"data", signature)


# -- what has made libraries stumble --------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"a..b", b".", b"-", b"a" * 64, b"a." * 400, b"xn--", b"xn--a", b"xn--" + b"9" * 59,
        b"xn--0", b"xn--zzzzzzzzzzzzzzzzzzzz", b"XN--A-ECP.RU", b"a_b", b"a-.b",
    ],
)  # fmt: skip
def test_a_host_name_is_read_or_left_out(name: bytes) -> None:
    data = b"\x36" + len(name).to_bytes(1 if len(name) < 128 else 2) + name
    if len(name) >= 128:
        data = b"\x36" + bytes((len(name) & 0x7F | 0x80, len(name) >> 7)) + name
    try:
        address = address_from_wire(data)
    except InvalidAddrError:
        return
    # What a resolver is asked for later.
    assert str(address).split("/")[2].encode("idna").lower() == name.lower()


def test_a_string_that_is_not_utf8_fails_no_other_way() -> None:
    # protobuf's pure Python raises UnicodeDecodeError, the others read it.
    message = b"\x1a\x02\xff\xfe\x2a\x02\xff\xfe\x32\x02\xff\xfe"
    try:
        identify(message)
    except IdentifyError:
        return


def test_the_libraries_still_have_the_extensions_that_they_stumble_over() -> None:
    # If this fails, `cryptography` has learnt; what is above keeps holding for what it has not.
    extension = x509.UnrecognizedExtension(x509.TLSFeature.oid, b"\x30\x00")
    der = Recipe(more=((extension, False),)).der()
    with pytest.raises(HandshakeFailure, match="malformed"):
        verify_certificate(der, now=NOW)
