"""
Noise as a security transport: ``/noise``.

https://github.com/libp2p/specs/blob/master/noise/README.md. This is the handshake's driver: it
brings the random keys and the connection; `identity_exchange` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libp2p.abc import ISecureTransport
from libp2p.base_types import TProtocol
from libp2p.crypto.keys import KeyType
from libp2p.exceptions import LocalProtocolError
from libp2p.peer.id import ID
from libp2p.security.handshake import batched, complete_handshake
from libp2p.security.noise.cipher import NoiseCipher
from libp2p.security.noise.handshake import XXHandshake
from libp2p.security.noise.identity_exchange import IdentityExchange
from libp2p.security.noise.payload import make_payload
from libp2p.security.secure_session import SecureSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.abc import IRawConnection
    from libp2p.crypto.keys import KeyPair, PrivateKey

PROTOCOL_ID: Final = TProtocol("/noise")


class Transport(ISecureTransport):
    """Noise with one static key for all connections of this object."""

    def __init__(
        self,
        libp2p_keypair: KeyPair,
        noise_privkey: PrivateKey | None = None,
        early_data: bytes | None = None,
        *,
        early_muxers: Sequence[TProtocol] | None = None,
    ) -> None:
        """
        :param noise_privkey: an X25519 key to be used as the static key. Keys of other kinds,
            which py-libp2p takes here too, are for signing and not used for key agreement as
            well: then, and for None, the static key is a fresh one.
        :param early_data: must be None; libp2p's handshake has no place for it.
        :param early_muxers: what to offer for agreeing on a muxer within the handshake, most
            wanted first. With none the muxer is negotiated afterwards, at one round trip more;
            None leaves it to the host.
        """
        if early_data is not None:
            raise LocalProtocolError("libp2p's Noise handshake carries no early data")
        self.libp2p_privkey = libp2p_keypair.private_key
        self.local_peer = ID.from_pubkey(libp2p_keypair.public_key)
        self._static = _static_key(noise_privkey)
        self._host_decides = early_muxers is None
        self._offer(tuple(early_muxers or ()))

    def offer_muxers(self, muxers: Sequence[TProtocol]) -> None:
        """Offer the host's muxers within the handshake, unless the constructor was told which."""
        if self._host_decides:
            self._offer(tuple(muxers))

    def _offer(self, muxers: tuple[TProtocol, ...]) -> None:
        self.early_muxers = muxers
        # The static key stays, so one signature will do for every connection.
        self._payload = make_payload(
            self.libp2p_privkey, self._static.public_key().public_bytes_raw(), muxers
        )

    async def secure_inbound(self, conn: IRawConnection) -> SecureSession:
        """
        Shake hands with whoever dialled.

        :raises HandshakeFailure: or one of its kinds; ``conn`` is the caller's to close.
        """
        return await self._secure(conn, is_initiator=False, expected_peer=None)

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID | None) -> SecureSession:
        """
        Shake hands with ``peer_id``, or with whoever answers if that is None.

        :raises PeerIDMismatchesPubkey: if someone else answers.
        :raises HandshakeFailure: or one of its kinds; ``conn`` is the caller's to close.
        """
        return await self._secure(conn, is_initiator=True, expected_peer=peer_id)

    async def _secure(
        self, conn: IRawConnection, *, is_initiator: bool, expected_peer: ID | None
    ) -> SecureSession:
        raw_conn = batched(conn)
        exchange = IdentityExchange(
            XXHandshake(
                is_initiator=is_initiator,
                static=self._static,
                ephemeral=X25519PrivateKey.generate(),
            ),
            self._payload,
            expected_peer=expected_peer,
            early_muxers=self.early_muxers,
        )
        keys, remote, early_muxer = await complete_handshake(raw_conn, exchange, "Noise")
        return SecureSession(
            raw_conn,
            NoiseCipher(keys.send, keys.receive),
            local_peer=self.local_peer,
            local_private_key=self.libp2p_privkey,
            remote_peer=remote.peer_id,
            remote_public_key=remote.public_key,
            is_initiator=is_initiator,
            early_muxer=early_muxer,
            protocol=PROTOCOL_ID,
        )


def _static_key(key: PrivateKey | None) -> X25519PrivateKey:
    if key is not None and key.get_type() is KeyType.X25519:
        return X25519PrivateKey.from_private_bytes(key.to_bytes())
    return X25519PrivateKey.generate()
