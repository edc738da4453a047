"""
TLS 1.3 records after the handshake (sans-I/O).

RFC 8446 §5. A record on the wire is a 5-byte header and up to 16 KiB of ciphertext; the kind of the
record is encrypted behind its content, and padding may follow. OpenSSL does the handshake only: its
record layer copies every byte four times on the way through its memory buffers, which made TLS
slower than Noise. Here the cipher copies each byte once, and the contents of several records become
one piece, because all later work is paid per piece.

Beside data there are alerts, which end the connection, tickets, which are dropped, and updates of
keys (§4.6.3), which this side sends before AES-GCM's limit.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import chain, islice
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from libp2p.exceptions import ConnectionClosedError, DecryptionFailedException, IOException
from libp2p.security.channel import MAX_RECORDS_AT_ONCE
from libp2p.utils.faults import without_traceback

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

HEADER_BYTES: Final = 5
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12
#: The content of one record, at most (§5.1).
MAX_PLAINTEXT_BYTES: Final = 16_384
#: Content, kind and padding have this much room (§5.4), and the tag follows. §5.2 would let other
#: ciphers add more than these do.
MAX_RECORD_BYTES: Final = MAX_PLAINTEXT_BYTES + 1 + TAG_BYTES
#: Seven full records are decrypted into one piece. Its memory is only given back as a whole, and
#: above 128 KiB the allocator would get it from the kernel each time.
PIECE_BYTES: Final = 7 * (MAX_PLAINTEXT_BYTES + 1)

#: AES-GCM is safe for 2^24.5 full records under one key (§5.5): 380 GB, some minutes of bulk.
MAX_RECORDS_PER_KEY: Final = 2**24
#: Records without data, or messages in them, in a row. Honest peers send a few tickets at most; an
#: attacker could make this side read messages and compute keys without end.
MAX_RECORDS_WITHOUT_DATA: Final = 32
#: A handshake message may span records. The only long one is a ticket, which is dropped.
MAX_MESSAGE_BYTES: Final = 16 * 1024
#: A ticket's lifetime, age, and three lengths (§4.6.1).
MIN_TICKET_BYTES: Final = 13

ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23

CLOSE_NOTIFY: Final = 0
UNEXPECTED_MESSAGE: Final = 10
BAD_RECORD_MAC: Final = 20
RECORD_OVERFLOW: Final = 22
BAD_CERTIFICATE: Final = 42
DECODE_ERROR: Final = 50
USER_CANCELED: Final = 90
_WARNING, _FATAL = 1, 2

_NEW_SESSION_TICKET: Final = 4
_KEY_UPDATE: Final = 24
_UPDATE_NOT_REQUESTED: Final = b"\x00"
_UPDATE_REQUESTED: Final = b"\x01"

_DATA: Final = bytes((APPLICATION_DATA,))
#: Every protected record claims to be application data of TLS 1.2 (§5.2).
_HEADER_START: Final = _DATA + b"\x03\x03"

_FULL_BYTES: Final = MAX_PLAINTEXT_BYTES + 1  # with the kind
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
    """The cipher and the hash that protect the records of a connection."""

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
    """
    One direction's keys, and the number of records that they were used for.

    Owner: `libp2p.security.tls.channel`.
    """

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
        #: The number of the next record.
        self.sequence = 0

    def seal(self, contents: Iterable[bytes]) -> list[Buffer]:
        """Return the records of ``contents``, kinds included: headers and ciphertexts in turn."""
        wire: list[Buffer] = []
        encrypt, iv, sequence = self.encrypt, self.iv, self.sequence
        for content in contents:
            header = _FULL_HEADER if len(content) == _FULL_BYTES else _header(len(content))
            wire += header, encrypt((iv ^ sequence).to_bytes(NONCE_BYTES), content, header)
            sequence += 1
        self.sequence = sequence
        return wire

    def renew(self) -> None:
        """Switch to the next keys (§7.2)."""
        self._use(expand_label(self._secret, b"traffic upd", len(self._secret), self._suite.digest))


def _alert(code: int) -> bytes:
    return bytes((_FATAL if code else _WARNING, code, ALERT))


def plain_alert(code: int) -> bytes:
    """Return an alert as a record from before there are keys."""
    return bytes((ALERT, 3, 3, 0, 2, _FATAL, code))


def seal_alert(suite: CipherSuite, secret: bytes, code: int) -> bytes:
    """Return an alert as the first record that is protected by ``secret``."""
    return b"".join(_Keys(secret, suite).seal((_alert(code),)))


class TlsChannel:
    """Both directions of a TLS connection after its handshake."""

    __slots__ = (
        "_failure",
        "_is_initiator",
        "_last_alert",
        "_message",
        "_receive",
        "_send",
        "_update_owed",
        "_without_data",
        "ended",
        "has_more",
    )

    def __init__(
        self,
        suite: CipherSuite,
        send_secret: bytes,
        receive_secret: bytes,
        *,
        is_initiator: bool = False,
    ) -> None:
        """
        :param send_secret: this side's application_traffic_secret_0, from the handshake.
        :param receive_secret: the peer's.
        :param is_initiator: whether the peer is a server, which may send tickets.
        """
        self._send = _Keys(send_secret, suite)
        self._receive = _Keys(receive_secret, suite)
        self._is_initiator = is_initiator
        self.has_more = False
        self.ended = False
        self._failure: IOException | None = None  # why no more records are opened
        self._last_alert: int | None = CLOSE_NOTIFY  # None: it was sent, or is not due
        self._update_owed = False  # the peer has asked this side to renew its keys
        self._without_data = 0
        self._message = b""  # the beginning of a handshake message

    # -- receiving ----------------------------------------------------------------------------

    def open(self, data: memoryview) -> tuple[list[Buffer], int]:
        """
        Decrypt complete records; see `CipherChannel.open`.

        Data before the record that ends the connection is returned first.

        :raises ConnectionClosedError: if the peer has ended the connection with an alert, also if
            it refuses this side's certificate: a client learns that only here.
        """
        if self._failure is not None:
            raise copy(self._failure)
        pieces: list[Buffer] = []
        try:
            used = self._open_into(pieces, data)
        except InvalidTag:
            self._failure = self._fault(BAD_RECORD_MAC, "a TLS record does not authenticate")
        except IOException as error:
            self._failure = without_traceback(error)
        else:
            return pieces, len(data) if self.ended else used
        if not pieces:
            raise copy(self._failure)
        self.has_more = True
        return pieces, 0

    def _open_into(self, pieces: list[Buffer], data: memoryview) -> int:
        """Append the plaintext to ``pieces``, also what there is before an error."""
        piece, filled, room = memoryview(b""), 0, 0
        keys = self._receive
        offset, end = 0, len(data)
        self.has_more = False
        try:
            for _ in range(MAX_RECORDS_AT_ONCE):
                if end - offset < HEADER_BYTES or self.ended:
                    break
                start = offset + HEADER_BYTES
                kind, _, length = _unpack_header(data, offset)
                if not TAG_BYTES < length <= MAX_RECORD_BYTES or kind != APPLICATION_DATA:
                    raise self._not_a_record(kind, length)
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
                keys.decrypt_into(nonce, data[start:stop], data[offset:start], content)
                keys.sequence += 1
                offset = stop
                if piece[last] == APPLICATION_DATA and content_bytes > 1:
                    if self._without_data:
                        self._on_data()
                    filled = last  # the next record overwrites the kind
                else:
                    rest = self._unusual(bytes(content))
                    piece[filled : filled + len(rest)] = rest
                    filled += len(rest)
            else:
                self.has_more = True
        finally:
            if filled:
                pieces.append(piece[:filled].toreadonly())
        return offset

    def _fault(self, alert: int, text: str) -> DecryptionFailedException:
        """Return the error for a broken rule, and keep the alert that the peer is to be sent."""
        if self._last_alert is not None:
            self._last_alert = alert
        return DecryptionFailedException(text)

    def _not_a_record(self, kind: int, length: int) -> DecryptionFailedException:
        too_long = kind == APPLICATION_DATA and length > MAX_RECORD_BYTES
        alert = RECORD_OVERFLOW if too_long else UNEXPECTED_MESSAGE
        return self._fault(alert, "what the peer sent is no TLS record")

    def _unusual(self, content: bytes) -> bytes:
        """Handle a record that has padding, or no data; return the data, if any."""
        content = content.rstrip(b"\x00")
        if not content:
            raise self._fault(UNEXPECTED_MESSAGE, "a TLS record has no content")
        kind, content = content[-1], content[:-1]
        if kind == HANDSHAKE and content:
            self._on_handshake(content)
            return b""
        if kind == APPLICATION_DATA and content:
            self._on_data()
            return content
        self._refuse_interruption()
        self._count_without_data()
        if kind == ALERT and len(content) == 2:
            self._on_alert(content[1])
        elif kind != APPLICATION_DATA:
            raise self._fault(UNEXPECTED_MESSAGE, f"unexpected TLS record of kind {kind}")
        return b""

    def _on_data(self) -> None:
        self._refuse_interruption()
        self._without_data = 0

    def _refuse_interruption(self) -> None:
        # §5.1: nothing may come between the records of one handshake message.
        if self._message:
            raise self._fault(UNEXPECTED_MESSAGE, "a TLS record interrupts a handshake message")

    def _count_without_data(self) -> None:
        self._without_data += 1
        if self._without_data > MAX_RECORDS_WITHOUT_DATA:
            text = "the peer sends TLS records or messages without data in them"
            raise self._fault(UNEXPECTED_MESSAGE, text)

    def _on_alert(self, code: int) -> None:
        if code == CLOSE_NOTIFY:
            self.ended = True
        elif code != USER_CANCELED:  # it only announces a close_notify
            self._last_alert = None
            name = _ALERTS.get(code, "unknown")
            raise ConnectionClosedError(
                f"the peer ended the TLS connection: {name} (alert {code})", close_code=code
            )

    def _on_handshake(self, content: bytes) -> None:
        """Handle handshake messages: drop a ticket, or switch to new keys."""
        data = self._message + content
        offset, end = 0, len(data)
        while end - offset >= 4:
            kind, size = data[offset], int.from_bytes(data[offset + 1 : offset + 4])
            self._check_message(kind, size)
            start, stop = offset + 4, offset + 4 + size
            if stop > end:
                break
            self._count_without_data()
            offset = stop
            if kind == _KEY_UPDATE:
                self._on_key_update(data[start:stop], is_last=stop == end)
        if offset == 0:
            self._count_without_data()
        self._message = data[offset:]

    def _check_message(self, kind: int, size: int) -> None:
        expected = (_KEY_UPDATE, _NEW_SESSION_TICKET) if self._is_initiator else (_KEY_UPDATE,)
        if kind not in expected:
            raise self._fault(UNEXPECTED_MESSAGE, f"unexpected TLS handshake message {kind}")
        if size > MAX_MESSAGE_BYTES or (kind == _NEW_SESSION_TICKET and size < MIN_TICKET_BYTES):
            raise self._fault(DECODE_ERROR, f"a TLS message of {size} bytes is not allowed")

    def _on_key_update(self, request: bytes, *, is_last: bool) -> None:
        if request not in (_UPDATE_NOT_REQUESTED, _UPDATE_REQUESTED):
            raise self._fault(DECODE_ERROR, "a TLS key update is malformed")
        # The new keys begin with the next record, so nothing may follow in this one (§5.1).
        if not is_last:
            raise self._fault(UNEXPECTED_MESSAGE, "a TLS key update is not the last of its record")
        self._receive.renew()
        self._update_owed = self._update_owed or request == _UPDATE_REQUESTED

    # -- sending ------------------------------------------------------------------------------

    def seal(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """
        Encrypt in as few records as possible; see `CipherChannel.seal`.

        :raises ConnectionClosedError: if this side has ended its direction with `close`.
        """
        if self._last_alert is None:
            raise ConnectionClosedError("this side has ended the TLS connection")
        wire: list[Buffer] = []
        keys = self._send
        contents = _pack_records(buffers)
        for first in contents:  # of those that may be sealed with the same keys
            if self._update_owed or keys.sequence >= MAX_RECORDS_PER_KEY:
                wire += self._renew_keys()
            others = islice(contents, MAX_RECORDS_PER_KEY - keys.sequence - 1)
            wire += keys.seal(chain((first,), others))
        return wire

    def close(self) -> list[Buffer]:
        """Return an alert: the rule that the peer broke, or close_notify (§6.1)."""
        alert, self._last_alert = self._last_alert, None
        return [] if alert is None else self._send.seal((_alert(alert),))

    def _renew_keys(self) -> list[Buffer]:
        # An answer must not request an update in turn, or the two sides would never stop.
        request = _UPDATE_NOT_REQUESTED if self._update_owed else _UPDATE_REQUESTED
        message = bytes((_KEY_UPDATE, 0, 0, 1)) + request
        record = self._send.seal((message + bytes((HANDSHAKE,)),))
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
