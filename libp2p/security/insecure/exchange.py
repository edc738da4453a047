"""
The `/plaintext/2.0.0` handshake (sans-I/O): both sides say who they are, and neither proves it.

https://github.com/libp2p/specs/blob/master/plaintext/README.md: one length-prefixed `Exchange`
each way. All that can be checked is that the id belongs to the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import (
    CryptographyError,
    HandshakeFailure,
    IncompleteVarint,
    LocalProtocolError,
    ParseError,
    PeerIDMismatchesPubkey,
)
from libp2p.hostile_input import refused_as
from libp2p.peer.id import ID
from libp2p.security.channel import Established, PlainChannel
from libp2p.security.insecure.pb import plaintext_pb2
from libp2p.utils.varint import decode_uvarint, encode_varint_prefixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.base_types import Buffer
    from libp2p.crypto.keys import PublicKey

#: An RSA-8192 key is 1.1 kB. What is longer wants memory from a side that knows nobody yet.
MAX_EXCHANGE_BYTES: Final = 16 * 1024

#: Enough for `MAX_EXCHANGE_BYTES`.
MAX_LENGTH_BYTES: Final = 3


class ClaimedIdentity(NamedTuple):
    """Who the peer says it is."""

    peer_id: ID
    public_key: PublicKey


def make_exchange_message(pubkey: PublicKey) -> plaintext_pb2.Exchange:
    """Return what the owner of ``pubkey`` says."""
    return plaintext_pb2.Exchange(id=ID.from_pubkey(pubkey).to_bytes(), pubkey=pubkey.serialize())


class PlaintextExchange:
    """One side of the handshake; both are alike."""

    def __init__(self, public_key: PublicKey, expected_peer: ID | None = None) -> None:
        """:param expected_peer: who was dialled; None accepts everyone."""
        self._public_key = public_key
        self._expected_peer = expected_peer
        self._buffer = bytearray()
        self._is_done = False

    def start(self) -> bytes:
        """Return this side's message."""
        return encode_varint_prefixed(make_exchange_message(self._public_key).SerializeToString())

    def receive(self, buffers: Iterable[Buffer]) -> tuple[bytes, Established | None]:
        """
        Take in what the peer sent.

        :return: nothing to send, and the result once there is one.
        :raises PeerIDMismatchesPubkey: if the peer is not the one expected.
        :raises HandshakeFailure: if its message is malformed.
        """
        if self._is_done:
            raise LocalProtocolError("this handshake is over")
        for buffer in buffers:
            self._buffer += buffer
        message = self._take_message()
        if message is None:
            return b"", None
        self._is_done = True
        return b"", Established(PlainChannel(), self._identity(message), early_muxer=None)

    def take_leftover(self) -> bytes:
        """Remove and return what came after the message."""
        leftover = bytes(self._buffer)
        self._buffer.clear()
        return leftover

    def _take_message(self) -> bytes | None:
        try:
            length, start = decode_uvarint(self._buffer, max_bytes=MAX_LENGTH_BYTES)
        except IncompleteVarint:
            return None
        except ParseError as error:
            raise HandshakeFailure(f"length of the plaintext exchange: {error}") from error
        if length > MAX_EXCHANGE_BYTES:
            raise HandshakeFailure(
                f"plaintext exchange of {length} bytes, at most {MAX_EXCHANGE_BYTES} are allowed"
            )
        end = start + length
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[start:end])
        del self._buffer[:end]
        return message

    def _identity(self, message: bytes) -> ClaimedIdentity:
        with refused_as(HandshakeFailure, "plaintext exchange is malformed"):
            exchange = plaintext_pb2.Exchange.FromString(message)
        try:
            public_key = deserialize_public_key(exchange.pubkey)
        except CryptographyError as error:
            raise HandshakeFailure(f"key in the plaintext exchange: {error}") from error
        peer_id = ID.from_pubkey(public_key)
        if exchange.id != peer_id.to_bytes():
            raise PeerIDMismatchesPubkey("the peer's id is not the one of its key")
        if self._expected_peer is not None and peer_id != self._expected_peer:
            raise PeerIDMismatchesPubkey(f"the peer is {peer_id}, not {self._expected_peer}")
        return ClaimedIdentity(peer_id, public_key)
