"""
TLS 1.3 as a security transport: ``/tls/1.0.0``.

https://github.com/libp2p/specs/blob/master/tls/tls.md. This is the handshake's driver: it brings
the keys, the time and the connection; `handshake` and `certificate` decide. They are imported when
a transport is made: who does without TLS does not pay for loading it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.base_types import TProtocol
from libp2p.exceptions import LocalProtocolError
from libp2p.security.handshake import HandshakeTransport

if TYPE_CHECKING:
    from libp2p.crypto.keys import KeyPair, PrivateKey
    from libp2p.peer.id import ID
    from libp2p.security.tls.handshake import TlsEndpoint, TlsHandshake

PROTOCOL_ID: Final = TProtocol("/tls/1.0.0")
#: py-libp2p's name for ALPN's word for "the muxer is negotiated after the handshake".
ALPN_PROTOCOL: Final = "libp2p"


class TLSTransport(HandshakeTransport["TlsHandshake"]):
    """TLS with one certificate for all connections of this object."""

    protocol_id = PROTOCOL_ID
    name = "TLS"

    def __init__(
        self,
        libp2p_keypair: KeyPair,
        early_data: bytes | None = None,
        muxers: Sequence[str] | None = None,
        identity_config: object = None,
        enable_autotls: bool = False,
    ) -> None:
        """
        :param early_data: must be None: libp2p's handshake has no place for it.
        :param muxers: see `HandshakeTransport`.
        :param identity_config: must be None: certificates of one's own making are not supported.
        :param enable_autotls: must be False: in py-libp2p it lets peers in that have not proven
            who they are.
        :raises LocalProtocolError: for what must not be.
        """
        if early_data is not None:
            raise LocalProtocolError("libp2p's TLS handshake carries no early data")
        if identity_config is not None:
            raise LocalProtocolError("TLSTransport(identity_config=…) is not supported")
        if enable_autotls:
            raise LocalProtocolError(
                "TLSTransport(enable_autotls=True) is not supported: it is not authenticated"
            )
        super().__init__(libp2p_keypair, muxers)

    def _offer(self, muxers: tuple[TProtocol, ...]) -> None:
        super()._offer(muxers)
        self._endpoint, self._certificate_pem = _new_endpoint(self.local_private_key, muxers)

    def _begin(self, *, is_initiator: bool, expected_peer: ID | None) -> TlsHandshake:
        return self._endpoint.handshake(
            is_initiator=is_initiator, now=time.time(), expected_peer=expected_peer
        )

    def _last_words(self, core: TlsHandshake) -> bytes:
        return core.take_alert()

    def get_protocol_id(self) -> TProtocol:
        """Return ``/tls/1.0.0``."""
        return PROTOCOL_ID

    def get_preferred_muxers(self) -> list[str]:
        """Return the muxers offered within the handshake, most wanted first."""
        return list(self.muxers)

    def get_certificate_pem(self) -> str:
        """Return this side's certificate."""
        return self._certificate_pem


def _new_endpoint(identity_key: PrivateKey, muxers: Sequence[TProtocol]) -> tuple[TlsEndpoint, str]:
    """Make a key and its certificate; return them ready for use, and the certificate as PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import random_serial_number

    from libp2p.security.tls.certificate import make_certificate
    from libp2p.security.tls.handshake import TlsEndpoint

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = make_certificate(
        identity_key, key, now=time.time(), serial_number=random_serial_number()
    )
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return TlsEndpoint(certificate, key, muxers), pem


def create_tls_transport(
    libp2p_keypair: KeyPair,
    early_data: bytes | None = None,
    muxers: Sequence[str] | None = None,
    identity_config: object = None,
) -> TLSTransport:
    """Return a `TLSTransport`, by py-libp2p's name for making one."""
    return TLSTransport(libp2p_keypair, early_data, muxers, identity_config)
