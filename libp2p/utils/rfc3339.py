"""
Points in time as text, to the nanosecond (sans-I/O).

https://www.rfc-editor.org/rfc/rfc3339. `datetime` ends at microseconds, and IPNS records of other
implementations have nanoseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from libp2p.exceptions import InvalidArgument, ParseError

__all__ = ["from_nanoseconds", "to_nanoseconds"]

NANOSECONDS: Final = 10**9
#: Longer than any point in time that Go writes; a fraction may have any number of digits.
MAX_TEXT_LENGTH: Final = 64

_FORM: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Seconds from 1970 to the first and last point in time that can be written.
_FIRST: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def to_nanoseconds(text: str) -> int:
    """
    Return the nanoseconds from 1970 to a point in time; digits behind the ninth are cut off.

    :raises ParseError: if it is none, or none in the years 1 to 9999.
    """
    found = _FORM.fullmatch(text) if len(text) <= MAX_TEXT_LENGTH else None
    if found is None:
        raise ParseError(f"not a point in time by RFC 3339: {text[:MAX_TEXT_LENGTH]!r}")
    *parts, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        since = datetime(*map(int, parts), tzinfo=zone) - _EPOCH  # type: ignore[misc, arg-type]
    except (ValueError, OverflowError) as error:
        raise ParseError(f"no such point in time: {text!r} ({error})") from error
    whole = since.days * 86_400 + since.seconds
    if not _FIRST <= whole <= _LAST:
        raise ParseError(f"not in the years 1 to 9999: {text!r}")
    return whole * NANOSECONDS + int((fraction or "0")[:9].ljust(9, "0"))


def from_nanoseconds(nanoseconds: int) -> str:
    """
    Write a point in time in UTC as Go does: with as many digits of the fraction as there are.

    :param nanoseconds: since 1970.
    :raises InvalidArgument: if it is not in the years 1 to 9999.
    """
    whole, fraction = divmod(nanoseconds, NANOSECONDS)
    try:
        moment = _EPOCH + timedelta(seconds=whole)
    except OverflowError as error:
        raise InvalidArgument("a point in time is in the years 1 to 9999") from error
    text = moment.strftime("%Y").zfill(4) + moment.strftime("-%m-%dT%H:%M:%S")
    digits = f".{fraction:09}".rstrip("0").rstrip(".")
    return f"{text}{digits}Z"
