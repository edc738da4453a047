"""
Noise as a security transport: ``/noise``.

https://github.com/libp2p/specs/blob/master/noise/README.md. This is the handshake's driver: it
brings the random keys and the connection; `identity_exchange` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libp2p.base_types import TProtocol
from libp2p.crypto.keys import KeyType
from libp2p.exceptions import LocalProtocolError
from libp2p.security.handshake import HandshakeTransport
from libp2p.security.noise.handshake import XXHandshake
from libp2p.security.noise.identity_exchange import IdentityExchange
from libp2p.security.noise.payload import make_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.crypto.keys import KeyPair, PrivateKey
    from libp2p.peer.id import ID

PROTOCOL_ID: Final = TProtocol("/noise")


class Transport(HandshakeTransport[IdentityExchange]):
    """Noise with one static key for all connections of this object."""

    protocol_id = PROTOCOL_ID
    name = "Noise"

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
        :param early_muxers: see `HandshakeTransport`.
        """
        if early_data is not None:
            raise LocalProtocolError("libp2p's Noise handshake carries no early data")
        self._static = _static_key(noise_privkey)
        super().__init__(libp2p_keypair, early_muxers)

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


def _static_key(key: PrivateKey | None) -> X25519PrivateKey:
    if key is not None and key.get_type() is KeyType.X25519:
        return X25519PrivateKey.from_private_bytes(key.to_bytes())
    return X25519PrivateKey.generate()
