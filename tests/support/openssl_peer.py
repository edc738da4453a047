"""A TLS peer that is all OpenSSL: it checks nothing of libp2p and can be told to do wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from OpenSSL import SSL

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from libp2p.security.channel import Established
    from libp2p.security.tls.handshake import TlsHandshake
    from tests.support.certificates import Recipe


def openssl_context(
    recipe: Recipe | None, chain: Sequence[Certificate] = (), *, refuse_peer: bool = False
) -> SSL.Context:
    """A context with the recipe's certificate, or none, that accepts or refuses whoever comes."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: not refuse_peer
    )
    if recipe is not None:
        context.use_certificate(recipe.make())
        context.use_privatekey(recipe.key)  # type: ignore[arg-type]  # never X25519 and such
    for certificate in chain:
        context.add_extra_chain_cert(certificate)
    return context


class OpenSSLPeer:
    """One connection of such a peer."""

    def __init__(self, context: SSL.Context, *, is_client: bool) -> None:
        self.connection = SSL.Connection(context, None)
        if is_client:
            self.connection.set_connect_state()
        else:
            self.connection.set_accept_state()
        self.is_done = False
        self.failure: SSL.Error | None = None

    def receive(self, data: bytes) -> bytes:
        """Take in bytes during the handshake; return what OpenSSL has to say to them."""
        if data:
            self.connection.bio_write(data)
        if not self.is_done and self.failure is None:
            try:
                self.connection.do_handshake()
                self.is_done = True
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self.failure = error
        return self.take_output()

    def take_output(self) -> bytes:
        try:
            return self.connection.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def seal(self, data: bytes) -> bytes:
        self.connection.sendall(data)
        return self.take_output()

    def open(self, data: bytes) -> bytes:
        self.connection.bio_write(data)
        plaintext = b""
        while True:
            try:
                plaintext += self.connection.recv(1 << 16)
            except SSL.WantReadError:
                return plaintext

    def reasons(self) -> str:
        """Why the handshake failed, in OpenSSL's words."""
        assert self.failure is not None
        return str(self.failure)


Tap = Callable[[bytes], bytes]


def shake_hands(ours: TlsHandshake, peer: OpenSSLPeer, tap: Tap = bytes) -> Established:
    """
    Let our handshake meet OpenSSL's, to our end of it and to the peer's.

    ``tap`` sees, and may change, what the peer sends.
    """
    established = None
    from_peer = tap(peer.receive(ours.start()))
    for _ in range(4):
        if from_peer and established is None:
            to_peer, established = ours.receive([from_peer])
            from_peer = tap(peer.receive(to_peer))
    assert established is not None
    if from_peer:  # tickets
        established.channel.open(memoryview(from_peer))
    return established
