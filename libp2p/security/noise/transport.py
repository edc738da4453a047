"""
Noise as a security transport: ``/noise``.

https://github.com/libp2p/specs/blob/master/noise/README.md. This is what a host is given; what it
does is in `patterns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libp2p.crypto.keys import KeyType
from libp2p.crypto.x25519 import X25519PrivateKey as NoiseKey
from libp2p.exceptions import LocalProtocolError
from libp2p.security.noise.patterns import PROTOCOL_ID, PatternXX, XXTransport

if TYPE_CHECKING:
    from libp2p.base_types import TProtocol
    from libp2p.crypto.keys import KeyPair, PrivateKey

__all__ = ["PROTOCOL_ID", "Transport"]


class Transport(XXTransport):
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
        :param early_muxers: see `HandshakeTransport`.
        """
        if early_data is not None:
            raise LocalProtocolError("libp2p's Noise handshake carries no early data")
        super().__init__(libp2p_keypair, _static_key(noise_privkey), early_muxers)

    @property
    def libp2p_privkey(self) -> PrivateKey:
        """The identity key: py-libp2p's name of it."""
        return self.local_private_key

    @property
    def noise_privkey(self) -> PrivateKey:
        """The static key."""
        return NoiseKey(self._static)

    def get_pattern(self) -> PatternXX:
        """Return py-libp2p's object for a handshake with the same keys."""
        return PatternXX(self.local_peer, self.local_private_key, self.noise_privkey)


def _static_key(key: PrivateKey | None) -> X25519PrivateKey:
    if key is not None and key.get_type() is KeyType.X25519:
        return X25519PrivateKey.from_private_bytes(key.to_bytes())
    return X25519PrivateKey.generate()
