"""
XSalsa20: a stream cipher with nonces of 24 bytes (Bernstein, "Extending the Salsa20 nonce").

It is Salsa20 under a key that HSalsa20 derives from the key and the first 16 bytes of the nonce.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from libp2p.exceptions import InvalidArgument

NONCE_BYTES: Final = 24

_KEY: Final = Struct("<8I")
_CONSTANTS: Final = Struct("<4I").unpack(b"expand 32-byte k")
_MASK: Final = 0xFFFFFFFF
#: What a quarter round mixes: the columns, then the rows.
_QUARTERS: Final = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """Return the key that HSalsa20 derives from a key of 32 bytes and a nonce of 16."""
    k, n, c = _KEY.unpack(key), Struct("<4I").unpack(nonce), _CONSTANTS
    x = [c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]]
    for _ in range(10):
        for a, b, c_, d in _QUARTERS:
            x[b] ^= _rotated(x[a] + x[d], 7)
            x[c_] ^= _rotated(x[b] + x[a], 9)
            x[d] ^= _rotated(x[c_] + x[b], 13)
            x[a] ^= _rotated(x[d] + x[c_], 18)
    return _KEY.pack(x[0], x[5], x[10], x[15], *x[6:10])


def _rotated(word: int, bits: int) -> int:
    word &= _MASK
    return ((word << bits) | (word >> (32 - bits))) & _MASK


class XSalsa20:
    """One direction of a connection: what is encrypted next goes on where the last ended."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        """:raises ValueError: if the extra ``pnet`` is not installed."""
        try:
            from Crypto.Cipher import Salsa20
        except ImportError as error:
            raise InvalidArgument(
                "a private network needs a cipher that is not installed: "
                "python -m pip install 'libp2p[pnet]'"
            ) from error
        self._cipher = Salsa20.new(hsalsa20(key, nonce[:16]), nonce[16:NONCE_BYTES])

    def apply(self, data: memoryview) -> None:
        """Encrypt or decrypt ``data`` where it is."""
        self._cipher.encrypt(data, output=data)
