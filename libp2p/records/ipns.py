"""The validator of ``/ipns/``, and py-libp2p's names beside it; records are in `ipns_record`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import InvalidArgument, InvalidIpnsRecord, InvalidPeerID, InvalidRecordType
from libp2p.records.ipns_record import (
    MAX_RECORD_BYTES,
    SIGNATURE_PREFIX,
    IpnsRecord,
    decode_record,
)
from libp2p.records.utils import key_to_bytes, peer_of_key, split_key
from libp2p.records.validator import Validator

if TYPE_CHECKING:
    from libp2p.peer.id import ID

__all__ = [
    "MAX_RECORD_SIZE",
    "SIGNATURE_PREFIX",
    "IPNSValidator",
    "ParsedIPNSRecord",
    "ValidityType",
]

NAMESPACE: Final = "ipns"

#: What the specification allows, under py-libp2p's name.
MAX_RECORD_SIZE: Final = MAX_RECORD_BYTES


class ValidityType(IntEnum):
    """What ends the validity of a record: a point in time, there is nothing else."""

    EOL = 0


@dataclass(frozen=True)
class ParsedIPNSRecord:
    """What py-libp2p's `validate_with_details` returns."""

    value: bytes
    validity: datetime
    """When the record ends, cut to microseconds."""
    validity_type: ValidityType
    sequence: int
    ttl: int | None
    """Nanoseconds."""
    public_key_inlined: bool
    """True if the name itself holds the public key."""
    has_v1_fields: bool


class IPNSValidator(Validator):
    """
    Accepts the records that the owner of a name has signed, until they expire.

    Keys are ``/ipns/`` and the bytes of the name's multihash, or these in hex as py-libp2p has
    them: only its own peers find such a record.

    :param check_expiration: False accepts what has expired too.
    :param clock: returns the time in seconds since 1970.
    """

    def __init__(
        self, *, check_expiration: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self._check_expiration = check_expiration
        self._clock = clock

    def validate(self, key: str | bytes, value: bytes) -> None:
        """:raises InvalidIpnsRecord: if the record is not the name's, or has expired."""
        self._verified(key, value)

    def validate_with_details(self, key: str | bytes, value: bytes) -> ParsedIPNSRecord:
        """Do as `validate` does, and return what the record says."""
        name, record = self._verified(key, value)
        return ParsedIPNSRecord(
            value=record.value,
            validity=datetime(1970, 1, 1, tzinfo=UTC)
            + timedelta(microseconds=record.expiry_nanoseconds // 1000),
            validity_type=ValidityType.EOL,
            sequence=record.sequence,
            ttl=record.ttl_nanoseconds,
            public_key_inlined=name.extract_public_key() is not None,
            has_v1_fields=record.has_v1,
        )

    def select(self, key: str | bytes, values: list[bytes]) -> int:
        """
        Return the index of the record with the highest sequence, then the latest end.

        Of records that are equal in both, the greater one by bytes counts, as in Go. Those that
        are malformed do not count.

        :raises InvalidIpnsRecord: if all of them are malformed.
        :raises InvalidArgument: if there is none.
        """
        if not values:
            raise InvalidArgument("Cannot select from empty values")
        best: tuple[tuple[int, int, bytes], int] | None = None
        for place, value in enumerate(values):
            try:
                # Of equal ones, the first.
                ranked = decode_record(value).rank, -place
            except InvalidIpnsRecord:
                continue
            if best is None or ranked > best:
                best = ranked
        if best is None:
            raise InvalidIpnsRecord("none of the records is well-formed")
        return -best[1]

    def _verified(self, key: str | bytes, value: bytes) -> tuple[ID, IpnsRecord]:
        namespace, rest = split_key(key_to_bytes(key))
        if namespace != NAMESPACE:
            raise InvalidRecordType(f"Invalid namespace {namespace!r}, not '{NAMESPACE}'")
        try:
            name = peer_of_key(rest)
        except InvalidPeerID as error:
            raise InvalidRecordType(f"the key is no name of IPNS: {error}") from error
        record = decode_record(value)
        record.verify(name, self._clock() if self._check_expiration else None)
        return name, record
