"""
The XX handshake as a security transport, and py-libp2p's pattern of the same.

It brings the random keys and the connection; `identity_exchange` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libp2p.base_types import TProtocol
from libp2p.crypto.keys import KeyPair, KeyType
from libp2p.exceptions import LocalProtocolError
from libp2p.security.handshake import HandshakeTransport
from libp2p.security.noise.exceptions import NoiseStateError
from libp2p.security.noise.handshake import PROTOCOL_NAME, XXHandshake
from libp2p.security.noise.identity_exchange import IdentityExchange
from libp2p.security.noise.messages import NoiseHandshakePayload, make_handshake_payload_sig
from libp2p.security.noise.payload import make_payload

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection
    from libp2p.crypto.keys import PrivateKey
    from libp2p.peer.id import ID
    from libp2p.security.noise.messages import NoiseExtensions
    from libp2p.security.secure_session import SecureSession


PROTOCOL_ID: Final = TProtocol("/noise")


class XXTransport(HandshakeTransport[IdentityExchange]):
    """The XX handshake of one identity and one static key, for `Transport` and for `PatternXX`."""

    protocol_id = PROTOCOL_ID
    name = "Noise"

    def __init__(
        self, key_pair: KeyPair, static: X25519PrivateKey, muxers: Sequence[str] | None
    ) -> None:
        self._static = static
        super().__init__(key_pair, muxers)

    def _offer(self, muxers: tuple[TProtocol, ...]) -> None:
        super()._offer(muxers)
        # The static key stays, so one signature will do for every connection.
        self._payload = make_payload(
            self.local_private_key, self._static.public_key().public_bytes_raw(), muxers
        )

    def _begin(self, *, is_initiator: bool, expected_peer: ID | None) -> IdentityExchange:
        handshake = XXHandshake(
            is_initiator=is_initiator, static=self._static, ephemeral=X25519PrivateKey.generate()
        )
        return IdentityExchange(
            handshake, self._payload, expected_peer=expected_peer, early_muxers=self.muxers
        )


class PatternXX:
    """py-libp2p's: one handshake of an identity and a static key."""

    protocol_name: Final = PROTOCOL_NAME

    def __init__(
        self,
        local_peer: ID,
        libp2p_privkey: PrivateKey,
        noise_static_key: PrivateKey,
        early_data: bytes | None = None,
        prologue: bytes | None = None,
    ) -> None:
        """
        :param early_data: put into extensions by `make_handshake_payload`; as in py-libp2p, the
            handshake does not send it.
        :param prologue: must be empty, as in libp2p over TCP.
        """
        if prologue:
            raise LocalProtocolError("this library's Noise handshake has no prologue")
        self.local_peer = local_peer
        self.libp2p_privkey = libp2p_privkey
        self.noise_static_key = noise_static_key
        self.early_data = early_data

    def make_handshake_payload(
        self, extensions: NoiseExtensions | None = None
    ) -> NoiseHandshakePayload:
        """
        Return the payload that proves the static key to be this identity's.

        :raises NoiseStateError: if the static key is not an X25519 key.
        """
        if self.noise_static_key.get_type() is not KeyType.X25519:
            raise NoiseStateError(
                f"the static key must be X25519, not {self.noise_static_key.get_type().name}"
            )
        if extensions is not None and extensions.early_data is None:
            extensions = replace(extensions, early_data=self.early_data)
        static = self.noise_static_key.get_public_key()
        signature = make_handshake_payload_sig(self.libp2p_privkey, static)
        return NoiseHandshakePayload(self.libp2p_privkey.get_public_key(), signature, extensions)

    async def handshake_inbound(self, conn: IRawConnection) -> SecureSession:
        """Shake hands with the peer that dialled; see `HandshakeTransport.secure_inbound`."""
        return await self._transport().secure_inbound(conn)

    async def handshake_outbound(
        self, conn: IRawConnection, remote_peer: ID | None
    ) -> SecureSession:
        """Shake hands with a peer, or with any; see `HandshakeTransport.secure_outbound`."""
        return await self._transport().secure_outbound(conn, remote_peer)

    def _transport(self) -> XXTransport:
        self.make_handshake_payload()  # raises, if the static key is of another kind
        pair = KeyPair(self.libp2p_privkey, self.libp2p_privkey.get_public_key())
        static = X25519PrivateKey.from_private_bytes(self.noise_static_key.to_bytes())
        return XXTransport(pair, static, ())
