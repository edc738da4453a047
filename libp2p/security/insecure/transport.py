"""
No security at all: ``/plaintext/2.0.0``, for tests and for measuring what encryption costs.

It is never in a default configuration. Everybody on the way can read and change what is sent, and
the peer can claim to be anyone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from libp2p.base_types import TProtocol
from libp2p.security.handshake import HandshakeTransport
from libp2p.security.insecure.exchange import PlaintextExchange, make_exchange_message
from libp2p.security.secure_session import SecureSession
from libp2p.utils import arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.abc import IPeerStore, IRawConnection
    from libp2p.crypto.keys import KeyPair
    from libp2p.peer.id import ID

PLAINTEXT_PROTOCOL_ID: Final = TProtocol("/plaintext/2.0.0")

#: py-libp2p's name for a session without encryption.
InsecureSession = SecureSession

__all__ = [
    "PLAINTEXT_PROTOCOL_ID",
    "InsecureSession",
    "InsecureTransport",
    "make_exchange_message",
]


class InsecureTransport(HandshakeTransport[PlaintextExchange]):
    """Sessions with peers who say who they are."""

    protocol_id = PLAINTEXT_PROTOCOL_ID
    name = "plaintext"

    def __init__(
        self,
        local_key_pair: KeyPair,
        secure_bytes_provider: Callable[[int], bytes] | None = None,
        peerstore: IPeerStore | None = None,
    ) -> None:
        """
        :param secure_bytes_provider: py-libp2p's; plaintext needs no random bytes.
        :param peerstore: is given the keys of the peers.
        """
        if secure_bytes_provider is not None:
            arguments.function(secure_bytes_provider, "secure_bytes_provider")
        super().__init__(local_key_pair, muxers=())
        self.peerstore = peerstore

    async def _secure(self, conn: IRawConnection, **how: Any) -> SecureSession:
        session = await super()._secure(conn, **how)
        if self.peerstore is not None:
            self.peerstore.add_pubkey(session.get_remote_peer(), session.get_remote_public_key())
        return session

    def _begin(self, *, is_initiator: bool, expected_peer: ID | None) -> PlaintextExchange:
        return PlaintextExchange(self.local_public_key, expected_peer)
