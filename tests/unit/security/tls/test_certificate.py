"""The specification's certificates, ours, and every kind that must be refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA224, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from libp2p.crypto.ecc import create_new_key_pair as new_ecdsa_pair
from libp2p.crypto.rsa import create_new_key_pair as new_rsa_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as new_secp256k1_pair
from libp2p.exceptions import HandshakeFailure, InvalidSignature, PeerIDMismatchesPubkey
from libp2p.peer.id import ID
from libp2p.security.tls.certificate import (
    EXTENSION_OID,
    decode_signed_key,
    encode_signed_key,
    make_certificate,
    verify_certificate,
)
from tests.support.certificates import HOUR, NOW, Recipe, p256_key
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.strategies import octets

ALICE = ed25519_pair("alice")
GOOD = Recipe()
SAME_IN_EVERY_RUN = GOOD.but(
    key=ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), hash=None
).der()
SOMETHING = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.2"), b"?")

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "data" / "libp2p_spec_vectors.json").read_text(encoding="utf-8")
)["tls_certificates"]
WITHIN_THEIR_VALIDITY = datetime(2024, 1, 1, tzinfo=UTC).timestamp()

EXPLICIT_CURVE = bytes.fromhex(
    "30820259308201ffa00302010202142a2679c9a96deabe066634f38b11c9363b7c54cd300a06082a8648ce3d"
    "04030230143112301006035504030c096c69627032702e696f3020170d3236313132313130353033335a180f"
    "32313236313032383130353033335a30143112301006035504030c096c69627032702e696f3082014b308201"
    "0306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff00000001000000000000"
    "000000000000ffffffffffffffffffffffff305b0420ffffffff00000001000000000000000000000000ffff"
    "fffffffffffffffffffc04205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
    "031500c49d360886e704936a6678e1139d26b7819f7e900441046b17d1f2e12c4247f8bce6e563a440f27703"
    "7d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf"
    "51f5022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63255102010103420004"
    "c8b4b1b1bac3910e760530f4d478704eb13cf3d08b4ea139e50cfa68c0f7584ad9fbaf4ee21a7c899dabeb58"
    "43e5aa5bdc45814a22df7d2155aaea4845486b98a33930373016060a2b0601040183a25a0101040830060401"
    "61040162301d0603551d0e0416041459a7008483538d8a3830f3d6692e2cc8ef1059c3300a06082a8648ce3d"
    "040302034800304502203db78683e15449e3b56fa91b063ebf3e1e19ad4ad55f227efd1b2ee9ed94fc350221"
    "00e9382704537f842aab4a806acb9a09baa644b2a96d9b42f40f2b62246dd8cfc8"
)
"""Made by `openssl ecparam -name prime256v1 -param_enc explicit`, with a libp2p extension."""


# -- the specification's --------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_certificates_of_the_specification(vector: dict[str, Any]) -> None:
    der = bytes.fromhex(vector["certificate_hex"])
    if vector["peer_id"] is None:
        with pytest.raises(InvalidSignature):
            verify_certificate(der, now=WITHIN_THEIR_VALIDITY)
        return
    found = verify_certificate(der, now=WITHIN_THEIR_VALIDITY)
    assert str(found.peer_id) == vector["peer_id"]
    assert ID.from_pubkey(found.public_key) == found.peer_id


# -- ours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pair",
    [
        ALICE,
        new_secp256k1_pair(),
        new_ecdsa_pair("P-256"),
        pytest.param(new_rsa_pair(2048), marks=pytest.mark.slow),
    ],
    ids=["ed25519", "secp256k1", "ecdsa", "rsa"],
)
def test_a_certificate_proves_who_made_it(pair: Any) -> None:
    certificate = make_certificate(pair.private_key, p256_key(), now=NOW, serial_number=7)
    der = certificate.public_bytes(Encoding.DER)
    peer_id = ID.from_pubkey(pair.public_key)
    found = verify_certificate(der, now=NOW, expected_peer=peer_id)
    assert found == (peer_id, pair.public_key)


def test_a_certificate_is_as_go_libp2ps() -> None:
    certificate = make_certificate(ALICE.private_key, p256_key(), now=NOW, serial_number=7)
    today = datetime.fromtimestamp(NOW, UTC)
    assert certificate.not_valid_before_utc == today - HOUR
    assert certificate.not_valid_after_utc - today > timedelta(days=36_500)
    assert certificate.serial_number == 7
    assert certificate.subject == certificate.issuer
    assert len(certificate.subject) == 1
    [extension] = certificate.extensions
    assert (extension.oid, extension.critical) == (EXTENSION_OID, False)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


# -- what may differ ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [
        GOOD,
        GOOD.but(critical=True),
        GOOD.but(more=((SOMETHING, False),)),
        GOOD.but(more=((x509.BasicConstraints(ca=True, path_length=None), True),)),
        GOOD.but(more=((x509.SubjectAlternativeName([x509.DNSName("a.example")]), True),)),
        GOOD.but(key=ed25519.Ed25519PrivateKey.generate(), hash=None),
        GOOD.but(key=ec.generate_private_key(ec.SECP384R1()), hash=SHA384()),
        GOOD.but(key=rsa.generate_private_key(65_537, 2048)),
    ],
    ids=[
        "plain",
        "critical",
        "unknown extension",
        "constraints",
        "name",
        "ed25519",
        "p384",
        "rsa",
    ],
)
def test_what_other_implementations_may_do_differently_is_accepted(recipe: Recipe) -> None:
    assert verify_certificate(recipe.der(), now=NOW).peer_id == peer_id_of("alice")


def test_validity_includes_its_ends() -> None:
    for edge in (-3600, 3600):
        assert verify_certificate(GOOD.der(), now=NOW + edge).peer_id == peer_id_of("alice")


# -- what must be refused -------------------------------------------------------------------------


def with_tls_feature(value: str) -> Recipe:
    extension = x509.UnrecognizedExtension(x509.TLSFeature.oid, bytes.fromhex(value))
    return GOOD.but(more=((extension, False),))


REFUSED: dict[str, tuple[Recipe, str]] = {
    "not yet valid": (GOOD.but(begins=timedelta(seconds=1)), "not valid yet"),
    "expired": (GOOD.but(ends=timedelta(seconds=-1)), "expired"),
    "no extension": (GOOD.but(with_libp2p=False), "no libp2p extension"),
    "only others": (GOOD.but(with_libp2p=False, more=((SOMETHING, False),)), "no libp2p ext"),
    "unknown critical extension": (GOOD.but(more=((SOMETHING, True),)), "1.3.6.1.4.1.53594.1.2"),
    "understood by some, not here": (
        GOOD.but(more=((x509.TLSFeature([x509.TLSFeatureType.status_request]), True),)),
        "unknown critical extension",
    ),
    "signed by another key": (GOOD.but(signing_key=p256_key("other")), "not signed with its own"),
    "issued by somebody else": (GOOD.but(issuer="authority"), "not signed with its own"),
    "weak hash": (GOOD.but(hash=SHA224()), "sha224"),
    "weak key": (GOOD.but(key=rsa.generate_private_key(65_537, 1024)), "RSA key of 1024 bits"),
    "a key that signs nothing": (
        GOOD.but(key=x25519.X25519PrivateKey.generate(), signing_key=p256_key()),
        "of a kind that TLS has not",
    ),
    "a KeyError of cryptography's": (with_tls_feature("3003020101"), r"malformed: KeyError\(1\)"),
    "a TypeError of cryptography's": (with_tls_feature("3000"), "malformed: TypeError"),
    "identity is no key": (GOOD.but(signed_key=encode_signed_key(b"key", b"")), "identity key"),
    "extension is no key": (GOOD.but(signed_key=b"key"), "malformed"),
    "identity of somebody else": (
        GOOD.but(signed_key=GOOD.but(key=p256_key("other")).right_signed_key()),
        "has not signed its certificate's key",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    recipe, reason = REFUSED[name]
    with pytest.raises(HandshakeFailure, match=reason):
        verify_certificate(recipe.der(), now=NOW)


@pytest.mark.parametrize(
    ("bits", "exponent", "reason"),
    [
        (16384, 65_537, "RSA key of 16384 bits"),
        (3072, 2**3071 + 1, "exponent is too large"),
    ],
    ids=["length", "exponent"],
)
def test_cve_2023_39533_a_certificates_rsa_key_that_takes_long_is_refused_before_it_is_used(
    bits: int, exponent: int, reason: str
) -> None:
    class PublicHalf:
        def public_key(self) -> rsa.RSAPublicKey:
            return rsa.RSAPublicNumbers(e=exponent, n=2 ** (bits - 1) + 2**64 + 1).public_key()

    der = GOOD.but(key=PublicHalf(), signing_key=p256_key()).der()
    with pytest.raises(HandshakeFailure, match=reason):
        verify_certificate(der, now=NOW)


def test_an_identity_signature_for_another_key_is_no_signature() -> None:
    stolen = GOOD.right_signed_key()
    with pytest.raises(InvalidSignature):
        verify_certificate(GOOD.but(key=p256_key("other"), signed_key=stolen).der(), now=NOW)


def test_another_peer_than_the_dialled_one_is_refused() -> None:
    with pytest.raises(PeerIDMismatchesPubkey, match=str(peer_id_of("alice"))):
        verify_certificate(GOOD.der(), now=NOW, expected_peer=peer_id_of("bob"))


def test_two_libp2p_extensions_are_refused() -> None:
    twin = x509.UnrecognizedExtension(SOMETHING.oid, GOOD.right_signed_key())
    der = GOOD.but(more=((twin, False),)).der()
    other, libp2p = (
        bytes.fromhex("060a2b0601040183a25a0102"),
        bytes.fromhex("060a2b0601040183a25a0101"),
    )
    assert der.count(other) == 1
    with pytest.raises(HandshakeFailure, match="Duplicate"):
        verify_certificate(der.replace(other, libp2p), now=NOW)


def test_a_curve_that_is_not_named_is_refused() -> None:
    with pytest.raises(HandshakeFailure, match=r"canonical|explicit"):
        verify_certificate(EXPLICIT_CURVE, now=datetime(2030, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"certificate", GOOD.der()[:-1]])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(HandshakeFailure, match="malformed"):
        verify_certificate(der, now=NOW)


@given(st.integers(0, len(SAME_IN_EVERY_RUN) - 1), st.integers(1, 255))
def test_no_change_makes_a_certificate_somebody_elses(at: int, change: int) -> None:
    der = bytearray(SAME_IN_EVERY_RUN)
    der[at] ^= change
    try:
        found = verify_certificate(bytes(der), now=NOW)
    except HandshakeFailure:
        return
    # How many bits of its last byte a signature leaves unused is signed by nobody.
    assert found.peer_id == peer_id_of("alice")


def test_a_date_that_is_none_is_refused() -> None:
    der = GOOD.but(ends=timedelta(days=10_000)).der()  # so late that it is said with four digits
    assert der.count(b"\x18\x0f2054") == 1
    with pytest.raises(HandshakeFailure, match="malformed"):
        verify_certificate(der.replace(b"\x18\x0f2054", b"\x18\x0f0000"), now=NOW)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("a003020102020101", "a003020107020101"),  # X.509 version 8
        ("a003020102020101", "a0030201020201ff"),  # serial number -1, of which there is a warning
    ],
)
def test_what_cryptography_has_errors_of_its_own_for_is_refused(right: str, wrong: str) -> None:
    der = GOOD.der()
    assert der.count(bytes.fromhex(right)) == 1
    with pytest.raises(HandshakeFailure, match="malformed"):
        verify_certificate(der.replace(bytes.fromhex(right), bytes.fromhex(wrong)), now=NOW)


# -- the extension's value ------------------------------------------------------------------------


def test_a_signed_key_is_a_sequence_of_two_octet_strings() -> None:
    assert encode_signed_key(b"key", b"signed") == b"\x30\x0d\x04\x03key\x04\x06signed"
    long = encode_signed_key(bytes(200), bytes(300))
    assert long[:7] == b"\x30\x82\x01\xfb\x04\x81\xc8"


@given(octets(max_size=400), octets(max_size=400))
def test_a_signed_key_survives_its_encoding(public_key: bytes, signature: bytes) -> None:
    value = encode_signed_key(public_key, signature)
    assert decode_signed_key(value) == (public_key, signature)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x31\x06\x04\x01k\x04\x01s",
        b"\x30\x06\x04\x01k\x05\x01s",
        b"\x30\x06\x04\x01k\x04\x01s-",
        b"\x30\x07\x04\x01k\x04\x01s-",
        b"\x30\x07\x04\x01k\x04\x01s",
        b"\x30\x80\x04\x01k\x04\x01s\x00\x00",
        b"\x30\x81\x06\x04\x01k\x04\x01s",
        b"\x30\x82\x00\x06\x04\x01k\x04\x01s",
        b"\x30\xff\x04\x01k\x04\x01s",
        b"\x30\x03\x04\x81",
    ],
)
def test_what_is_not_der_is_refused(value: bytes) -> None:
    with pytest.raises(HandshakeFailure, match="libp2p extension"):
        decode_signed_key(value)


@given(octets(max_size=40))
def test_any_value_is_decoded_or_refused(value: bytes) -> None:
    try:
        public_key, signature = decode_signed_key(value)
    except HandshakeFailure:
        return
    assert encode_signed_key(public_key, signature) == value
