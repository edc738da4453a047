"""py-libp2p's handshake pattern: one handshake of `libp2p.security.noise.transport` at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from libp2p.crypto.keys import KeyPair, KeyType
from libp2p.exceptions import LocalProtocolError
from libp2p.security.noise.exceptions import NoiseStateError
from libp2p.security.noise.handshake import PROTOCOL_NAME
from libp2p.security.noise.messages import NoiseHandshakePayload, make_handshake_payload_sig
from libp2p.security.noise.transport import Transport

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection
    from libp2p.crypto.keys import PrivateKey
    from libp2p.peer.id import ID
    from libp2p.security.noise.messages import NoiseExtensions
    from libp2p.security.secure_session import SecureSession


class PatternXX:
    """The XX handshake of one identity and one static key."""

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
        """Shake hands with the peer that dialled; see `Transport.secure_inbound`."""
        return await self._transport().secure_inbound(conn)

    async def handshake_outbound(
        self, conn: IRawConnection, remote_peer: ID | None
    ) -> SecureSession:
        """Shake hands with ``remote_peer``, or with any; see `Transport.secure_outbound`."""
        return await self._transport().secure_outbound(conn, remote_peer)

    def _transport(self) -> Transport:
        self.make_handshake_payload()  # raises, if the static key is of another kind
        pair = KeyPair(self.libp2p_privkey, self.libp2p_privkey.get_public_key())
        return Transport(pair, self.noise_static_key, early_muxers=())
