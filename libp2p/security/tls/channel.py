"""
TLS 1.3 records after the handshake (sans-I/O).

RFC 8446 §5. A record on the wire is a 5-byte header and up to 16 KiB of ciphertext; what kind of
record it is stands encrypted behind its content, followed by padding if the sender likes. OpenSSL
shakes hands and is then done with: its own record layer copies every byte four times on the way
through its memory buffers, which made TLS slower than Noise. Here a byte is copied once, by the
cipher, and the content of several records becomes one piece: whatever follows is paid per piece.

There is more to it than data: alerts end the connection, tickets are not wanted, and either side
may go on to new keys (§4.6.3), which this side does before AES-GCM's limit.
"""

from __future__ import annotations

import hmac
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from libp2p.exceptions import ConnectionClosedError, DecryptionFailedException
from libp2p.security.channel import MAX_RECORDS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libp2p.custom_types import Buffer

HEADER_BYTES: Final = 5
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12
#: What one record carries (§5.1).
MAX_PLAINTEXT_BYTES: Final = 16_384
#: Kind, tag and padding may add this much (§5.2).
MAX_RECORD_BYTES: Final = MAX_PLAINTEXT_BYTES + 256
#: Seven full records are decrypted into one piece. Its memory is only given back as a whole, and
#: above 128 KiB the allocator would get it from the kernel each time.
PIECE_BYTES: Final = 7 * (MAX_PLAINTEXT_BYTES + 1)

#: AES-GCM is good for 2^24.5 full records under one key (§5.5): 380 GB, some minutes of bulk.
MAX_RECORDS_PER_KEY: Final = 2**24
#: Records without data in a row. Honest peers send a few tickets at most; the others would make
#: this side compute keys for nothing.
MAX_RECORDS_WITHOUT_DATA: Final = 32
#: A handshake message may span records. The only long one is a ticket, which is not even wanted.
MAX_MESSAGE_BYTES: Final = 16 * 1024

ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23

CLOSE_NOTIFY: Final = 0
_NEW_SESSION_TICKET: Final = 4
_KEY_UPDATE: Final = 24
_UPDATE_NOT_REQUESTED: Final = b"\x00"
_UPDATE_REQUESTED: Final = b"\x01"

_DATA: Final = bytes((APPLICATION_DATA,))
#: Every protected record claims to be application data of TLS 1.2 (§5.2).
_HEADER_START: Final = _DATA + b"\x03\x03"

_FULL_BYTES: Final = MAX_PLAINTEXT_BYTES + 1
#: Kind, version, length. The version is only authenticated (§5.2: "ignored for all purposes").
_unpack_header: Final = Struct(">BHH").unpack_from


def _header(content_bytes: int) -> bytes:
    return _HEADER_START + (content_bytes + TAG_BYTES).to_bytes(2)


_FULL_HEADER: Final = _header(_FULL_BYTES)

#: Alerts that a libp2p peer has reason to send (§6), for the error's text.
_ALERTS: Final = {
    10: "unexpected message",
    20: "bad record mac",
    22: "record overflow",
    40: "handshake failure",
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown certificate authority",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version",
    80: "internal error",
    90: "user canceled",
    116: "certificate required",
    120: "no application protocol",
}


class CipherSuite(NamedTuple):
    """How the records of a connection are protected."""

    aead: type[AESGCM | ChaCha20Poly1305]
    key_bytes: int
    digest: str


#: The suites of §9.1, in go-libp2p's order: with the AES instructions of most processors,
#: AES-128 takes half the time of ChaCha20.
CIPHER_SUITES: Final = {
    "TLS_AES_128_GCM_SHA256": CipherSuite(AESGCM, 16, "sha256"),
    "TLS_AES_256_GCM_SHA384": CipherSuite(AESGCM, 32, "sha384"),
    "TLS_CHACHA20_POLY1305_SHA256": CipherSuite(ChaCha20Poly1305, 32, "sha256"),
}


def expand_label(secret: bytes, label: bytes, length: int, digest: str) -> bytes:
    """Derive up to a hash's length of bytes from ``secret`` (HKDF-Expand-Label, §7.1)."""
    full_label = b"tls13 " + label
    info = length.to_bytes(2) + bytes((len(full_label),)) + full_label + b"\x00"
    return hmac.digest(secret, info + b"\x01", digest)[:length]


class _Keys:
    """One direction's keys, and how many records they have been used for."""

    __slots__ = ("_secret", "_suite", "decrypt_into", "encrypt", "iv", "sequence")

    def __init__(self, secret: bytes, suite: CipherSuite) -> None:
        self._suite = suite
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        digest = self._suite.digest
        self._secret = secret
        aead = self._suite.aead(expand_label(secret, b"key", self._suite.key_bytes, digest))
        self.encrypt, self.decrypt_into = aead.encrypt, aead.decrypt_into
        self.iv = int.from_bytes(expand_label(secret, b"iv", NONCE_BYTES, digest))
        self.sequence = 0

    def seal(self, content: bytes) -> tuple[bytes, bytes]:
        """Return the record of ``content``, its kind included: header and ciphertext."""
        header = _FULL_HEADER if len(content) == _FULL_BYTES else _header(len(content))
        nonce = (self.iv ^ self.sequence).to_bytes(NONCE_BYTES)
        self.sequence += 1
        return header, self.encrypt(nonce, content, header)

    def renew(self) -> None:
        """Go on to the next keys (§7.2)."""
        self._use(expand_label(self._secret, b"traffic upd", len(self._secret), self._suite.digest))


class TlsChannel:
    """Both directions of a TLS connection after its handshake."""

    __slots__ = (
        "_finished",
        "_message",
        "_receive",
        "_send",
        "_update_owed",
        "_without_data",
        "has_more",
    )

    def __init__(self, suite: CipherSuite, send_secret: bytes, receive_secret: bytes) -> None:
        """
        :param send_secret: this side's application_traffic_secret_0, from the handshake.
        :param receive_secret: the peer's.
        """
        self._send = _Keys(send_secret, suite)
        self._receive = _Keys(receive_secret, suite)
        self.has_more = False
        self._finished = False  # the peer has said that nothing more will come
        self._update_owed = False  # it has asked this side to renew its keys
        self._without_data = 0
        self._message = b""  # the beginning of a handshake message

    # -- receiving ----------------------------------------------------------------------------

    def open(self, data: memoryview) -> tuple[list[Buffer], int]:
        """
        Decrypt complete records; see `CipherChannel.open`.

        :raises ConnectionClosedError: if the peer has ended the connection with an alert. So it
            does when it refuses this side's certificate: a client knows only here.
        """
        pieces: list[Buffer] = []
        piece, filled, room = memoryview(b""), 0, 0
        keys = self._receive
        offset, end = 0, len(data)
        self.has_more = False
        for _ in range(MAX_RECORDS_AT_ONCE):
            if end - offset < HEADER_BYTES or self._finished:
                break
            start = offset + HEADER_BYTES
            kind, _, length = _unpack_header(data, offset)
            if not TAG_BYTES < length <= MAX_RECORD_BYTES or kind != APPLICATION_DATA:
                raise DecryptionFailedException("what the peer sent is no TLS record")
            stop = start + length
            if stop > end:
                break
            content_bytes = length - TAG_BYTES
            last = filled + content_bytes - 1
            if last >= room:
                if filled:
                    pieces.append(piece[:filled].toreadonly())
                room = max(content_bytes, min(end - offset, PIECE_BYTES))
                piece, filled, last = memoryview(bytearray(room)), 0, content_bytes - 1
            nonce = (keys.iv ^ keys.sequence).to_bytes(NONCE_BYTES)
            content = piece[filled : last + 1]
            try:
                keys.decrypt_into(nonce, data[start:stop], data[offset:start], content)
            except InvalidTag:
                raise DecryptionFailedException("a TLS record does not authenticate") from None
            keys.sequence += 1
            offset = stop
            if piece[last] == APPLICATION_DATA and 1 < content_bytes <= _FULL_BYTES:
                self._without_data = 0
                filled = last  # the next record overwrites the kind
            else:
                rest = self._unusual(bytes(content))
                piece[filled : filled + len(rest)] = rest
                filled += len(rest)
        else:
            self.has_more = True
        if filled:
            pieces.append(piece[:filled].toreadonly())
        return pieces, end if self._finished else offset

    def _unusual(self, content: bytes) -> bytes:
        """Handle a record that has padding, or no data; return the data, if any."""
        content = content.rstrip(b"\x00")
        if not 0 < len(content) <= MAX_PLAINTEXT_BYTES + 1:
            raise DecryptionFailedException("a TLS record has no content or too much")
        kind, content = content[-1], content[:-1]
        if kind == APPLICATION_DATA and content:
            self._without_data = 0
            return content
        self._without_data += 1
        if self._without_data > MAX_RECORDS_WITHOUT_DATA:
            raise DecryptionFailedException("the peer sends TLS records without data in them")
        if kind == ALERT and len(content) == 2:
            self._on_alert(content[1])
        elif kind == HANDSHAKE and content:
            self._on_handshake(content)
        elif kind != APPLICATION_DATA:
            raise DecryptionFailedException(f"unexpected TLS record of kind {kind}")
        return b""

    def _on_alert(self, code: int) -> None:
        if code != CLOSE_NOTIFY:
            name = _ALERTS.get(code, "unknown")
            raise ConnectionClosedError(
                f"the peer ended the TLS connection: {name} (alert {code})", close_code=code
            )
        self._finished = True

    def _on_handshake(self, content: bytes) -> None:
        """Handle what a peer may still say of the handshake: take a ticket, and use new keys."""
        self._message += content
        while len(self._message) >= 4:
            kind, size = self._message[0], int.from_bytes(self._message[1:4])
            if size > MAX_MESSAGE_BYTES:
                raise DecryptionFailedException(f"a TLS message of {size} bytes is not allowed")
            if len(self._message) < 4 + size:
                break
            body, self._message = self._message[4 : 4 + size], self._message[4 + size :]
            if kind == _KEY_UPDATE:
                self._on_key_update(body)
            elif kind != _NEW_SESSION_TICKET:
                raise DecryptionFailedException(f"unexpected TLS handshake message {kind}")

    def _on_key_update(self, request: bytes) -> None:
        # The new keys begin with the next record, so nothing may follow in this one (§5.1).
        if request not in (_UPDATE_NOT_REQUESTED, _UPDATE_REQUESTED) or self._message:
            raise DecryptionFailedException("a TLS key update is malformed")
        self._receive.renew()
        self._update_owed = self._update_owed or request == _UPDATE_REQUESTED

    # -- sending ------------------------------------------------------------------------------

    def seal(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Encrypt in as few records as possible; see `CipherChannel.seal`."""
        wire: list[Buffer] = []
        keys = self._send
        for content in _pack_records(buffers):
            if self._update_owed or keys.sequence >= MAX_RECORDS_PER_KEY:
                wire += self._renew_keys()
            wire += keys.seal(content)
        return wire

    def _renew_keys(self) -> tuple[bytes, bytes]:
        # Who was asked must not ask back, or it would never end.
        request = _UPDATE_NOT_REQUESTED if self._update_owed else _UPDATE_REQUESTED
        message = bytes((_KEY_UPDATE, 0, 0, 1)) + request
        record = self._send.seal(message + bytes((HANDSHAKE,)))
        self._send.renew()
        self._update_owed = False
        return record


def _pack_records(buffers: Sequence[Buffer]) -> Iterator[bytes]:
    """Cut ``buffers`` into contents of `MAX_PLAINTEXT_BYTES`, the last one shorter, with kinds."""
    group: list[Buffer] = []
    room = MAX_PLAINTEXT_BYTES
    for buffer in buffers:
        length = len(buffer)
        if length < room:
            group.append(buffer)
            room -= length
            continue
        view = memoryview(buffer)
        start = 0
        while length - start >= room:
            group += view[start : start + room], _DATA
            yield b"".join(group)
            start += room
            group, room = [], MAX_PLAINTEXT_BYTES
        if start < length:
            group.append(view[start:])
            room -= length - start
    if room < MAX_PLAINTEXT_BYTES:
        group.append(_DATA)
        yield b"".join(group)
