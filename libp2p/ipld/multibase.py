"""
Multibase: the bases that CIDs, peer ids and IPNS names are written in.

https://github.com/multiformats/multibase. Every base that go-multibase reads is read here, and in
base16, base32 and base36 letters of either case, as there. Everything else is strict: stray bits
behind the last byte, wrong padding and look-alike characters are refused.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidMultibase

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = [
    "NAMES",
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

#: base10, base36 and base58 take time quadratic in the length: this much takes a millisecond or
#: two. Names are much shorter.
MAX_BIG_NUMBER_CHARACTERS: Final = 4096

_BASE10: Final = b"0123456789"
_BASE32: Final = b"abcdefghijklmnopqrstuvwxyz234567"
_BASE32Z: Final = b"ybndrfg8ejkmcpqxot1uwisza345h769"
_BASE36: Final = b"0123456789abcdefghijklmnopqrstuvwxyz"
_BASE58: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_FLICKR: Final = b"123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64URL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_EMOJI: Final = (
    "🚀🪐☄🛰🌌🌑🌒🌓🌔🌕🌖🌗🌘🌍🌏🌎🐉☀💻🖥💾💿😂❤😍🤣😊🙏💕😭😘👍"
    "😅👏😁🔥🥰💔💖💙😢🤔😆🙄💪😉☺👌🤗💜😔😎😇🌹🤦🎉💞✌✨🤷😱😌🌸🙌"
    "😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣😜💋👀😪😑💥🙋😞😩😡🤪👊🥳"
    "😥🤤👉💃😳✋😚😝😴🌟😬🙃🍀🌷😻😓⭐✅🥺🌈😈🤘💦✔😣🏃💐☹🎊💘😠☝"
    "😕🌺🎂🌻😐🖕💝🙊😹🗣💫💀👑🎵🤞😛🔴😤🌼😫⚽🤙☕🏆🤫👈😮🙆🍻🍃🐶💁"
    "😲🌿🧡🎁⚡🌞🎈❌✊👋😰🤨😶🤝🚶💰🍓💢🤟🙁🚨💨🤬✈🎀🍺🤓😙💟🌱😖👶"
    "🥴▶➡❓💎💸⬇😨🌚🦋😷🕺⚠🙅😟😵👎🤲🤠🤧📌🔵💅🧐🐾🍒😗🤑🌊🤯🐷☎"
    "💧😯💆👆🎤🙇🍑❄🌴💣🐸💌📍🥀🤢👅💡💩👐📸👻🤐🤮🎼🥵🚩🍎🍊👼💍📣🥂"
)

#: The digits that `int` reads in base 32 and below.
_INT_DIGITS: Final = _BASE36[:32]
_NOT_A_DIGIT: Final = 0xFF


def _digit_table(alphabet: bytes, digits: bytes, *, either_case: bool = False) -> bytes:
    table = bytearray([_NOT_A_DIGIT]) * 256
    for character, digit in zip(alphabet, digits, strict=True):
        table[character] = digit
        if either_case:
            table[ord(chr(character).upper())] = digit
    return bytes(table)


_BITS_TO_INT: Final = _digit_table(b"01", _INT_DIGITS[:2])
_BASE16_TO_INT: Final = _digit_table(_BASE36[:16], _INT_DIGITS[:16], either_case=True)
_BASE32_TO_INT: Final = _digit_table(_BASE32, _INT_DIGITS, either_case=True)
_BASE32HEX_TO_INT: Final = _digit_table(_INT_DIGITS, _INT_DIGITS, either_case=True)
_BASE32Z_TO_INT: Final = _digit_table(_BASE32Z, _INT_DIGITS)
_BASE10_TO_INT: Final = _digit_table(_BASE10, _BASE10)
_BASE36_TO_INT: Final = _digit_table(_BASE36, _BASE36, either_case=True)
_FROM_BASE58: Final = _digit_table(_BASE58, bytes(range(58)))
_FLICKR_TO_BTC: Final = bytes.maketrans(_BASE58_FLICKR, _BASE58)
_BTC_TO_FLICKR: Final = bytes.maketrans(_BASE58, _BASE58_FLICKR)
_TO_BASE32Z: Final = bytes.maketrans(_BASE32, _BASE32Z)
_FROM_EMOJI: Final = {character: value for value, character in enumerate(_EMOJI)}

#: Pairs of characters: one division yields two of them.
_BASE10_PAIRS: Final = tuple(bytes((a, b)) for a in _BASE10 for b in _BASE10)
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


def _without_padding(base: str, group: int, decode: Callable[[str], bytes], text: str) -> bytes:
    """Read text that is padded to whole groups of characters."""
    bare = text.rstrip("=")
    if bare + "=" * (-len(bare) % group) != text:
        raise InvalidMultibase(f"{base} with wrong padding: {text[-64:]!r}")
    return decode(bare)


# -- bases of a power of two ----------------------------------------------------------------------


def _decode_bits(base: str, bits: int, to_int: bytes, text: str) -> bytes:
    if not text:
        return b""
    size, spare_bits = divmod(len(text) * bits, 8)
    try:
        value = int(_ascii(text, base).translate(to_int), 1 << bits)
    except ValueError:
        raise InvalidMultibase(f"not {base}: {text[:64]!r}") from None
    if spare_bits >= bits or value & ((1 << spare_bits) - 1):
        raise InvalidMultibase(f"{base} with stray bits at its end: {text[:64]!r}")
    return (value >> spare_bits).to_bytes(size, "big")


def _encode_base2(data: Buffer) -> str:
    return "".join([f"{byte:08b}" for byte in bytes(data)])


def encode_base16(data: Buffer) -> str:
    return data.hex()


decode_base16 = partial(_decode_bits, "base16", 4, _BASE16_TO_INT)


def _encode_base32_padded(data: Buffer) -> str:
    return base64.b32encode(data).lower().decode("ascii")


def encode_base32(data: Buffer) -> str:
    """RFC 4648 in lower case, without padding."""
    return _encode_base32_padded(data).rstrip("=")


decode_base32 = partial(_decode_bits, "base32", 5, _BASE32_TO_INT)


def _encode_base32hex_padded(data: Buffer) -> str:
    return base64.b32hexencode(data).lower().decode("ascii")


_decode_base32hex = partial(_decode_bits, "base32hex", 5, _BASE32HEX_TO_INT)


def _encode_base32z(data: Buffer) -> str:
    return encode_base32(data).encode("ascii").translate(_TO_BASE32Z).decode("ascii")


def _encode_base64_padded(data: Buffer) -> str:
    return base64.b64encode(data).decode("ascii")


def _encode_base64url_padded(data: Buffer) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


def encode_base64url(data: Buffer) -> str:
    """RFC 4648 with the URL-safe alphabet, without padding."""
    return _encode_base64url_padded(data).rstrip("=")


def _decode_base64(base: str, alphabet: bytes, text: str) -> bytes:
    raw = _ascii(text, base)
    if raw.translate(None, alphabet) or len(raw) % 4 == 1:
        raise InvalidMultibase(f"not {base}: {text[:64]!r}")
    decoded = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=alphabet[-2:])
    if base64.b64encode(decoded, altchars=alphabet[-2:]).rstrip(b"=") != raw:
        raise InvalidMultibase(f"{base} with stray bits at its end: {text[:64]!r}")
    return decoded


decode_base64url = partial(_decode_base64, "base64url", _BASE64URL)
_decode_base64_std = partial(_decode_base64, "base64", _BASE64)


def _encode_emoji(data: Buffer) -> str:
    return "".join([_EMOJI[byte] for byte in bytes(data)])


def _decode_emoji(text: str) -> bytes:
    try:
        return bytes([_FROM_EMOJI[character] for character in text])
    except KeyError:
        raise InvalidMultibase(f"not base256emoji: {text[:64]!r}") from None


# -- bases of one big number ----------------------------------------------------------------------


def _encode_big(pairs: tuple[bytes, ...], zero: bytes, data: Buffer) -> str:
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


def _big_number_text(text: str, base: str) -> bytes:
    if len(text) > MAX_BIG_NUMBER_CHARACTERS:
        raise InvalidMultibase(f"{base} of {len(text)} characters is too long to be read")
    return _ascii(text, base)


def _decode_big(base: str, radix: int, to_int: bytes, text: str) -> bytes:
    if not text:
        return b""
    digits = _big_number_text(text, base).translate(to_int)
    try:
        value = int(digits, radix)
    except ValueError:
        raise InvalidMultibase(f"not {base}: {text[:64]!r}") from None
    return _big_to_bytes(value, len(text) - len(text.lstrip("0")))


_encode_base10 = partial(_encode_big, _BASE10_PAIRS, b"0")
_decode_base10 = partial(_decode_big, "base10", 10, _BASE10_TO_INT)


def encode_base36(data: Buffer) -> str:
    """Digits and lower-case letters: survives in a DNS label."""
    return _encode_big(_BASE36_PAIRS, b"0", data)


decode_base36 = partial(_decode_big, "base36", 36, _BASE36_TO_INT)


def encode_base58btc(data: Buffer) -> str:
    """Bitcoin's alphabet: no 0, O, I, l."""
    return _encode_big(_BASE58_PAIRS, b"1", data)


def decode_base58btc(text: str) -> bytes:
    digits = _big_number_text(text, "base58").translate(_FROM_BASE58)
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


def _encode_base58flickr(data: Buffer) -> str:
    return encode_base58btc(data).encode("ascii").translate(_BTC_TO_FLICKR).decode("ascii")


def _decode_base58flickr(text: str) -> bytes:
    # What is in neither alphabet stays as it is, and both have the same characters.
    btc = _big_number_text(text, "base58").translate(_FLICKR_TO_BTC)
    return decode_base58btc(btc.decode("ascii"))


# -- bytes as they are ----------------------------------------------------------------------------


def _encode_identity(data: Buffer) -> str:
    return bytes(data).decode("utf-8", "surrogateescape")


def _decode_identity(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidMultibase(f"not bytes as text: {text[:64]!r}") from None


# -- with the prefix that names the base ----------------------------------------------------------


class _Base(NamedTuple):
    prefix: str
    encode: Callable[[Buffer], str]
    decode: Callable[[str], bytes]


def _in_upper(encode_lower: Callable[[Buffer], str]) -> Callable[[Buffer], str]:
    return lambda data: encode_lower(data).upper()


def _bare(encode_padded: Callable[[Buffer], str]) -> Callable[[Buffer], str]:
    return lambda data: encode_padded(data).rstrip("=")


_decode_base32_padded = partial(_without_padding, "base32", 8, decode_base32)
_decode_base32hex_padded = partial(_without_padding, "base32hex", 8, _decode_base32hex)
_encode_base32hex = _bare(_encode_base32hex_padded)

_BASES: Final = {
    "identity": _Base("\0", _encode_identity, _decode_identity),
    "base2": _Base("0", _encode_base2, partial(_decode_bits, "base2", 1, _BITS_TO_INT)),
    "base10": _Base("9", _encode_base10, _decode_base10),
    "base16": _Base("f", encode_base16, decode_base16),
    "base16upper": _Base("F", _in_upper(encode_base16), decode_base16),
    "base32": _Base("b", encode_base32, decode_base32),
    "base32upper": _Base("B", _in_upper(encode_base32), decode_base32),
    "base32pad": _Base("c", _encode_base32_padded, _decode_base32_padded),
    "base32padupper": _Base("C", _in_upper(_encode_base32_padded), _decode_base32_padded),
    "base32hex": _Base("v", _encode_base32hex, _decode_base32hex),
    "base32hexupper": _Base("V", _in_upper(_encode_base32hex), _decode_base32hex),
    "base32hexpad": _Base("t", _encode_base32hex_padded, _decode_base32hex_padded),
    "base32hexpadupper": _Base("T", _in_upper(_encode_base32hex_padded), _decode_base32hex_padded),
    "base32z": _Base("h", _encode_base32z, partial(_decode_bits, "base32z", 5, _BASE32Z_TO_INT)),
    "base36": _Base("k", encode_base36, decode_base36),
    "base36upper": _Base("K", _in_upper(encode_base36), decode_base36),
    "base58btc": _Base("z", encode_base58btc, decode_base58btc),
    "base58flickr": _Base("Z", _encode_base58flickr, _decode_base58flickr),
    "base64": _Base("m", _bare(_encode_base64_padded), _decode_base64_std),
    "base64pad": _Base(
        "M", _encode_base64_padded, partial(_without_padding, "base64", 4, _decode_base64_std)
    ),
    "base64url": _Base("u", encode_base64url, decode_base64url),
    "base64urlpad": _Base(
        "U", _encode_base64url_padded, partial(_without_padding, "base64url", 4, decode_base64url)
    ),
    "base256emoji": _Base(_EMOJI[0], _encode_emoji, _decode_emoji),
}
#: The names of all bases.
NAMES: Final = frozenset(_BASES)
_BY_PREFIX: Final = {base.prefix: base for base in _BASES.values()}


def encode(base: str, data: Buffer) -> str:
    """
    Write ``data`` in the base of that name, with its prefix.

    :raises InvalidMultibase: if the name is not known.
    """
    known = _BASES[base] if base in list(_BASES) else None
    if known is None:
        raise InvalidMultibase(f"unknown base {base!r}, known are {', '.join(sorted(_BASES))}")
    return known.prefix + known.encode(data)


def decode(text: str) -> bytes:
    """Read text that begins with its base's prefix."""
    base = _BY_PREFIX.get(text[:1])
    if base is None:
        raise InvalidMultibase(f"text does not begin with a known base's prefix: {text[:64]!r}")
    return base.decode(text[1:])
