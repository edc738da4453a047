"""
The names and codes of codecs, which say how the bytes of a block are to be read.

The part of https://github.com/multiformats/multicodec that names kinds of blocks. A block with a
codec that is not listed can be stored and sent, by the codec's code.
"""

from __future__ import annotations

from typing import Final

from libp2p.exceptions import InvalidCID

__all__ = ["DAG_PB", "RAW", "codec_code", "codec_name"]

RAW: Final = 0x55
DAG_PB: Final = 0x70

#: The largest value of a multiformats varint.
_MAX_CODE: Final = 2**63 - 1

_CODECS: Final = {
    "identity": 0x00,
    "cbor": 0x51,
    "raw": RAW,
    "dag-pb": DAG_PB,
    "dag-cbor": 0x71,
    "libp2p-key": 0x72,
    "git-raw": 0x78,
    "torrent-info": 0x7B,
    "dag-jose": 0x85,
    "dag-cose": 0x86,
    "eth-block": 0x90,
    "bitcoin-block": 0xB0,
    "dag-json": 0x0129,
    "json": 0x0200,
    "car": 0x0202,
    "ipns-record": 0x0300,
}
_CODEC_NAMES: Final = {code: name for name, code in _CODECS.items()}


def codec_code(codec: str | int) -> int:
    """
    Return the code of a codec by its name; a number stands for itself.

    :raises InvalidCID: if the name is not known, or the number no code.
    """
    if type(codec) is bool or not isinstance(codec, str | int):
        raise InvalidCID(f"a codec is given by name or code, not {type(codec).__name__}")
    if isinstance(codec, int):
        if not 0 <= codec <= _MAX_CODE:
            raise InvalidCID(f"{codec} cannot be the code of a codec")
        return codec
    try:
        return _CODECS[codec.lower()]
    except KeyError:
        raise InvalidCID(f"unknown codec {codec!r}") from None


def codec_name(code: int) -> str:
    """Return a codec's name, or its code in hex if it is not known."""
    return _CODEC_NAMES.get(code) or hex(code)
