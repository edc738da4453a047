"""
Records of IPNS: what the owner of a key says that a name stands for (sans-I/O).

https://specs.ipfs.tech/ipns/ipns-record/. What counts is one DAG-CBOR map and the signature over
it (version 2). The protobuf fields of version 1 repeat the entries of that map for old readers;
they must repeat them exactly, and their signature is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import (
    CryptographyError,
    InvalidArgument,
    InvalidDagCbor,
    InvalidIpnsRecord,
    IpnsRecordExpired,
    ParseError,
)
from libp2p.ipld import dag_cbor
from libp2p.ipld.protowire import LENGTH, VARINT, bytes_field, read_fields, uint_field
from libp2p.peer.id import ID
from libp2p.utils.arguments import count, seconds
from libp2p.utils.rfc3339 import NANOSECONDS, from_nanoseconds, to_nanoseconds

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey, PublicKey

__all__ = [
    "DEFAULT_LIFETIME",
    "DEFAULT_TTL",
    "MAX_RECORD_BYTES",
    "IpnsRecord",
    "decode_record",
    "make_record",
    "routing_key",
]

#: What the specification allows. A larger record would be refused by every DHT server.
MAX_RECORD_BYTES: Final = 10 * 1024

#: Seconds that a record is valid, as long as DHT servers keep it.
DEFAULT_LIFETIME: Final = 48 * 3600.0
#: Seconds for which a resolved name is not asked for again.
DEFAULT_TTL: Final = 300.0

#: What is signed begins with this, so that no other signature of the key passes for one.
SIGNATURE_PREFIX: Final = b"ipns-signature:"
#: The only kind of validity: a record is good until a point in time.
END_OF_LIFE: Final = 0

#: Go reads the numbers of the map into 64 bits with a sign: it would refuse a greater sequence.
MAX_INT64: Final = 2**63 - 1

_VALUE, _VALIDITY, _VALIDITY_TYPE, _SEQUENCE, _TTL = (
    "Value", "Validity", "ValidityType", "Sequence", "TTL",
)  # fmt: skip
_OWN_ENTRIES: Final = frozenset((_VALUE, _VALIDITY, _VALIDITY_TYPE, _SEQUENCE, _TTL))

# Numbers of the protobuf fields.
_PB_VALUE, _PB_SIGNATURE_V1, _PB_VALIDITY_TYPE, _PB_VALIDITY, _PB_SEQUENCE, _PB_TTL = range(1, 7)
_PB_PUBLIC_KEY, _PB_SIGNATURE, _PB_DATA = 7, 8, 9
_NUMBERS: Final = frozenset((_PB_VALIDITY_TYPE, _PB_SEQUENCE, _PB_TTL))

_NO_ENTRIES: Final[Mapping[str, Any]] = MappingProxyType({})


def routing_key(name: ID) -> bytes:
    """Return the key under which the record of a name is stored."""
    return b"/ipns/" + name.to_bytes()


@dataclass(frozen=True, slots=True)
class IpnsRecord:
    """A record that is well-formed; `verify` tells whether it is the name's, and still valid."""

    value: bytes
    """What the name stands for: a path such as ``/ipfs/bafy…`` (or, in old ones, a binary CID)."""
    sequence: int
    expiry: str
    """When it ends, as the record says it (RFC 3339)."""
    expiry_nanoseconds: int
    """The same in nanoseconds since 1970."""
    ttl_nanoseconds: int | None
    """How long the value may be taken from a cache; None if the record does not say."""
    extra: Mapping[str, Any]
    """Other entries of the signed map."""
    has_v1: bool
    """Whether it has the fields of version 1 as well."""
    public_key: bytes = field(repr=False)
    """The signer's key in protobuf form if the record holds it, else empty."""
    signature: bytes = field(repr=False)
    data: bytes = field(repr=False)
    """The signed map in DAG-CBOR."""
    encoded: bytes = field(repr=False)

    @property
    def ttl(self) -> float:
        """Seconds for which the value may be taken from a cache."""
        if self.ttl_nanoseconds is None:
            return DEFAULT_TTL
        return self.ttl_nanoseconds / NANOSECONDS

    @property
    def expires(self) -> float:
        """When it ends, in seconds since 1970."""
        return self.expiry_nanoseconds / NANOSECONDS

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """The greater one of two valid records of a name is the one that counts."""
        return self.sequence, self.expiry_nanoseconds, self.encoded

    def is_expired(self, now: float) -> bool:
        """Tell whether it is no longer valid, ``now`` in seconds since 1970."""
        return now > self.expires

    def signer(self, name: ID) -> PublicKey:
        """
        Return the public key of a name, from the record or from the name itself.

        :raises InvalidIpnsRecord: if it is in neither, or is another one's.
        """
        if not self.public_key:
            key = name.extract_public_key()
            if key is None:
                raise InvalidIpnsRecord("neither the record nor the name holds the public key")
            return key
        try:
            key = deserialize_public_key(self.public_key)
        except CryptographyError as error:
            raise InvalidIpnsRecord(f"the record's public key is malformed: {error}") from error
        if ID.from_pubkey(key) != name:
            raise InvalidIpnsRecord(f"the record's public key is not the one of {name}")
        return key

    def verify(self, name: ID, now: float | None) -> None:
        """
        Return if this is the owner's word about a name, and still valid.

        :param now: seconds since 1970; None to accept what has expired.
        :raises InvalidIpnsRecord: if it is not signed by the name's key.
        :raises IpnsRecordExpired: if it was, and is no longer valid.
        """
        if not self.signer(name).verify(SIGNATURE_PREFIX + self.data, self.signature):
            raise InvalidIpnsRecord(f"Invalid signatureV2: it is not by the key of {name}")
        if now is not None and self.is_expired(now):
            raise IpnsRecordExpired(f"the record of {name} has expired at {self.expiry}")


def decode_record(encoded: bytes) -> IpnsRecord:
    """
    Read a record, without a look at its signature.

    :raises InvalidIpnsRecord: if it is malformed, has no part of version 2, or has fields of
        version 1 that say something else.
    """
    if len(encoded) > MAX_RECORD_BYTES:
        raise InvalidIpnsRecord(
            f"the record of {len(encoded)} bytes exceeds size limit of {MAX_RECORD_BYTES}"
        )
    encoded = bytes(encoded)
    fields = _read_fields(encoded)
    data, signature = fields.get(_PB_DATA), fields.get(_PB_SIGNATURE)
    if not signature:
        raise InvalidIpnsRecord("Missing signatureV2: the record is empty or of version 1 only")
    if not data:
        raise InvalidIpnsRecord("Missing data field: nothing in the record is signed")
    entries = _read_entries(data)
    expiry = entries[_VALIDITY]
    try:
        expiry_text = expiry.decode("ascii")
        expiry_nanoseconds = to_nanoseconds(expiry_text)
    except (UnicodeDecodeError, ParseError) as error:
        raise InvalidIpnsRecord(f"Validity is not a valid RFC3339 time: {error}") from error
    return IpnsRecord(
        value=entries[_VALUE],
        sequence=entries[_SEQUENCE],
        expiry=expiry_text,
        expiry_nanoseconds=expiry_nanoseconds,
        ttl_nanoseconds=entries.get(_TTL),
        extra=MappingProxyType({k: v for k, v in entries.items() if k not in _OWN_ENTRIES}),
        has_v1=_repeats_entries(fields, entries),
        public_key=fields.get(_PB_PUBLIC_KEY, b""),
        signature=signature,
        data=data,
        encoded=encoded,
    )


def make_record(
    key: PrivateKey,
    value: str | bytes,
    *,
    sequence: int,
    expires: float,
    ttl: float = DEFAULT_TTL,
    with_v1: bool = True,
    extra: Mapping[str, Any] = _NO_ENTRIES,
) -> IpnsRecord:
    """
    Make the record that says what the name of a key stands for, and sign it.

    :param value: a path such as ``/ipfs/bafy…``.
    :param sequence: must be greater than that of the record with another value before it.
    :param expires: when it ends, in seconds since 1970.
    :param ttl: seconds for which it may be taken from a cache.
    :param with_v1: repeat the entries in the fields of version 1, for old readers.
    :param extra: other entries of the signed map; values as for `libp2p.ipld.dag_cbor.encode`.
    :raises InvalidArgument: if an argument is out of range, or the record gets too large.
    """
    count(sequence, "sequence", most=MAX_INT64)
    ttl_nanoseconds = _nanoseconds(ttl, "ttl")
    if taken := _OWN_ENTRIES & extra.keys():
        raise InvalidArgument(f"extra must not have {', '.join(sorted(taken))}: IPNS has them")
    expiry = from_nanoseconds(_nanoseconds(expires, "expires")).encode()
    content = value.encode() if isinstance(value, str) else bytes(value)
    data = dag_cbor.encode(
        {
            **extra,
            _VALUE: content,
            _VALIDITY: expiry,
            _VALIDITY_TYPE: END_OF_LIFE,
            _SEQUENCE: sequence,
            _TTL: ttl_nanoseconds,
        }
    )
    fields: list[tuple[int, bytes | int]] = [
        (_PB_VALUE, content),
        (_PB_SIGNATURE_V1, key.sign(content + expiry + b"EOL")),
        (_PB_VALIDITY_TYPE, END_OF_LIFE),
        (_PB_VALIDITY, expiry),
        (_PB_SEQUENCE, sequence),
        (_PB_TTL, ttl_nanoseconds),
    ]
    encoded = _encode(key, data, fields if with_v1 else [])
    if len(encoded) > MAX_RECORD_BYTES:
        raise InvalidArgument(
            f"the record would have {len(encoded)} bytes, at most {MAX_RECORD_BYTES}: "
            "shorten value or extra"
        )
    return decode_record(encoded)


def _encode(key: PrivateKey, data: bytes, fields: list[tuple[int, bytes | int]]) -> bytes:
    """Write the fields of version 1 and behind them those of version 2."""
    public_key = key.get_public_key()
    if ID.from_pubkey(public_key).extract_public_key() is None:
        fields = [*fields, (_PB_PUBLIC_KEY, public_key.serialize())]
    fields = [*fields, (_PB_SIGNATURE, key.sign(SIGNATURE_PREFIX + data)), (_PB_DATA, data)]
    return b"".join(
        uint_field(number, content)
        if isinstance(content, int)
        else bytes_field(number, len(content)) + content
        for number, content in fields
    )


def _nanoseconds(value: float, name: str) -> int:
    number = seconds(value, name)
    if number > MAX_INT64 / NANOSECONDS:
        raise InvalidArgument(f"{name} must be at most 2**63 nanoseconds, not {number} seconds")
    return min(round(number * NANOSECONDS), MAX_INT64)


def _read_fields(encoded: bytes) -> dict[int, Any]:
    """Return the fields that are known; as in protobuf, the last of a number counts."""
    fields: dict[int, Any] = {}
    try:
        for number, wire_type, value, content in read_fields(memoryview(encoded)):
            if not _PB_VALUE <= number <= _PB_DATA:
                continue
            if wire_type != (VARINT if number in _NUMBERS else LENGTH):
                raise InvalidIpnsRecord(f"field {number} of the record is of another type")
            fields[number] = value if wire_type == VARINT else bytes(content)
    except ParseError as error:
        raise InvalidIpnsRecord(f"Failed to parse IPNS record: {error}") from error
    return fields


def _read_entries(data: bytes) -> dict[str, Any]:
    try:
        entries = dag_cbor.decode(data)
    except InvalidDagCbor as error:
        raise InvalidIpnsRecord(f"the record's data is not DAG-CBOR: {error}") from error
    if not isinstance(entries, dict):
        raise InvalidIpnsRecord("the record's data is no map")
    for name in (_VALUE, _VALIDITY, _VALIDITY_TYPE, _SEQUENCE):
        if name not in entries:
            raise InvalidIpnsRecord(f"Missing required CBOR field: {name}")
    for name in (_VALUE, _VALIDITY):
        if type(entries.get(name)) is not bytes:
            raise InvalidIpnsRecord(f"{name} in the record's data must be bytes")
    for name in (_SEQUENCE, _TTL):
        number = entries.get(name)
        if name in entries and (type(number) is not int or number < 0):
            raise InvalidIpnsRecord(f"{name} in the record's data must be int and non-negative")
    kind = entries.get(_VALIDITY_TYPE)
    if type(kind) is not int or kind != END_OF_LIFE:
        raise InvalidIpnsRecord("the record's validity is of an unknown type")
    return entries


def _repeats_entries(fields: dict[int, Any], entries: dict[str, Any]) -> bool:
    """
    Tell whether the record has the fields of version 1.

    :raises InvalidIpnsRecord: if one of them says something else than the signed map.
    """
    has_v1 = bool(fields.get(_PB_VALUE) or fields.get(_PB_SIGNATURE_V1))
    for number, name, absent in (
        (_PB_VALUE, _VALUE, b""),
        (_PB_VALIDITY, _VALIDITY, b""),
        (_PB_VALIDITY_TYPE, _VALIDITY_TYPE, 0),
        (_PB_SEQUENCE, _SEQUENCE, 0),
        (_PB_TTL, _TTL, 0),
    ):
        if (has_v1 or number in fields) and fields.get(number, absent) != entries.get(name, absent):
            raise InvalidIpnsRecord(f"V1 {name.lower()} doesn't match the signed one")
    return has_v1
