"""Certificates that a library stumbles over, shown to a host that listens and to one that dials."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from cryptography import x509

from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ConnectionFailure, HostException
from libp2p.security.tls.handshake import TlsEndpoint
from libp2p.security.tls.transport import PROTOCOL_ID, TLSTransport
from tests.support.certificates import Recipe, p256_key
from tests.support.hosts import ECHO, LOOPBACK, echo, echoed, info_of, running_host
from tests.support.identities import ed25519_pair

YAMUX = TProtocol("/yamux/1.0.0")
#: In the extension TLSFeature, of which `cryptography` makes an object: a feature that does not
#: exist (KeyError), and no feature at all (TypeError).
VALUES = ["3003020101", "3000"]


def shows(value: str) -> TLSTransport:
    """A peer's TLS with such a certificate."""
    transport = TLSTransport(ed25519_pair("mallory"), muxers=[YAMUX])
    extension = x509.UnrecognizedExtension(x509.TLSFeature.oid, bytes.fromhex(value))
    recipe = Recipe(identity=ed25519_pair("mallory"), now=time.time(), more=((extension, False),))
    transport._endpoint = TlsEndpoint(recipe.make(), p256_key(), [YAMUX])
    return transport


@pytest.mark.parametrize("value", VALUES)
async def test_a_host_goes_on_listening_and_dialling(value: str) -> None:
    mallory = new_host(key_pair=ed25519_pair("mallory"), sec_opt={PROTOCOL_ID: shows(value)})
    async with running_host() as victim, mallory.run(listen_addrs=[LOOPBACK]):
        victim.set_stream_handler(ECHO, echo)
        with pytest.raises(ConnectionFailure, match="malformed"):
            await victim.connect(info_of(mallory))
        # A dialler is refused after its handshake is done here: it may see that late.
        with suppress(HostException):
            await mallory.connect(info_of(victim))
        async with running_host() as honest:
            await honest.connect(info_of(victim))
            stream = await honest.new_stream(victim.get_id(), [ECHO])
            assert await echoed(stream, b"still here") == b"still here"
        assert mallory.get_id() not in victim.get_connected_peers()
