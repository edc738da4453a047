"""
The `/plaintext/2.0.0` handshake (sans-I/O): both sides say who they are, and neither proves it.

https://github.com/libp2p/specs/blob/master/plaintext/README.md: one length-prefixed `Exchange`
each way. All that can be checked is that the id belongs to the key.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from libp2p.io.message_buffer import MessageBuffer
from libp2p.peer.id import ID
from libp2p.security.channel import Established, PlainChannel
from libp2p.security.insecure.pb import plaintext_pb2
from libp2p.utils.varint import decode_uvarint, encode_varint_prefixed

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.crypto.keys import PublicKey

#: An RSA-8192 key is 1.1 kB. Without a limit an unknown peer could make this side hold memory.
MAX_EXCHANGE_BYTES: Final = 16 * 1024

#: Enough for `MAX_EXCHANGE_BYTES`.
MAX_LENGTH_BYTES: Final = 3


class ClaimedIdentity(NamedTuple):
    """The identity that the peer claims."""

    peer_id: ID
    public_key: PublicKey


def make_exchange_message(pubkey: PublicKey) -> plaintext_pb2.Exchange:
    """Return the message of the owner of ``pubkey``."""
    return plaintext_pb2.Exchange(id=ID.from_pubkey(pubkey).to_bytes(), pubkey=pubkey.serialize())


def _message_extent(data: bytearray) -> tuple[int, int] | None:
    try:
        length, start = decode_uvarint(data, max_bytes=MAX_LENGTH_BYTES)
    except IncompleteVarint:
        return None
    except ParseError as error:
        raise HandshakeFailure(f"length of the plaintext exchange: {error}") from error
    if length > MAX_EXCHANGE_BYTES:
        raise HandshakeFailure(
            f"plaintext exchange of {length} bytes, at most {MAX_EXCHANGE_BYTES} are allowed"
        )
    return start, start + length


class PlaintextExchange:
    """One side of the handshake; both are alike."""

    def __init__(self, public_key: PublicKey, expected_peer: ID | None = None) -> None:
        """:param expected_peer: the peer that was dialled; None accepts any peer."""
        self._public_key = public_key
        self._expected_peer = expected_peer
        self._received = MessageBuffer()
        self._is_done = False

    def start(self) -> bytes:
        """Return this side's message."""
        return encode_varint_prefixed(make_exchange_message(self._public_key).SerializeToString())

    def receive(self, buffers: Iterable[Buffer]) -> tuple[bytes, Established | None]:
        """
        Receive bytes of the peer.

        :return: nothing to send, and the result once there is one.
        :raises PeerIDMismatchesPubkey: if the peer is not the one expected.
        :raises HandshakeFailure: if its message is malformed.
        """
        if self._is_done:
            raise LocalProtocolError("this handshake is over")
        self._received.feed(buffers)
        message = self._received.next_message(_message_extent)
        if message is None:
            return b"", None
        self._is_done = True
        return b"", Established(PlainChannel(), self._identity(message), early_muxer=None)

    def take_leftover(self) -> bytes:
        """Remove and return the bytes received after the message."""
        return self._received.take_leftover()

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
