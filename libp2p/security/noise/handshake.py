"""
Noise_XX_25519_ChaChaPoly_SHA256 with an empty prologue (sans-I/O).

https://noiseprotocol.org/noise.html §5 and §7.5. After three messages both sides share two
keys and know each other's static keys. This module does not know libp2p: the payloads say which
peers the static keys belong to. The caller passes the keys; no random numbers are made here.
"""

from __future__ import annotations

import hmac
from enum import Enum, auto
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from libp2p.exceptions import HandshakeFailure, LocalProtocolError
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: Exactly as long as a hash, so it is the first hash itself (§5.2).
PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16

#: Noise allows 65,535; the largest honest message, an RSA-8192 identity with its signature, stays
#: under 4 KiB. Without this limit an unknown peer could make this side hold more memory.
MAX_HANDSHAKE_MESSAGE_BYTES: Final = 16 * 1024

_NONCE: Final = Struct("<4xQ")
_LENGTH: Final = Struct(">H")


class _Token(Enum):
    """What a message carries (E, S) or mixes in (a Diffie-Hellman of the two keys named)."""

    E = auto()
    S = auto()
    EE = auto()
    ES = auto()  # the initiator's ephemeral key, the responder's static key
    SE = auto()


#: Even messages are the initiator's, odd ones the responder's.
_MESSAGES: Final = (
    (_Token.E,),
    (_Token.E, _Token.EE, _Token.S, _Token.ES),
    (_Token.S, _Token.SE),
)


class TransportKeys(NamedTuple):
    """The keys of the transport phase: the result of the handshake."""

    send: bytes
    receive: bytes
    #: Unique to this session and equal at both ends (§11.2).
    handshake_hash: bytes


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Derive two keys (§4.3)."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


class _SymmetricState:
    """The keys and the transcript's hash, which both sides advance equally (§5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "_nonce", "transcript")

    def __init__(self) -> None:
        self._chaining_key = PROTOCOL_NAME
        self._cipher: ChaCha20Poly1305 | None = None
        self._nonce = 0
        self.transcript = PROTOCOL_NAME
        self.mix_hash(b"")  # the prologue

    def mix_hash(self, data: bytes) -> None:
        self.transcript = sha256(self.transcript + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = _hkdf(self._chaining_key, secret)
        self._cipher = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt, if there is a key yet, and add to the transcript."""
        wire = plaintext
        if self._cipher is not None:
            wire = self._cipher.encrypt(self._next_nonce(), plaintext, self.transcript)
        self.mix_hash(wire)
        return wire

    def decrypt(self, wire: bytes) -> bytes:
        """Undo `encrypt`; it fails if the two transcripts differ."""
        plaintext = wire
        if self._cipher is not None:
            try:
                plaintext = self._cipher.decrypt(self._next_nonce(), wire, self.transcript)
            except InvalidTag:
                raise HandshakeFailure("a Noise handshake message does not authenticate") from None
        self.mix_hash(wire)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the keys of the initiator's and of the responder's direction."""
        return _hkdf(self._chaining_key, b"")

    def _next_nonce(self) -> bytes:
        nonce = _NONCE.pack(self._nonce)
        self._nonce += 1
        return nonce


class XXHandshake:
    """One side: `write` and `read` in turn, the initiator first, until `is_done`."""

    def __init__(
        self, *, is_initiator: bool, static: X25519PrivateKey, ephemeral: X25519PrivateKey
    ) -> None:
        self.is_initiator = is_initiator
        self._static = static
        self._ephemeral = ephemeral
        self._remote_static: X25519PublicKey | None = None
        self._remote_ephemeral: X25519PublicKey | None = None
        self._state = _SymmetricState()
        self._messages_done = 0

    @property
    def is_done(self) -> bool:
        """Whether all three messages have passed."""
        return self._messages_done == len(_MESSAGES)

    @property
    def remote_static(self) -> bytes:
        """The peer's static key; the peer has proven to own it once its payload was read."""
        if self._remote_static is None:
            raise LocalProtocolError("the peer's static key has not come yet")
        return self._remote_static.public_bytes_raw()

    def write(self, payload: bytes) -> bytes:
        """Return this side's next message."""
        message = bytearray()
        for token in self._next_tokens(ours=True):
            if token is _Token.E:
                public = self._ephemeral.public_key().public_bytes_raw()
                self._state.mix_hash(public)
                message += public
            elif token is _Token.S:
                message += self._state.encrypt(self._static.public_key().public_bytes_raw())
            else:
                self._mix_shared_secret(token)
        message += self._state.encrypt(payload)
        self._messages_done += 1
        return bytes(message)

    def read(self, message: Buffer) -> bytes:
        """
        Read the peer's next message and return its payload.

        :raises HandshakeFailure: if the message is not what the peer must send now.
        """
        rest = bytes(message)
        for token in self._next_tokens(ours=False):
            if token is _Token.E:
                public, rest = _cut(rest, KEY_BYTES)
                self._state.mix_hash(public)
                self._remote_ephemeral = _public_key(public)
            elif token is _Token.S:
                sealed, rest = _cut(rest, KEY_BYTES + TAG_BYTES)
                public = self._state.decrypt(sealed)
                self._remote_static = _public_key(public)
            else:
                self._mix_shared_secret(token)
        payload = self._state.decrypt(rest)
        self._messages_done += 1
        return payload

    def split(self) -> TransportKeys:
        """Return the transport's keys."""
        if not self.is_done:
            raise LocalProtocolError("the handshake is not done")
        initiators, responders = self._state.split()
        if self.is_initiator:
            return TransportKeys(initiators, responders, self._state.transcript)
        return TransportKeys(responders, initiators, self._state.transcript)

    def _next_tokens(self, *, ours: bool) -> tuple[_Token, ...]:
        if self.is_done or ours is not (self.is_initiator is (self._messages_done % 2 == 0)):
            raise LocalProtocolError("this message of the handshake is not this side's to handle")
        return _MESSAGES[self._messages_done]

    def _mix_shared_secret(self, token: _Token) -> None:
        # ES names the initiator's key first: of its two keys the responder uses the other one.
        uses_static = token is (_Token.SE if self.is_initiator else _Token.ES)
        meets_static = token is (_Token.ES if self.is_initiator else _Token.SE)
        own = self._static if uses_static else self._ephemeral
        remote = self._remote_static if meets_static else self._remote_ephemeral
        assert remote is not None  # guaranteed by the order of the tokens
        # An all-zero secret: the peer sent a point of small order, so that anyone can compute
        # the key (RFC 7748 §6.1).
        with refused_as(HandshakeFailure, "the peer's key is a point of small order"):
            secret = own.exchange(remote)
        self._state.mix_key(secret)


def _public_key(data: bytes) -> X25519PublicKey:
    with refused_as(HandshakeFailure, "the peer's key is malformed"):
        return X25519PublicKey.from_public_bytes(data)


def _cut(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise HandshakeFailure(f"Noise handshake message ends {size - len(message)} bytes early")
    return message[:size], message[size:]


def frame(message: bytes) -> bytes:
    """Put the length in front of a handshake message."""
    return _LENGTH.pack(len(message)) + message


def message_extent(data: bytearray) -> tuple[int, int] | None:
    """
    Return where the first handshake message of ``data`` starts and ends; None without its length.

    :raises HandshakeFailure: if it is longer than any handshake needs.
    """
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if length > MAX_HANDSHAKE_MESSAGE_BYTES:
        raise HandshakeFailure(
            f"Noise handshake message of {length} bytes, "
            f"at most {MAX_HANDSHAKE_MESSAGE_BYTES} are allowed"
        )
    return _LENGTH.size, _LENGTH.size + length
