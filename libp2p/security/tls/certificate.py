"""
Certificates that prove which peer a TLS key belongs to (sans-I/O).

https://github.com/libp2p/specs/blob/master/tls/tls.md#peer-authentication: a certificate is
self-signed, so it proves nothing by itself. Only its extension counts: a libp2p key, and that key's
signature of the certificate's own public key. Names, serial numbers and issuers are ignored.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libp2p.crypto.rsa import check_rsa_public_key
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import (
    CryptographyError,
    HandshakeFailure,
    InvalidSignature,
    PeerIDMismatchesPubkey,
)
from libp2p.hostile_input import refused_as
from libp2p.peer.id import ID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from libp2p.crypto.keys import PrivateKey, PublicKey

#: Assigned to Protocol Labs for this.
EXTENSION_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")

#: Makes the signature invalid for anything else that the identity key signs.
SIGNATURE_PREFIX: Final = b"libp2p-tls-handshake:"

#: As in go-libp2p: a certificate is valid for as long as its process, however wrong a clock is.
VALIDITY: Final = timedelta(days=36_525)
#: How far a peer's clock may be behind ours for it to accept a fresh certificate.
CLOCK_SKEW: Final = timedelta(hours=1)

#: The specification forbids hashes under 256 bits.
MIN_DIGEST_BYTES: Final = 32

#: Extensions that other libraries add. A peer is not identified by them, so they may be critical
#: and are ignored.
_UNDERSTOOD: Final = frozenset(
    {
        EXTENSION_OID,
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
    }
)

#: The keys that TLS 1.3 signs with. A handshake with another kind, such as DSA, fails later, so
#: verifying its signature would be wasted time.
_TLS_KEYS: Final = (RSAPublicKey, EllipticCurvePublicKey, Ed25519PublicKey, Ed448PublicKey)

_SEQUENCE: Final = 0x30
_OCTET_STRING: Final = 0x04


class CertifiedIdentity(NamedTuple):
    """The peer that a certificate's key belongs to."""

    peer_id: ID
    public_key: PublicKey


def make_certificate(
    identity_key: PrivateKey,
    certificate_key: EllipticCurvePrivateKey,
    *,
    now: float,
    serial_number: int,
) -> x509.Certificate:
    """
    Return a certificate that proves ``certificate_key`` to be of ``identity_key``'s owner.

    :param certificate_key: a P-256 key, the one kind that every implementation must support.
    :param now: the time of day, in seconds since 1970.
    :param serial_number: a random one, see `x509.random_serial_number`.
    """
    public_key = certificate_key.public_key()
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed_key = encode_signed_key(
        identity_key.get_public_key().serialize(), identity_key.sign(SIGNATURE_PREFIX + spki)
    )
    # The issuer must not be empty (RFC 5280 §4.1.2.4), but there is nothing to say about it.
    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, str(serial_number))])
    today = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(serial_number)
        .public_key(public_key)
        .not_valid_before(today - CLOCK_SKEW)
        .not_valid_after(today + VALIDITY)
        .add_extension(x509.UnrecognizedExtension(EXTENSION_OID, signed_key), critical=False)
        .sign(certificate_key, SHA256())
    )


def verify_certificate(
    der: bytes, *, now: float, expected_peer: ID | None = None
) -> CertifiedIdentity:
    """
    Return the peer that the key of the certificate ``der`` belongs to.

    The TLS handshake proves that the peer *has* this key.

    :param now: the time of day, in seconds since 1970.
    :param expected_peer: the peer that was dialled; None accepts any peer that proves its identity.
    :raises InvalidSignature: if one of the certificate's two signatures does not verify.
    :raises PeerIDMismatchesPubkey: if it is not ``expected_peer``'s.
    :raises HandshakeFailure: if the certificate is malformed or not what the specification allows.
    """
    with refused_as(HandshakeFailure, "the peer's certificate is malformed"):
        certificate = x509.load_der_x509_certificate(der)
        _check_validity(certificate, now)
        extension = _libp2p_extension(certificate)
        spki = _checked_public_key(certificate)
        # The specification forbids curves given by parameters instead of by name. These and all
        # other unusual encodings differ from the one that is written here.
        if spki not in der:
            raise HandshakeFailure("the key in the peer's certificate is not encoded canonically")
    with refused_as(InvalidSignature, "the peer's certificate is not signed with its own key"):
        certificate.verify_directly_issued_by(certificate)
    serialized, signature = decode_signed_key(extension)
    try:
        public_key = deserialize_public_key(serialized)
    except CryptographyError as error:
        raise HandshakeFailure(f"identity key in the certificate: {error}") from error
    if not public_key.verify(SIGNATURE_PREFIX + spki, signature):
        raise InvalidSignature("the peer's identity key has not signed its certificate's key")
    peer_id = ID.from_pubkey(public_key)
    if expected_peer is not None and peer_id != expected_peer:
        raise PeerIDMismatchesPubkey(f"the peer is {peer_id}, not {expected_peer}")
    return CertifiedIdentity(peer_id, public_key)


def _libp2p_extension(certificate: x509.Certificate) -> bytes:
    """Return the libp2p extension's value; refuse unknown critical extensions."""
    value = None
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise HandshakeFailure(
                f"the peer's certificate has the unknown critical extension "
                f"{extension.oid.dotted_string}"
            )
        if isinstance(extension.value, x509.UnrecognizedExtension) and (
            extension.oid == EXTENSION_OID
        ):
            value = extension.value.value
    if value is None:
        raise HandshakeFailure("the peer's certificate has no libp2p extension")
    return value


def _checked_public_key(certificate: x509.Certificate) -> bytes:
    """
    Return the certificate's key as DER; refuse weak keys.

    RSA keys that are slow to verify are refused, as for identities: an unknown peer could make this
    side compute 40 ms for each of two signatures.
    """
    digest = certificate.signature_hash_algorithm  # None if the algorithm has its own, as Ed25519
    if digest is not None and digest.digest_size < MIN_DIGEST_BYTES:
        raise HandshakeFailure(f"the peer's certificate is signed with {digest.name}")
    key = certificate.public_key()
    if not isinstance(key, _TLS_KEYS):
        raise HandshakeFailure("the key in the peer's certificate is of a kind that TLS has not")
    if isinstance(key, RSAPublicKey):
        try:
            check_rsa_public_key(key)
        except CryptographyError as error:
            raise HandshakeFailure(f"the key in the peer's certificate: {error}") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_validity(certificate: x509.Certificate, now: float) -> None:
    today = datetime.fromtimestamp(now, UTC)
    if today < certificate.not_valid_before_utc:
        raise HandshakeFailure("the peer's certificate is not valid yet: is this clock right?")
    if today > certificate.not_valid_after_utc:
        raise HandshakeFailure("the peer's certificate has expired")


# -- SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING } --------------------


def encode_signed_key(public_key: bytes, signature: bytes) -> bytes:
    """Return the extension's value: a serialized public key and its signature, in DER."""
    body = _encode(_OCTET_STRING, public_key) + _encode(_OCTET_STRING, signature)
    return _encode(_SEQUENCE, body)


class SignedKey(NamedTuple):
    """What the extension holds."""

    public_key_bytes: bytes
    signature: bytes


def decode_signed_key(value: bytes) -> SignedKey:
    """
    Return the public key and the signature of an extension's value.

    :raises HandshakeFailure: if it is not exactly that, in DER.
    """
    body, rest = _decode(_SEQUENCE, value)
    public_key, after = _decode(_OCTET_STRING, body)
    signature, after = _decode(_OCTET_STRING, after)
    if rest or after:
        raise HandshakeFailure("the libp2p extension has more in it than a key and a signature")
    return SignedKey(public_key, signature)


def _encode(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(digits))) + digits + content


def _decode(tag: int, data: bytes) -> tuple[bytes, bytes]:
    """Return the content of the DER value at the front of ``data``, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise HandshakeFailure(f"the libp2p extension is malformed: no DER value of tag {tag}")
    start = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    length = int.from_bytes(data[2:start]) if start > 2 else data[1]
    content, rest = data[start : start + length], data[start + length :]
    # A length has one encoding only: the shortest. The indefinite one is not DER.
    if data[: len(data) - len(rest)] != _encode(tag, content):
        raise HandshakeFailure("the libp2p extension is malformed: wrong DER length")
    return content, rest
