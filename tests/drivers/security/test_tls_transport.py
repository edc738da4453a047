from __future__ import annotations

import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

import libp2p.security.tls
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    ConnectionClosedError,
    HandshakeFailure,
    InvalidSignature,
    LocalProtocolError,
    PeerIDMismatchesPubkey,
)
from libp2p.security.tls import exceptions as tls_exceptions
from libp2p.security.tls.transport import (
    ALPN_PROTOCOL,
    PROTOCOL_ID,
    TLSTransport,
    create_tls_transport,
)
from tests.support.channels import connection_pair
from tests.support.handshakes import shake_hands
from tests.support.identities import ed25519_pair, peer_id_of

if TYPE_CHECKING:
    from libp2p.security.secure_session import SecureSession

YAMUX = TProtocol("/yamux/1.0.0")
MPLEX = TProtocol("/mplex/6.7.0")
ALICE, BOB = TLSTransport(ed25519_pair("alice")), TLSTransport(ed25519_pair("bob"))


def test_the_protocol_id() -> None:
    assert PROTOCOL_ID == ALICE.get_protocol_id() == "/tls/1.0.0"
    assert ALPN_PROTOCOL == "libp2p"


async def test_without_muxers_the_muxer_is_left_open() -> None:
    bob = TLSTransport(ed25519_pair("bob"), muxers=[YAMUX])
    at_alice, at_bob = await shake_hands(ALICE, bob)
    assert at_alice.early_muxer is None
    assert at_bob.early_muxer is None


async def test_the_muxer_is_agreed_on_within_the_handshake_if_both_offer_some() -> None:
    alice = create_tls_transport(ed25519_pair("alice"), muxers=[YAMUX, MPLEX])
    bob = create_tls_transport(ed25519_pair("bob"), muxers=[MPLEX, YAMUX])
    assert alice.get_preferred_muxers() == [YAMUX, MPLEX]
    at_alice, at_bob = await shake_hands(alice, bob)
    assert at_alice.early_muxer == at_bob.early_muxer == YAMUX


async def test_no_peer_need_be_named() -> None:
    at_alice, _ = await shake_hands(ALICE, BOB)
    assert at_alice.get_remote_peer() == peer_id_of("bob")


async def test_handshakes_of_one_transport_do_not_mix() -> None:
    carol = TLSTransport(ed25519_pair("carol"))
    found: list[tuple[SecureSession, SecureSession]] = []

    async def meet(listener: TLSTransport) -> None:
        found.append(await shake_hands(ALICE, listener))

    async with trio.open_nursery() as nursery:
        for turn in range(10):
            nursery.start_soon(meet, carol if turn % 2 else BOB)
    for at_alice, at_listener in found:
        assert at_alice.get_remote_peer() == at_listener.get_local_peer()
        assert at_listener.get_remote_peer() == peer_id_of("alice")
        await at_alice.write(b"hello")
        assert await at_listener.receive() == [b"hello"]
    assert {at_alice.get_remote_peer() for at_alice, _ in found} == {
        peer_id_of("bob"),
        peer_id_of("carol"),
    }


async def test_who_is_refused_is_told_so() -> None:
    dialler, listener = connection_pair()
    failures: list[HandshakeFailure] = []

    async def listen() -> None:
        with pytest.raises(HandshakeFailure, match="alert") as caught:
            await BOB.secure_inbound(listener)
        failures.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        with pytest.raises(PeerIDMismatchesPubkey):
            await ALICE.secure_outbound(dialler, peer_id_of("carol"))
    assert len(failures) == 1


async def test_who_left_is_not_told_anything() -> None:
    dialler, listener = connection_pair()
    await dialler.send([b"\x16\x03\x01\x00\x04junk"])
    listener.shutdown_write()
    with pytest.raises(HandshakeFailure, match="TLS handshake: "):
        await BOB.secure_inbound(listener)


async def test_a_dialler_learns_that_it_was_refused_when_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as in_the_year_2096:
        in_the_year_2096.setattr(time, "time", lambda: 4e9)
        alice = TLSTransport(ed25519_pair("alice"))
    dialler, listener = connection_pair()

    async def listen() -> None:
        with pytest.raises(HandshakeFailure, match="not valid yet"):
            await BOB.secure_inbound(listener)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        session = await alice.secure_outbound(dialler, peer_id_of("bob"))
        with pytest.raises(ConnectionClosedError, match="alert"):
            await session.receive()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"early_data": b"early"}, "early data"),
        ({"identity_config": object()}, "identity_config"),
        ({"enable_autotls": True}, "enable_autotls"),
    ],
)
def test_what_is_not_supported_is_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(LocalProtocolError, match=name):
        TLSTransport(ed25519_pair("alice"), **options)


def test_the_certificate_can_be_looked_at() -> None:
    pem = ALICE.get_certificate_pem()
    assert ssl.PEM_cert_to_DER_cert(pem)
    assert pem != BOB.get_certificate_pem()


def test_py_libp2ps_names_of_the_errors() -> None:
    assert tls_exceptions.InvalidSignature is InvalidSignature
    assert tls_exceptions.TLSHandshakeFailure is HandshakeFailure
    assert tls_exceptions.MissingLibp2pExtensionError is HandshakeFailure


def test_the_package_has_the_transport() -> None:
    assert libp2p.security.tls.TLSTransport is TLSTransport
    assert libp2p.security.tls.PROTOCOL_ID == PROTOCOL_ID


@pytest.mark.slow
def test_openssls_bindings_are_not_loaded_before_there_is_a_transport() -> None:
    program = (
        "import sys, libp2p.security.tls.transport; assert 'OpenSSL' not in sys.modules;"
        "from libp2p.crypto.ed25519 import create_new_key_pair;"
        "libp2p.security.tls.transport.TLSTransport(create_new_key_pair());"
        "assert 'OpenSSL' in sys.modules"
    )
    subprocess.run([sys.executable, "-bb", "-c", program], check=True)
