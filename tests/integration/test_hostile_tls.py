"""Peers that break TLS, end to end: a listening and a dialling host go on, and the peer is told."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
import trio
from cryptography import x509

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    ConnectionClosedError,
    ConnectionFailure,
    HostException,
    IOException,
)
from libp2p.security.tls.handshake import TlsEndpoint
from libp2p.security.tls.transport import PROTOCOL_ID, TLSTransport
from tests.support.certificates import Recipe, p256_key
from tests.support.hosts import ECHO, LOOPBACK, echo, echoed, info_of, running_host
from tests.support.identities import ed25519_pair
from tests.support.raw_dialler import RawDialler, raw_dialler

MIB = 1024 * 1024
#: More than the buffers of two sockets hold.
MAX_PUSHED = 64 * MIB

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


async def drain(peer: RawDialler) -> None:
    while await peer.session.receive():
        pass


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


async def test_a_peer_that_has_said_close_notify_is_let_go_whatever_it_sends() -> None:
    async with (
        running_host() as victim,
        raw_dialler(victim.get_transport_addrs()[0], victim.get_id()) as peer,
    ):
        wire, pushed = peer.session.raw_conn, 0
        wire.send_some(peer.session._channel.close())
        with suppress(IOException):  # it is reset when it goes on
            while pushed < MAX_PUSHED:
                pushed += MIB - sum(map(len, wire.send_some([bytes(MIB)])))
                await wire.wait_writable()
        assert pushed < MAX_PUSHED


async def test_a_peer_that_has_said_close_notify_and_stays_is_let_go() -> None:
    async with (
        running_host() as victim,
        raw_dialler(victim.get_transport_addrs()[0], victim.get_id()) as peer,
    ):
        peer.session.raw_conn.send_some(peer.session._channel.close())
        with trio.fail_after(5):
            await drain(peer)
        assert peer.session._channel.ended, "it is told that nothing more comes"


async def test_a_peer_that_breaks_a_record_is_told_so() -> None:
    async with (
        running_host() as victim,
        raw_dialler(victim.get_transport_addrs()[0], victim.get_id()) as peer,
    ):
        peer.session.raw_conn.send_some([b"\x17\x03\x03\x00\x14" + bytes(20)])
        with trio.fail_after(5), pytest.raises(ConnectionClosedError, match="bad record mac"):
            await drain(peer)
