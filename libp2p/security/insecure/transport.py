"""
No security at all: ``/plaintext/2.0.0``, for tests and for measuring what encryption costs.

It is never in a default configuration. Everybody on the way can read and change what is sent, and
the peer can claim to be anyone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.abc import ISecureTransport
from libp2p.base_types import TProtocol
from libp2p.peer.id import ID
from libp2p.security.channel import PlainChannel
from libp2p.security.handshake import batched, complete_handshake
from libp2p.security.insecure.exchange import PlaintextExchange, make_exchange_message
from libp2p.security.secure_session import SecureSession

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection
    from libp2p.crypto.keys import KeyPair

PLAINTEXT_PROTOCOL_ID: Final = TProtocol("/plaintext/2.0.0")

#: py-libp2p's name for a session without encryption.
InsecureSession = SecureSession

__all__ = [
    "PLAINTEXT_PROTOCOL_ID",
    "InsecureSession",
    "InsecureTransport",
    "make_exchange_message",
]


class InsecureTransport(ISecureTransport):
    """Sessions with peers who say who they are."""

    def __init__(self, local_key_pair: KeyPair) -> None:
        self.local_private_key = local_key_pair.private_key
        self.local_public_key = local_key_pair.public_key
        self.local_peer = ID.from_pubkey(local_key_pair.public_key)

    async def secure_inbound(self, conn: IRawConnection) -> SecureSession:
        """
        Exchange identities with whoever dialled.

        :raises HandshakeFailure: or one of its kinds; ``conn`` is the caller's to close.
        """
        return await self._secure(conn, is_initiator=False, expected_peer=None)

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID | None) -> SecureSession:
        """
        Exchange identities with ``peer_id``, or with whoever answers if that is None.

        :raises HandshakeFailure: or one of its kinds; ``conn`` is the caller's to close.
        """
        return await self._secure(conn, is_initiator=True, expected_peer=peer_id)

    async def _secure(
        self, conn: IRawConnection, *, is_initiator: bool, expected_peer: ID | None
    ) -> SecureSession:
        raw_conn = batched(conn)
        exchange = PlaintextExchange(self.local_public_key, expected_peer)
        remote = await complete_handshake(raw_conn, exchange, "plaintext")
        return SecureSession(
            raw_conn,
            PlainChannel(),
            local_peer=self.local_peer,
            local_private_key=self.local_private_key,
            remote_peer=remote.peer_id,
            remote_public_key=remote.public_key,
            is_initiator=is_initiator,
            protocol=PLAINTEXT_PROTOCOL_ID,
        )
