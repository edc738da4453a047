"""
Certificates out of bytes: a good one of libp2p's, changed as the bytes say.

Bytes changed at random in a certificate break its outermost lengths and are refused at once. Here
they say which extensions it gets and which of its fields are changed, and how; lengths are put
right and the signature is made last, so that what is behind them is reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuzz.inputs import EDGES, Edit, apply
from libp2p.crypto.ed25519 import Ed25519PrivateKey as IdentityKey
from libp2p.security.tls.certificate import EXTENSION_OID, SIGNATURE_PREFIX, encode_signed_key

IDENTITY: Final = IdentityKey.new(bytes(range(32)))
KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
#: What one input may do to a certificate.
MAX_CHANGES: Final = 12

INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8, UTC_TIME, SEQUENCE, SET = (
    0x02, 0x03, 0x04, 0x06, 0x0C, 0x17, 0x30, 0x31,
)  # fmt: skip
VERSION, EXTENSIONS = 0xA0, 0xA3


def der(tag: int, *parts: bytes) -> bytes:
    """One value with its tag and length."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(digits))) + digits + content


def oid(dotted: str) -> bytes:
    """An object identifier."""
    first, second, *rest = map(int, dotted.split("."))
    encoded = b""
    for number in (40 * first + second, *rest):
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        encoded += bytes(reversed(digits))
    return der(OID, encoded)


def _known() -> list[bytes]:
    """Every object identifier that `cryptography` has a name for, and libp2p's."""
    classes = [names for name, names in vars(x509.oid).items() if name.endswith("OID")]
    found = {
        value.dotted_string: oid(value.dotted_string)
        for names in classes
        for value in vars(names).values()
        if isinstance(value, x509.ObjectIdentifier)
    }
    return [oid(EXTENSION_OID.dotted_string), *found.values()]


def _values() -> dict[bytes, bytes]:
    """A well-formed value of each kind of extension, by its object identifier."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    public = KEY.public_key()
    names: list[x509.GeneralName] = [
        x509.DNSName("a.example"),
        x509.RFC822Name("a@example.com"),
        x509.UniformResourceIdentifier("https://a.example"),
        x509.DirectoryName(name),
        x509.RegisteredID(x509.NameOID.COMMON_NAME),
        x509.OtherName(x509.NameOID.COMMON_NAME, der(UTF8, b"a")),
    ]
    point = x509.DistributionPoint(names[:3], None, None, None)
    extensions: list[x509.ExtensionType] = [
        x509.BasicConstraints(ca=True, path_length=1),
        x509.KeyUsage(True, True, False, False, True, False, False, True, False),
        x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.SubjectAlternativeName(names),
        x509.IssuerAlternativeName(names),
        x509.SubjectKeyIdentifier.from_public_key(public),
        x509.AuthorityKeyIdentifier(bytes(20), names[:2], 7),
        x509.TLSFeature([x509.TLSFeatureType.status_request]),
        x509.OCSPNoCheck(),
        x509.PrecertPoison(),
        x509.InhibitAnyPolicy(1),
        x509.PolicyConstraints(1, 1),
        x509.CRLDistributionPoints([point]),
        x509.FreshestCRL([point]),
        x509.IssuingDistributionPoint(names[:1], None, False, False, None, True, False),
        x509.CRLNumber(1),
        x509.DeltaCRLIndicator(1),
        x509.NameConstraints([x509.DNSName("example")], None),
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.OCSP, names[2])]
        ),
        x509.SubjectInformationAccess(
            [x509.AccessDescription(x509.oid.SubjectInformationAccessOID.CA_REPOSITORY, names[2])]
        ),
        x509.CertificatePolicies(
            [
                x509.PolicyInformation(
                    x509.oid.CertificatePoliciesOID.ANY_POLICY,
                    ["text", x509.UserNotice(x509.NoticeReference("a", [1]), "b")],
                )
            ]
        ),
        x509.MSCertificateTemplate(x509.NameOID.COMMON_NAME, 1, 2),
        x509.OCSPNonce(b"nonce"),
    ]
    # Signed certificate timestamps cannot be made, only read: a list of one, of version 0.
    timestamp = bytes(1 + 32 + 8 + 2) + b"\x04\x03\x00\x02ab"
    listed = len(timestamp).to_bytes(2) + timestamp
    timestamps = der(OCTET_STRING, len(listed).to_bytes(2) + listed)
    return {oid(made.oid.dotted_string): made.public_bytes() for made in extensions} | {
        oid(x509.oid.ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS.dotted_string): timestamps
    }


SPKI: Final = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ALGORITHM: Final = der(SEQUENCE, oid("1.3.101.112"))
NAME: Final = der(
    SEQUENCE, der(SET, der(SEQUENCE, oid(x509.NameOID.COMMON_NAME.dotted_string), der(UTF8, b"a")))
)
SIGNED_KEY: Final = encode_signed_key(
    IDENTITY.get_public_key().serialize(), IDENTITY.sign(SIGNATURE_PREFIX + SPKI)
)
#: The fields of the part that is signed, and what comes in front of the extensions in it.
FIELDS: Final = (
    der(VERSION, der(INTEGER, b"\x02")),
    der(INTEGER, b"\x01"),
    ALGORITHM,
    NAME,
    der(SEQUENCE, der(UTC_TIME, b"240101000000Z"), der(UTC_TIME, b"490101000000Z")),
    NAME,
    SPKI,
    b"",
    ALGORITHM,
)
#: The one behind the signed part that says once more how it is signed.
OUTER_ALGORITHM: Final = len(FIELDS) - 1

OIDS: Final = _known()
VALUES: Final = _values()
_ANY_VALUE: Final = list(VALUES.values())
#: Fields that are odd as a whole, in the places of others.
ODD: Final = (
    der(INTEGER, b"\x7f" + bytes(40)),
    der(INTEGER, b"\xff"),
    der(INTEGER),
    der(VERSION, der(INTEGER, b"\x07")),
    der(SEQUENCE),
    der(SEQUENCE, der(UTC_TIME, b"000230000000Z"), der(UTC_TIME, b"491301000000Z")),
    der(SEQUENCE, der(0x18, b"00000101000000Z"), der(0x18, b"99991231235959Z")),
    der(SEQUENCE, der(0x18, b"99991231235959Z"), der(0x18, b"99991231235960Z")),
    der(SEQUENCE, oid("1.2.840.113549.1.1.10"), der(SEQUENCE)),
    der(SEQUENCE, oid("1.2.840.113549.1.1.5"), b"\x05\x00"),
    der(SEQUENCE, oid("1.2.840.10045.4.3.2")),
    der(SEQUENCE, der(SEQUENCE, oid("1.2.840.10040.4.1")), der(BIT_STRING, b"\x00\x02\x01\x05")),
    der(SEQUENCE, der(SET, der(SEQUENCE, oid("2.5.4.6"), der(UTF8, b"\xff\xfe" * 200)))),
    der(SEQUENCE, der(SET, der(SEQUENCE, oid("2.5.4.45"), der(BIT_STRING, b"\x00a")))),
    der(0x81, b"\x00unique"),
    b"\x30\x80" * 100,
)


class _Choices:
    """Bytes as a list of choices; behind its end all are 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def byte(self) -> int:
        return int.from_bytes(self.take(1))

    def changed(self, value: bytes) -> bytes:
        """A value with one edit."""
        kind, place, new = self.byte(), self.byte(), self.byte()
        data = EDGES[new % len(EDGES)] if new & 1 else self.take(new % 8)
        return apply([Edit(kind, place, data)], value)


def _new_value(choices: _Choices, identifier: bytes, kind: int) -> bytes:
    which = choices.byte()
    right = VALUES.get(identifier, _ANY_VALUE[which % len(_ANY_VALUE)])
    match kind % 4:
        case 0:
            return right
        case 1:
            return choices.changed(right)
        case 2:
            return choices.take(which % 64)
        case _:
            # Its tag and length are right, what is in it is not.
            return der((SEQUENCE, OCTET_STRING, BIT_STRING)[which % 3], choices.take(which % 24))


def _extensions(choices: _Choices, fields: list[bytes]) -> Iterator[bytes]:
    """What extensions there are; changes the fields besides."""
    yield der(SEQUENCE, OIDS[0], der(OCTET_STRING, SIGNED_KEY))
    for _ in range(MAX_CHANGES):
        if not choices:
            return
        kind = choices.byte()
        if kind >= 192:
            place = choices.byte() % len(fields)
            fields[place] = (
                ODD[choices.byte() % len(ODD)] if kind & 1 else choices.changed(fields[place])
            )
            continue
        known = OIDS[choices.byte() % len(OIDS)]
        identifier = choices.changed(known) if kind >= 160 else known
        critical = b"\x01\x01\xff" if kind & 16 else b""
        yield der(
            SEQUENCE, identifier, critical, der(OCTET_STRING, _new_value(choices, known, kind))
        )


def build(data: bytes) -> bytes:
    """The certificate that ``data`` describes; with no bytes it is a good one."""
    fields = list(FIELDS)
    extensions = list(_extensions(_Choices(data), fields))
    outer = fields.pop(OUTER_ALGORITHM)
    signed = der(SEQUENCE, *fields, der(EXTENSIONS, der(SEQUENCE, *extensions)))
    signature = KEY.sign(signed)
    return der(SEQUENCE, signed, outer, der(BIT_STRING, b"\x00", signature))


def seeds() -> list[bytes]:
    """A good one, each kind of extension as it should be, and what has once ended a host."""
    made = [b"", *(bytes((0, OIDS.index(identifier))) for identifier in VALUES)]
    tls_feature = OIDS.index(oid(x509.TLSFeature.oid.dotted_string))
    for value in (b"\x30\x03\x02\x01\x01", b"\x30\x00"):
        made.append(bytes((2, tls_feature, len(value))) + value)
    fields = ((0, 3), (1, 0), (1, 1), (2, 9), (3, 12), (4, 5), (4, 6), (4, 7), (6, 11), (7, 14))
    made += [bytes((193, place, odd)) for place, odd in fields]
    return made
