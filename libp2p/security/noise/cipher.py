"""
Noise transport records: ChaCha20-Poly1305 with a counter nonce (sans-I/O).

A record on the wire is a 2-byte big-endian length and that many bytes of ciphertext, of which the
last 16 are the tag (Noise specification §12.3, libp2p noise "wire format"). There is no rekeying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from libp2p.exceptions import DecryptionFailedException, LocalProtocolError
from libp2p.security.channel import MAX_RECORDS_AT_ONCE

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

TAG_BYTES: Final = 16
#: The length prefix is 16 bits wide, and the tag counts.
MAX_RECORD_BYTES: Final = 65_535
MAX_PLAINTEXT_BYTES: Final = MAX_RECORD_BYTES - TAG_BYTES
#: 2^64 - 1 is reserved by Noise; a connection that gets there must end.
MAX_NONCE: Final = 2**64 - 1

_NONCE: Final = Struct("<4xQ")
_LENGTH: Final = Struct(">H")


def _pack_records(buffers: Sequence[Buffer]) -> Iterator[Buffer]:
    """Group ``buffers`` greedily into plaintexts of at most `MAX_PLAINTEXT_BYTES`."""
    group: list[Buffer] = []
    size = 0
    for buffer in buffers:
        length = len(buffer)
        if size + length > MAX_PLAINTEXT_BYTES:
            if size:  # never an empty record: a reader could mistake it for the end
                yield b"".join(group)
            group, size = [], 0
            if length > MAX_PLAINTEXT_BYTES:
                view = memoryview(buffer)
                whole = length - length % MAX_PLAINTEXT_BYTES
                for start in range(0, whole, MAX_PLAINTEXT_BYTES):
                    yield view[start : start + MAX_PLAINTEXT_BYTES]
                buffer = view[whole:]
                length -= whole
        group.append(buffer)
        size += length
    if size:
        yield group[0] if len(group) == 1 else b"".join(group)


def _not_authentic() -> DecryptionFailedException:
    return DecryptionFailedException("a Noise record does not authenticate")


class NoiseCipher:
    """Both directions of a Noise channel after its handshake."""

    __slots__ = ("_failed", "_receive", "_receive_nonce", "_send", "_send_nonce", "has_more")

    ended: Final = False  # Noise has no such message

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._send = ChaCha20Poly1305(send_key)
        self._receive = ChaCha20Poly1305(receive_key)
        self._send_nonce = 0
        self._receive_nonce = 0
        self.has_more = False
        self._failed = False

    def open(self, data: memoryview) -> tuple[list[Buffer], int]:
        """Decrypt complete records; see `CipherChannel.open`."""
        if self._failed:
            raise _not_authentic()
        plaintexts: list[Buffer] = []
        decrypt, pack_nonce = self._receive.decrypt, _NONCE.pack
        nonce = self._receive_nonce
        offset, end = 0, len(data)
        self.has_more = False
        for _ in range(MAX_RECORDS_AT_ONCE):
            if end - offset < 2:
                break
            start = offset + 2
            stop = start + (data[offset] << 8 | data[offset + 1])
            if stop > end:
                break
            try:
                plaintexts.append(decrypt(pack_nonce(nonce), data[start:stop], None))
            except InvalidTag:
                self._failed = True
                if not plaintexts:
                    raise _not_authentic() from None
                self.has_more = True  # first return the records before it
                break
            nonce += 1
            offset = stop
        else:
            self.has_more = True
        self._receive_nonce = nonce
        return plaintexts, offset

    def seal(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Encrypt in as few records as the buffers' edges allow; see `CipherChannel.seal`."""
        wire: list[Buffer] = []
        encrypt, pack_nonce, pack_length = self._send.encrypt, _NONCE.pack, _LENGTH.pack
        nonce = self._send_nonce
        for plaintext in _pack_records(buffers):
            if nonce >= MAX_NONCE:
                raise LocalProtocolError("this Noise channel has used up its nonces")
            ciphertext = encrypt(pack_nonce(nonce), plaintext, None)
            wire.append(pack_length(len(ciphertext)))
            wire.append(ciphertext)
            nonce += 1
        self._send_nonce = nonce
        return wire

    def close(self) -> list[Buffer]:
        """Return nothing: Noise has no message that ends a connection."""
        return []
