"""
The contract between a secure channel's cipher and the socket driver (sans-I/O).

A cipher core turns wire bytes into plaintext pieces and back. It never waits and never sees a
socket; `libp2p.security.secure_session.SecureSession` moves the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from libp2p.base_types import Buffer, TProtocol
    from libp2p.crypto.keys import PublicKey
    from libp2p.peer.id import ID


#: Records that are decrypted before others have their turn: enough for a full read of large ones,
#: and a millisecond with tiny ones.
MAX_RECORDS_AT_ONCE: Final = 128


class CipherChannel(Protocol):
    """One direction pair of an established secure channel."""

    @property
    def has_more(self) -> bool:
        """True if the last `open` stopped at `MAX_RECORDS_AT_ONCE`, or the next one will raise."""
        ...

    @property
    def ended(self) -> bool:
        """True once the peer has ended its sending half: nothing follows."""
        ...

    def open(self, data: memoryview) -> tuple[list[Buffer], int]:
        """
        Decrypt the complete records at the front of ``data``, up to `MAX_RECORDS_AT_ONCE`.

        :return: the plaintext pieces in order, and how many bytes of ``data`` they used up.
        :raises DecryptionFailedException: if a record was forged or damaged; the channel is dead.
            Pieces from before that record are returned first, and the next call raises.
        """
        ...

    def seal(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """
        Encrypt ``buffers``, in order, into the wire bytes to send.

        Consecutive buffers share records, which are as few as the protocol allows.
        """
        ...

    def close(self) -> list[Buffer]:
        """
        Return the last bytes to send, if the protocol has any: that this side ends, or why.

        Nothing can be sealed after them. A second call returns nothing.
        """
        ...


class RemotePeer(Protocol):
    """Who the peer is, as its handshake has it."""

    @property
    def peer_id(self) -> ID:
        """The id that belongs to the key."""
        ...

    @property
    def public_key(self) -> PublicKey:
        """The identity key."""
        ...


class Established(NamedTuple):
    """A finished handshake."""

    channel: CipherChannel
    remote: RemotePeer
    #: The muxer that was agreed on within the handshake, if any.
    early_muxer: TProtocol | None


class PlainChannel:
    """No encryption: for `/plaintext/2.0.0` and for tests."""

    has_more: Final = False
    ended: Final = False

    def open(self, data: memoryview) -> tuple[list[Buffer], int]:
        """Hand the bytes on."""
        return ([bytes(data)] if len(data) else []), len(data)

    def seal(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Hand the bytes on."""
        return list(buffers)

    def close(self) -> list[Buffer]:
        """Return nothing: the connection's own end has to do."""
        return []
