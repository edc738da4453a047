"""Certificates that are not as they should be, and an OpenSSL peer that does as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libp2p.security.tls.certificate import EXTENSION_OID, SIGNATURE_PREFIX, encode_signed_key
from tests.support.identities import ed25519_pair

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from libp2p.crypto.keys import KeyPair

Extension: TypeAlias = tuple[x509.ExtensionType, bool]
"""An extension, and whether it is critical."""

HOUR = timedelta(hours=1)
NOW = 1_800_000_000.0
"""What the clock says in tests of pure code."""

_KEYS: dict[str, ec.EllipticCurvePrivateKey] = {}


def p256_key(name: str = "certificate") -> ec.EllipticCurvePrivateKey:
    """The same P-256 key for the same name, within one run."""
    return _KEYS.setdefault(name, ec.generate_private_key(ec.SECP256R1()))


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Recipe:
    """What goes into a certificate; by default a good one."""

    identity: KeyPair = field(default_factory=lambda: ed25519_pair("alice"))
    key: CertificateIssuerPrivateKeyTypes = field(default_factory=p256_key)
    signing_key: CertificateIssuerPrivateKeyTypes | None = None
    now: float = NOW
    begins: timedelta = -HOUR
    ends: timedelta = HOUR
    subject: str = "subject"
    issuer: str = "subject"
    signed_key: bytes | None = None
    """The libp2p extension's value, if not the right one."""
    with_libp2p: bool = True
    critical: bool = False
    more: tuple[Extension, ...] = ()
    hash: Any = field(default_factory=SHA256)

    def but(self, **changes: Any) -> Recipe:
        return replace(self, **changes)

    @property
    def spki(self) -> bytes:
        public_key = self.key.public_key()
        return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def right_signed_key(self) -> bytes:
        private_key = self.identity.private_key
        signature = private_key.sign(SIGNATURE_PREFIX + self.spki)
        return encode_signed_key(self.identity.public_key.serialize(), signature)

    def make(self) -> x509.Certificate:
        today = datetime.fromtimestamp(self.now, UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(self.subject))
            .issuer_name(name_of(self.issuer))
            .serial_number(1)
            .public_key(self.key.public_key())
            .not_valid_before(today + self.begins)
            .not_valid_after(today + self.ends)
        )
        if self.with_libp2p:
            value = self.right_signed_key() if self.signed_key is None else self.signed_key
            extension = x509.UnrecognizedExtension(EXTENSION_OID, value)
            builder = builder.add_extension(extension, critical=self.critical)
        for more, critical in self.more:
            builder = builder.add_extension(more, critical=critical)
        return builder.sign(self.signing_key or self.key, self.hash)

    def der(self) -> bytes:
        return self.make().public_bytes(Encoding.DER)
