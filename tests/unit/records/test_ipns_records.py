"""Records of IPNS: what is accepted, what is refused, and which of several counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.rsa import RSAPrivateKey
from libp2p.crypto.secp256k1 import Secp256k1PrivateKey
from libp2p.exceptions import (
    InvalidArgument,
    InvalidIpnsRecord,
    InvalidRecordType,
    IpnsRecordExpired,
)
from libp2p.ipld import dag_cbor
from libp2p.ipld.protowire import bytes_field, uint_field
from libp2p.peer.id import ID
from libp2p.records.ipns import IPNSValidator, ValidityType
from libp2p.records.ipns_record import (
    MAX_RECORD_BYTES,
    SIGNATURE_PREFIX,
    IpnsRecord,
    decode_record,
    make_record,
    routing_key,
)
from libp2p.records.pb.ipns_pb2 import IpnsEntry
from libp2p.records.utils import key_to_text
from libp2p.records.validator import NamespacedValidator

VECTORS = Path(__file__).parents[2] / "data" / "ipns"
NOW = 1_750_000_000.0
KEYS: dict[str, Any] = {
    "ed25519": Ed25519PrivateKey.new(bytes(32)),
    "secp256k1": Secp256k1PrivateKey.new(),
    "rsa": RSAPrivateKey.new(2048),
}
KEY = KEYS["ed25519"]
NAME = ID.from_pubkey(KEY.get_public_key())
VALUE = "/ipfs/bafkqadtwgiww63tmpeqhezldn5zgi"
ENTRIES: dict[str, Any] = {
    "Value": VALUE.encode(),
    "Validity": b"2025-06-17T15:06:40Z",
    "ValidityType": 0,
    "Sequence": 3,
    "TTL": 60 * 10**9,
}
REFUSED = "v1-v2-broken-signature-v2", "v1"
ACCEPTED = "v2", "v1-v2-broken-signature-v1"


def vectors() -> dict[str, tuple[ID, bytes]]:
    """Records of the gateways' conformance suite, by what is right and wrong with them."""
    found = {}
    for path in VECTORS.glob("*.ipns-record"):
        name, _, kind = path.stem.partition("_")
        found[kind] = ID.from_string(name), path.read_bytes()
    return found


def record(**arguments: Any) -> IpnsRecord:
    return make_record(KEY, VALUE, **{"sequence": 3, "expires": NOW + 3600, **arguments})


def signed(data: object, *, v1: dict[str, Any] | None = None, key: Any = KEY, **more: Any) -> bytes:
    """A record with a right signature over any data, and any other fields."""
    raw = data if isinstance(data, bytes) else dag_cbor.encode(data)  # type: ignore[arg-type]
    entry = IpnsEntry(data=raw, signatureV2=key.sign(SIGNATURE_PREFIX + raw), **(v1 or {}), **more)
    return entry.SerializeToString()


def accept(encoded: bytes, name: ID = NAME, now: float | None = NOW) -> IpnsRecord:
    """What the validator does."""
    read = decode_record(encoded)
    read.verify(name, now)
    return read


def test_there_are_vectors_of_both_kinds() -> None:
    assert vectors().keys() == {*REFUSED, *ACCEPTED}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_vectors_that_are_right(kind: str) -> None:
    name, encoded = vectors()[kind]
    read = accept(encoded, name)
    assert read.value.startswith(b"/ipfs/bafkqa")
    assert (read.sequence, read.expiry, read.ttl) == (0, "2123-08-14T12:17:03.694052Z", 1800.0)
    assert read.has_v1 == ("v1" in kind)
    validator = NamespacedValidator({"ipns": IPNSValidator(clock=lambda: NOW)})
    validator.validate(routing_key(name), encoded)
    validator.validate(key_to_text(routing_key(name)), encoded)


@pytest.mark.parametrize("kind", REFUSED)
def test_vectors_that_are_wrong(kind: str) -> None:
    name, encoded = vectors()[kind]
    with pytest.raises(InvalidIpnsRecord, match=r"signature|version 1 only"):
        accept(encoded, name)
    with pytest.raises(InvalidRecordType):
        IPNSValidator(clock=lambda: NOW).validate(routing_key(name), encoded)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("with_v1", [True, False])
def test_what_is_made_is_accepted(kind: str, with_v1: bool) -> None:
    key = KEYS[kind]
    name = ID.from_pubkey(key.get_public_key())
    made = make_record(
        key,
        VALUE,
        sequence=7,
        expires=NOW + 0.5,
        ttl=1.5,
        with_v1=with_v1,
        extra={"a": [1, "b"], "Values": None},
    )
    assert accept(made.encoded, name) == made
    assert (made.value, made.sequence) == (VALUE.encode(), 7)
    assert (made.expiry, made.expires) == ("2025-06-15T15:06:40.5Z", NOW + 0.5)
    assert (made.ttl, made.ttl_nanoseconds) == (1.5, 1_500_000_000)
    assert made.extra == {"a": [1, "b"], "Values": None}
    assert made.has_v1 is with_v1
    assert bool(made.public_key) == (kind == "rsa")
    entry = IpnsEntry.FromString(made.encoded)
    assert entry.SerializeToString() == made.encoded, "fields are in order"
    assert entry.HasField("sequence") is with_v1
    if with_v1:
        assert (entry.value, entry.sequence, entry.ttl) == (made.value, 7, 1_500_000_000)
        signed_v1 = entry.value + entry.validity + b"EOL"
        assert key.get_public_key().verify(signed_v1, entry.signatureV1)
    # In the order of DAG-CBOR, as every implementation writes it.
    plain = make_record(key, VALUE, sequence=7, expires=NOW)
    assert isinstance(plain.data, bytes)
    places = [plain.data.index(b) for b in (b"cTTL", b"eValue", b"hSequence", b"hValidity")]
    assert places == sorted(places)


def test_a_record_of_somebody_else_is_refused() -> None:
    other = ID.from_pubkey(KEYS["secp256k1"].get_public_key())
    with pytest.raises(InvalidIpnsRecord, match="Invalid signatureV2"):
        accept(record().encoded, other)
    with pytest.raises(InvalidIpnsRecord, match="neither the record nor the name"):
        accept(record().encoded, ID.from_pubkey(KEYS["rsa"].get_public_key()))
    foreign = signed(ENTRIES, key=KEYS["rsa"], pubKey=KEYS["rsa"].get_public_key().serialize())
    with pytest.raises(InvalidIpnsRecord, match="public key is not the one of"):
        accept(foreign)
    with pytest.raises(InvalidIpnsRecord, match="public key is malformed"):
        accept(signed(ENTRIES, pubKey=b"\x08\x01"))
    assert accept(signed(ENTRIES, pubKey=KEY.get_public_key().serialize())).sequence == 3


def test_a_record_expires() -> None:
    made = record(expires=NOW + 10)
    made.verify(NAME, NOW + 10)
    made.verify(NAME, None)
    assert not made.is_expired(NOW + 10)
    with pytest.raises(IpnsRecordExpired, match="expired at 2025-06-15T15:06:50Z"):
        made.verify(NAME, NOW + 10.001)
    late = IPNSValidator(clock=lambda: NOW + 11)
    with pytest.raises(IpnsRecordExpired):
        late.validate(routing_key(NAME), made.encoded)
    IPNSValidator(check_expiration=False).validate(routing_key(NAME), made.encoded)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Value": None}, "Value in the record's data must be bytes"),
        ({"Value": VALUE}, "Value in the record's data must be bytes"),
        ({"Validity": "2025-06-17T15:06:40Z"}, "Validity in the record's data must be bytes"),
        ({"Validity": b"tomorrow"}, "not a valid RFC3339"),
        ({"Validity": b"2025-06-17T15:06:40"}, "not a valid RFC3339"),
        ({"Validity": b"2025-06-17T15:06:40\xff"}, "not a valid RFC3339"),
        ({"ValidityType": 1}, "unknown type"),
        ({"ValidityType": False}, "unknown type"),
        ({"ValidityType": None}, "unknown type"),
        ({"Sequence": -1}, "Sequence"),
        ({"Sequence": 1.0}, "Sequence"),
        ({"Sequence": True}, "Sequence"),
        ({"Sequence": None}, "Sequence"),
        ({"TTL": -1}, "TTL"),
        ({"TTL": b"1"}, "TTL"),
    ],
)
def test_entries_are_checked(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidIpnsRecord, match=why):
        decode_record(signed(ENTRIES | change))
    if None in change.values():
        left_out = {k: v for k, v in ENTRIES.items() if k not in change}
        (name,) = change
        with pytest.raises(InvalidIpnsRecord, match=f"Missing required CBOR field: {name}"):
            decode_record(signed(left_out))


def test_a_record_without_a_time_to_live_has_the_usual_one() -> None:
    read = accept(signed({k: v for k, v in ENTRIES.items() if k != "TTL"}))
    assert (read.ttl_nanoseconds, read.ttl) == (None, 300.0)


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        (b"", "version 1 only"),
        (IpnsEntry(data=b"\xa0").SerializeToString(), "version 1 only"),
        (IpnsEntry(signatureV2=b"x").SerializeToString(), "Missing data field"),
        (signed(b"\xa1"), "not DAG-CBOR"),
        (signed([]), "no map"),
        (b"\x0a\x05ab", "Failed to parse"),
        (uint_field(8, 1), "field 8 of the record is of another type"),
        (bytes_field(5, 1) + b"a", "field 5 of the record is of another type"),
    ],
)
def test_malformed_records(encoded: bytes, why: str) -> None:
    with pytest.raises(InvalidIpnsRecord, match=why):
        decode_record(encoded)


def test_entries_in_another_order_are_not_dag_cbor() -> None:
    entries = [(key, dag_cbor.encode(value)) for key, value in ENTRIES.items()]
    data = b"\xa5" + b"".join(dag_cbor.encode(key) + value for key, value in sorted(entries))
    with pytest.raises(InvalidIpnsRecord, match="not sorted"):
        decode_record(signed(data))


def test_unknown_fields_are_left_to_those_who_know_them() -> None:
    encoded = record().encoded + uint_field(10, 1) + bytes_field(99, 2) + b"ab"
    assert accept(encoded).sequence == 3


V1: dict[str, Any] = {
    "value": VALUE.encode(),
    "signatureV1": b"not looked at",
    "validityType": 0,
    "validity": ENTRIES["Validity"],
    "sequence": 3,
    "ttl": ENTRIES["TTL"],
}


def test_the_fields_of_version_1_repeat_the_entries() -> None:
    assert accept(signed(ENTRIES, v1=V1)).has_v1
    zeros = ENTRIES | {"Sequence": 0, "TTL": 0}
    left_out = {k: v for k, v in V1.items() if k not in ("sequence", "ttl", "validityType")}
    assert accept(signed(zeros, v1=left_out)).has_v1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"value": b"/ipfs/other"}, "Value"),
        ({"value": None}, "Value"),
        ({"validity": b"2025-06-17T15:06:40.0Z"}, "Validity"),
        ({"validity": None}, "Validity"),
        ({"sequence": 4}, "Sequence"),
        ({"sequence": None}, "Sequence"),
        ({"ttl": 1}, "TTL"),
        ({"ttl": None}, "TTL"),
    ],
)
def test_fields_of_version_1_that_say_something_else_are_refused(
    change: dict[str, Any], name: str
) -> None:
    fields = {k: v for k, v in (V1 | change).items() if v is not None}
    with pytest.raises(InvalidIpnsRecord, match=f"^V1 {name.lower()} doesn't match"):
        decode_record(signed(ENTRIES, v1=fields))


@pytest.mark.parametrize("stray", [{"sequence": 4}, {"ttl": 0}, {"validity": b"x"}])
def test_a_single_field_of_version_1_is_compared_too(stray: dict[str, Any]) -> None:
    with pytest.raises(InvalidIpnsRecord, match=r"^V1 "):
        decode_record(signed(ENTRIES, v1=stray))
    assert not decode_record(signed(ENTRIES, v1={"sequence": 3})).has_v1


def test_size_is_limited() -> None:
    made = record(extra={"x": bytes(MAX_RECORD_BYTES - 600)})
    assert len(made.encoded) <= MAX_RECORD_BYTES
    with pytest.raises(InvalidArgument, match="at most 10240"):
        record(extra={"x": bytes(MAX_RECORD_BYTES)})
    with pytest.raises(InvalidIpnsRecord, match="size limit of 10240"):
        decode_record(bytes(MAX_RECORD_BYTES + 1))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"sequence": -1}, "sequence"),
        ({"sequence": 2**63}, "sequence"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": float("inf")}, "ttl"),
        ({"ttl": 10.0**12}, "ttl"),
        ({"expires": float("nan")}, "expires"),
        ({"expires": 10.0**11}, "expires"),
        ({"extra": {"Value": 1, "TTL": 2}}, "TTL, Value"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        record(**arguments)


def test_the_longest_time_to_live() -> None:
    assert record(ttl=2**63 / 10**9).ttl_nanoseconds == 2**63 - 1


def test_sequence_counts_before_the_end_and_the_end_before_the_bytes() -> None:
    old = record(sequence=1, expires=NOW + 9000)
    new = record(sequence=2, expires=NOW + 10)
    longer = record(sequence=2, expires=NOW + 20)
    other = make_record(KEY, "/ipfs/bafkqaaa", sequence=2, expires=NOW + 20)
    assert sorted([longer, new, old], key=lambda r: r.rank) == [old, new, longer]
    greatest = max(longer.encoded, other.encoded)
    validator = IPNSValidator()
    for several in ([old, new, longer, other], [other, longer, new, old]):
        values = [r.encoded for r in several]
        assert values[validator.select(routing_key(NAME), values)] == greatest
    values = [b"junk", old.encoded, old.encoded, b"junk"]
    assert validator.select(routing_key(NAME), values) == 1
    with pytest.raises(InvalidIpnsRecord, match="none"):
        validator.select(routing_key(NAME), [b"junk"])


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (b"/pk/" + NAME.to_bytes(), "namespace 'pk'"),
        (b"/ipns/" + NAME.to_bytes()[:-1], "no name of IPNS"),
        ("/ipns/" + NAME.to_multibase("base36"), "no name of IPNS"),
        ("/ipns/" + NAME.to_base58(), "no name of IPNS"),
        ("/ipns/" + NAME.to_bytes().hex().upper(), "no name of IPNS"),
        ("/ipns/00", "no name of IPNS"),
        ("ipns", "does not begin with"),
    ],
)
def test_keys_that_name_nobody(key: str | bytes, why: str) -> None:
    with pytest.raises(InvalidRecordType, match=why):
        IPNSValidator().validate(key, record().encoded)


def test_details_in_py_libp2ps_form() -> None:
    made = record(sequence=4, expires=NOW + 0.123456789, ttl=2)
    validator = IPNSValidator(clock=lambda: NOW)
    details = validator.validate_with_details(routing_key(NAME), made.encoded)
    assert details.validity == datetime(2025, 6, 15, 15, 6, 40, 123456, tzinfo=UTC)
    assert (details.value, details.sequence, details.ttl) == (VALUE.encode(), 4, 2 * 10**9)
    assert details.validity_type is ValidityType.EOL
    assert details.public_key_inlined
    assert details.has_v1_fields


@given(st.integers(0, 500), st.integers(1, 255))
def test_no_byte_that_is_signed_can_be_changed(at: int, by: int) -> None:
    made = record(with_v1=False)
    changed = bytearray(made.encoded)
    changed[at % len(changed)] ^= by
    with pytest.raises(InvalidIpnsRecord):
        accept(bytes(changed))


@given(st.binary(max_size=200))
def test_bytes_are_a_record_or_refused(data: bytes) -> None:
    for encoded in (data, signed(data), record().encoded + data):
        try:
            accept(encoded)
        except InvalidIpnsRecord:
            continue
