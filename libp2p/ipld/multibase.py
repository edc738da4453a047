"""
Multibase: the bases that CIDs, peer ids and IPNS names are written in, each strict.

https://github.com/multiformats/multibase. One text has one value and one value has one text:
padding, mixed case, stray bits behind the last byte and look-alike characters are refused.
base36 and base58 take time quadratic in the length: callers limit what they pass in.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidMultibase

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.custom_types import Buffer

__all__ = [
    "InvalidMultibase",
    "decode",
    "decode_base16",
    "decode_base32",
    "decode_base36",
    "decode_base58btc",
    "decode_base64url",
    "encode",
    "encode_base16",
    "encode_base32",
    "encode_base36",
    "encode_base58btc",
    "encode_base64url",
]

_BASE32: Final = b"abcdefghijklmnopqrstuvwxyz234567"
_BASE36: Final = b"0123456789abcdefghijklmnopqrstuvwxyz"
_BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE64URL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

#: What `int` reads in base 32; no character beyond the alphabet maps into it.
_INT32_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuv"
_NOT_A_DIGIT: Final = 0xFF


def _digit_table(alphabet: bytes, digits: bytes) -> bytes:
    table = bytearray([_NOT_A_DIGIT]) * 256
    for character, digit in zip(alphabet, digits, strict=True):
        table[character] = digit
    return bytes(table)


_TO_INT32: Final = _digit_table(_BASE32, _INT32_DIGITS)
_TO_INT36: Final = _digit_table(_BASE36, _BASE36)
_FROM_BASE58: Final = _digit_table(_BASE58, bytes(range(58)))

#: Pairs of characters: one division yields two of them.
_BASE36_PAIRS: Final = tuple(bytes((a, b)) for a in _BASE36 for b in _BASE36)
_BASE58_PAIRS: Final = tuple(bytes((a, b)) for a in _BASE58 for b in _BASE58)
#: Base-58 digits that fit together into one machine-sized number.
_BASE58_GROUP: Final = 10


def _ascii(text: str, base: str) -> bytes:
    # Other letters must not be folded into the alphabet: upper() of U+017F is "S".
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidMultibase(f"not {base}: {text[:64]!r}") from None


# -- bases of a power of two ----------------------------------------------------------------------


def encode_base16(data: Buffer) -> str:
    return data.hex()


def decode_base16(text: str) -> bytes:
    # int() and bytes.fromhex() both tolerate blanks, so the alphabet is checked apart.
    if len(text) % 2 or _ascii(text, "base16").translate(None, b"0123456789abcdef"):
        raise InvalidMultibase(f"not base16: {text[:64]!r}")
    return bytes.fromhex(text)


def encode_base32(data: Buffer) -> str:
    """RFC 4648 in lower case, without padding."""
    return base64.b32encode(data).rstrip(b"=").lower().decode("ascii")


def decode_base32(text: str) -> bytes:
    size, spare_bits = divmod(len(text) * 5, 8)
    if not text:
        return b""
    try:
        value = int(_ascii(text, "base32").translate(_TO_INT32), 32)
    except ValueError:
        raise InvalidMultibase(f"not base32: {text[:64]!r}") from None
    if spare_bits >= 5 or value & ((1 << spare_bits) - 1):
        raise InvalidMultibase(f"base32 with stray bits at its end: {text[:64]!r}")
    return (value >> spare_bits).to_bytes(size, "big")


def encode_base64url(data: Buffer) -> str:
    """RFC 4648 with the URL-safe alphabet, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    raw = _ascii(text, "base64url")
    if raw.translate(None, _BASE64URL) or len(raw) % 4 == 1:
        raise InvalidMultibase(f"not base64url: {text[:64]!r}")
    decoded = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    if encode_base64url(decoded) != text:
        raise InvalidMultibase(f"base64url with stray bits at its end: {text[:64]!r}")
    return decoded


# -- bases of one big number ----------------------------------------------------------------------


def _encode_big(data: Buffer, pairs: tuple[bytes, ...], zero: bytes) -> str:
    """Write ``data`` as one number, and each leading zero byte as one ``zero``."""
    raw = bytes(data)
    significant = raw.lstrip(b"\0")
    value = int.from_bytes(significant, "big")
    pieces: list[bytes] = []
    base_squared = len(pairs)
    while value:
        value, pair = divmod(value, base_squared)
        pieces.append(pairs[pair])
    digits = b"".join(reversed(pieces)).lstrip(zero)
    return (zero * (len(raw) - len(significant)) + digits).decode("ascii")


def _big_to_bytes(value: int, leading_zeros: int) -> bytes:
    return bytes(leading_zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode_base36(data: Buffer) -> str:
    """Digits and lower-case letters: survives in a DNS label."""
    return _encode_big(data, _BASE36_PAIRS, b"0")


def decode_base36(text: str) -> bytes:
    if not text:
        return b""
    try:
        value = int(_ascii(text, "base36").translate(_TO_INT36), 36)
    except ValueError:
        raise InvalidMultibase(f"not base36: {text[:64]!r}") from None
    return _big_to_bytes(value, len(text) - len(text.lstrip("0")))


def encode_base58btc(data: Buffer) -> str:
    """Bitcoin's alphabet: no 0, O, I, l."""
    return _encode_big(data, _BASE58_PAIRS, b"1")


def decode_base58btc(text: str) -> bytes:
    digits = _ascii(text, "base58").translate(_FROM_BASE58)
    if _NOT_A_DIGIT in digits:
        raise InvalidMultibase(f"not base58: {text[:64]!r}")
    value = 0
    for start in range(0, len(digits), _BASE58_GROUP):
        group = digits[start : start + _BASE58_GROUP]
        number = 0
        for digit in group:
            number = number * 58 + digit
        value = value * 58 ** len(group) + number
    return _big_to_bytes(value, len(text) - len(text.lstrip("1")))


# -- with the prefix that names the base ----------------------------------------------------------


class _Base(NamedTuple):
    prefix: str
    encode: Callable[[Buffer], str]
    decode: Callable[[str], bytes]


def _upper(decode_lower: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def decode_upper(text: str) -> bytes:
        lowered = _ascii(text, "upper case").lower().decode("ascii")
        if lowered.upper() != text:
            raise InvalidMultibase(f"not in upper case: {text[:64]!r}")
        return decode_lower(lowered)

    return decode_upper


_BASES: Final = {
    "base16": _Base("f", encode_base16, decode_base16),
    "base16upper": _Base("F", lambda data: data.hex().upper(), _upper(decode_base16)),
    "base32": _Base("b", encode_base32, decode_base32),
    "base32upper": _Base("B", lambda data: encode_base32(data).upper(), _upper(decode_base32)),
    "base36": _Base("k", encode_base36, decode_base36),
    "base36upper": _Base("K", lambda data: encode_base36(data).upper(), _upper(decode_base36)),
    "base58btc": _Base("z", encode_base58btc, decode_base58btc),
    "base64url": _Base("u", encode_base64url, decode_base64url),
}
_BY_PREFIX: Final = {base.prefix: base for base in _BASES.values()}


def encode(base: str, data: Buffer) -> str:
    """
    Write ``data`` in the base of that name, with its prefix.

    :raises InvalidMultibase: if the name is not known.
    """
    known = _BASES.get(base)
    if known is None:
        raise InvalidMultibase(f"unknown base {base!r}, known are {', '.join(sorted(_BASES))}")
    return known.prefix + known.encode(data)


def decode(text: str) -> bytes:
    """Read text that begins with its base's prefix."""
    base = _BY_PREFIX.get(text[:1])
    if base is None:
        raise InvalidMultibase(f"text does not begin with a known base's prefix: {text[:64]!r}")
    return base.decode(text[1:])
