"""The handshake between two of us, and with an OpenSSL that knows nothing of libp2p."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from OpenSSL import SSL

from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    ConnectionClosedError,
    HandshakeFailure,
    LocalProtocolError,
    PeerIDMismatchesPubkey,
)
from libp2p.security.tls.channel import CIPHER_SUITES
from libp2p.security.tls.handshake import (
    MAX_HANDSHAKE_BYTES,
    TlsEndpoint,
    TlsHandshake,
    _Findings,
)
from tests.support.certificates import NOW, Recipe, p256_key
from tests.support.ends import Chop, byte_by_byte, chops, whole
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.openssl_peer import OpenSSLPeer, openssl_context, shake_hands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.peer.id import ID
    from libp2p.security.channel import Established

YAMUX, MPLEX = TProtocol("/yamux/1.0.0"), TProtocol("/mplex/6.7.0")
CLIENT, SERVER = Recipe(identity=ed25519_pair("alice")), Recipe(identity=ed25519_pair("bob"))
BULK = bytes(range(256)) * 1000


def endpoint(name: str, muxers: Sequence[TProtocol] = ()) -> TlsEndpoint:
    recipe = Recipe(identity=ed25519_pair(name), key=p256_key(name))
    return TlsEndpoint(recipe.make(), p256_key(name), muxers)


ALICE, BOB = endpoint("alice"), endpoint("bob")


def client(of: TlsEndpoint = ALICE, expected: ID | None = None) -> TlsHandshake:
    return of.handshake(is_initiator=True, now=NOW, expected_peer=expected)


def server(of: TlsEndpoint = BOB) -> TlsHandshake:
    return of.handshake(is_initiator=False, now=NOW)


class Ends(NamedTuple):
    alice: Established
    bob: Established


def join(alice: TlsHandshake, bob: TlsHandshake, chop: Chop = whole) -> Ends:
    """Run both sides to their ends."""
    at_alice = at_bob = None
    to_bob = alice.start()
    assert bob.start() == b""
    while to_bob:
        to_alice = b""
        for piece in chop(to_bob):
            answer, at_bob = bob.receive([piece])
            to_alice += answer
        to_bob = b""
        for piece in chop(to_alice):
            answer, at_alice = alice.receive([piece])
            to_bob += answer
    assert at_alice is not None
    assert at_bob is not None
    return Ends(at_alice, at_bob)


def passes(ends: Ends) -> None:
    """Data goes both ways."""
    for one, other in (ends, ends[::-1]):
        wire = b"".join(one.channel.seal([BULK]))
        plaintexts, used = other.channel.open(memoryview(wire))
        assert (b"".join(plaintexts), used) == (BULK, len(wire))


# -- two of us ------------------------------------------------------------------------------------


def test_both_ends_know_each_other_and_have_keys() -> None:
    ends = join(client(expected=peer_id_of("bob")), server())
    for met, name in ((ends.alice, "bob"), (ends.bob, "alice")):
        assert met.remote.peer_id == peer_id_of(name)
        assert met.remote.public_key == ed25519_pair(name).public_key
    passes(ends)


@given(chops)
def test_any_split_of_the_handshake_gives_the_same(chop: Chop) -> None:
    passes(join(client(), server(), chop))


def test_the_handshake_may_come_byte_by_byte() -> None:
    passes(join(client(), server(), byte_by_byte))


def test_nothing_names_the_server() -> None:
    # Extension 0 of a client's first message, server_name, is kept for later versions of libp2p.
    context = openssl_context(SERVER)
    names: list[bytes | None] = []
    context.set_tlsext_servername_callback(
        lambda connection: names.append(connection.get_servername())
    )
    shake_hands(client(), OpenSSLPeer(context, is_client=False))
    assert names in ([], [None])


def test_the_servers_last_word_is_its_first_flight() -> None:
    alice, bob = client(), server()
    to_alice, _ = bob.receive([alice.start()])
    to_bob, _ = alice.receive([to_alice])
    to_alice, established = bob.receive([to_bob])
    assert established is not None
    assert to_alice == b""


def test_what_comes_behind_the_handshake_is_left_over() -> None:
    alice, bob = client(), server()
    to_alice, _ = bob.receive([alice.start()])
    to_bob, at_alice = alice.receive([to_alice])
    assert at_alice is not None
    first_words = b"".join(at_alice.channel.seal([b"first words"]))
    _, at_bob = bob.receive([to_bob, first_words])
    assert at_bob is not None
    assert bob.take_leftover() == first_words
    assert at_bob.channel.open(memoryview(first_words))[0] == [b"first words"]
    assert bob.take_leftover() == b""


def test_a_handshake_is_over_when_it_is_over() -> None:
    alice, bob = client(), server()
    join(alice, bob)
    for side in (alice, bob):
        with pytest.raises(LocalProtocolError, match="over"):
            side.receive([b"\x16"])


def test_connections_have_keys_of_their_own() -> None:
    first, second = (join(client(), server()) for _ in range(2))
    wire = b"".join(first.alice.channel.seal([b"hello"]))
    assert wire != b"".join(second.alice.channel.seal([b"hello"]))


# -- the muxer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "servers", "agreed"),
    [
        ([], [], None),
        ([YAMUX], [], None),
        ([], [YAMUX], None),
        ([YAMUX], [YAMUX], YAMUX),
        ([YAMUX, MPLEX], [MPLEX, YAMUX], YAMUX),
        ([MPLEX, YAMUX], [YAMUX], YAMUX),
        ([MPLEX], [YAMUX], None),
    ],
)
def test_the_clients_most_wanted_muxer_that_the_server_has(
    clients: list[TProtocol], servers: list[TProtocol], agreed: TProtocol | None
) -> None:
    ends = join(client(endpoint("alice", clients)), server(endpoint("bob", servers)))
    assert ends.alice.early_muxer == ends.bob.early_muxer == agreed


@pytest.mark.parametrize("name", ["", "/" * 256])
def test_a_muxer_that_cannot_be_named_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="1 to 255"):
        endpoint("alice", [TProtocol(name)])


def test_a_client_without_alpn_negotiates_the_muxer_later() -> None:
    peer = OpenSSLPeer(openssl_context(CLIENT), is_client=True)
    bob = server(endpoint("bob", [YAMUX]))
    assert meets_client(bob, peer).early_muxer is None
    assert peer.connection.get_alpn_proto_negotiated() == b""


def test_a_server_without_alpn_negotiates_the_muxer_later() -> None:
    peer = OpenSSLPeer(openssl_context(SERVER), is_client=False)
    assert shake_hands(client(endpoint("alice", [YAMUX])), peer).early_muxer is None


def test_a_client_that_offers_only_what_is_not_here_is_refused() -> None:
    context = openssl_context(CLIENT)
    context.set_alpn_protos([b"h2", b"http/1.1"])
    refused(context, "no muxer by ALPN", "no application protocol")


def test_a_server_that_selects_what_was_not_offered_is_refused() -> None:
    context = openssl_context(SERVER)
    context.set_alpn_select_callback(lambda *_: b"/mplex/6.7.0")
    with pytest.raises(HandshakeFailure):
        shake_hands(client(), OpenSSLPeer(context, is_client=False))


# -- OpenSSL --------------------------------------------------------------------------------------


def meets_client(ours: TlsHandshake, peer: OpenSSLPeer) -> Established:
    """Let our server meet OpenSSL's client."""
    to_peer, _ = ours.receive([peer.receive(b"")])
    _, established = ours.receive([peer.receive(to_peer)])
    assert established is not None
    return established


@pytest.mark.parametrize("suite", CIPHER_SUITES)
def test_openssl_understands_the_records_and_is_understood(suite: str) -> None:
    for peer_is_client in (False, True):
        context = openssl_context(CLIENT if peer_is_client else SERVER)
        context.set_tls13_ciphersuites(suite.encode())
        peer = OpenSSLPeer(context, is_client=peer_is_client)
        meets = meets_client(server(), peer) if peer_is_client else shake_hands(client(), peer)
        channel = meets.channel
        for size in (1, 16_384, 100_000):
            wire = peer.seal(BULK[:size])
            plaintexts, used = channel.open(memoryview(wire))
            assert (b"".join(plaintexts), used) == (BULK[:size], len(wire))
            assert peer.open(b"".join(channel.seal([BULK[:size]]))) == BULK[:size]


def test_openssls_close_notify_is_understood() -> None:
    peer = OpenSSLPeer(openssl_context(SERVER), is_client=False)
    established = shake_hands(client(), peer)
    wire = peer.seal(b"bye")
    peer.connection.shutdown()
    wire += peer.take_output()
    assert established.channel.open(memoryview(wire)) == ([b"bye"], len(wire))


def test_a_client_learns_that_it_was_refused_when_it_reads() -> None:
    peer = OpenSSLPeer(openssl_context(SERVER, refuse_peer=True), is_client=False)
    alice = client()
    to_peer, established = alice.receive([peer.receive(alice.start())])
    assert established is not None
    alert = peer.receive(to_peer)
    assert peer.failure is not None
    with pytest.raises(ConnectionClosedError, match="alert"):
        established.channel.open(memoryview(alert))


def test_a_session_is_never_resumed() -> None:
    context = openssl_context(CLIENT)
    first = OpenSSLPeer(context, is_client=True)
    meets_client(server(), first)
    again = OpenSSLPeer(context, is_client=True)
    session = first.connection.get_session()
    assert session is not None
    again.connection.set_session(session)
    assert meets_client(server(), again).remote.peer_id == peer_id_of("alice")


# -- who is refused -------------------------------------------------------------------------------


def refused(context: SSL.Context, ours: str, theirs: str) -> None:
    """Our server refuses a client of this context, for our reason, and it reads theirs."""
    peer, bob = OpenSSLPeer(context, is_client=True), server()
    with pytest.raises(HandshakeFailure, match=ours):
        meets_client(bob, peer)
    alert = bob.take_alert()
    assert bob.take_alert() == b""
    peer.receive(alert)
    if peer.is_done:
        with pytest.raises(SSL.Error, match=theirs):
            peer.connection.recv(1)
    else:
        assert theirs in peer.reasons()


def test_a_client_without_certificate_is_refused() -> None:
    refused(openssl_context(None), "did not return a certificate", "certificate required")


def test_a_client_of_tls_1_2_is_refused() -> None:
    context = openssl_context(CLIENT)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    refused(context, "unsupported protocol", "alert protocol version")


def with_tls_feature(value: str) -> Recipe:
    """A certificate with this value in an extension that `cryptography` makes an object of."""
    extension = x509.UnrecognizedExtension(x509.TLSFeature.oid, bytes.fromhex(value))
    return CLIENT.but(more=((extension, False),))


BAD = {
    "expired": (CLIENT.but(ends=-CLIENT.ends), "expired"),
    "no extension": (CLIENT.but(with_libp2p=False), "no libp2p extension"),
    "not self-signed": (CLIENT.but(signing_key=p256_key("other")), "not signed with its own key"),
    "a KeyError of cryptography's": (with_tls_feature("3003020101"), "malformed: KeyError"),
    "a TypeError of cryptography's": (with_tls_feature("3000"), "malformed: TypeError"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_client_with_a_bad_certificate_is_refused(name: str) -> None:
    recipe, reason = BAD[name]
    refused(openssl_context(recipe.but(begins=-10 * CLIENT.ends)), reason, "bad certificate")


@pytest.mark.parametrize("name", BAD)
def test_a_server_with_a_bad_certificate_is_refused(name: str) -> None:
    recipe, reason = BAD[name]
    context = openssl_context(recipe.but(begins=-10 * CLIENT.ends))
    peer, alice = OpenSSLPeer(context, is_client=False), client()
    with pytest.raises(HandshakeFailure, match=reason):
        alice.receive([peer.receive(alice.start())])
    peer.receive(alice.take_alert())
    assert "alert bad certificate" in peer.reasons()


def test_a_refused_certificate_says_nothing_to_the_next_connection() -> None:
    of = endpoint("bob")
    for name in BAD:
        recipe, reason = BAD[name]
        peer = OpenSSLPeer(openssl_context(recipe), is_client=True)
        with pytest.raises(HandshakeFailure, match=reason):
            meets_client(server(of), peer)
        passes(join(client(), server(of)))


def test_another_peer_than_the_dialled_one_is_refused() -> None:
    peer, alice = (
        OpenSSLPeer(openssl_context(SERVER), is_client=False),
        client(expected=peer_id_of("carol")),
    )
    with pytest.raises(PeerIDMismatchesPubkey, match=str(peer_id_of("bob"))):
        alice.receive([peer.receive(alice.start())])
    # It does not learn who dialled.
    peer.receive(alice.take_alert())
    assert peer.connection.get_peer_certificate() is None


CHAINS = {
    "somebody's": Recipe(identity=ed25519_pair("carol"), key=p256_key("carol"), subject="carol"),
    "its issuer's": Recipe(key=p256_key("certificate")),
}
BESIDES = "certificates besides its own"


@pytest.mark.parametrize("name", CHAINS)
def test_a_client_with_two_certificates_is_refused(name: str) -> None:
    context = openssl_context(CLIENT, [CHAINS[name].make()])
    refused(context, BESIDES, "bad certificate")


@pytest.mark.parametrize("name", CHAINS)
def test_a_server_with_two_certificates_is_refused(name: str) -> None:
    context = openssl_context(SERVER, [CHAINS[name].make()])
    peer, alice = OpenSSLPeer(context, is_client=False), client()
    with pytest.raises(HandshakeFailure, match=BESIDES):
        alice.receive([peer.receive(alice.start())])
    peer.receive(alice.take_alert())
    assert "alert bad certificate" in peer.reasons()


def test_a_certificate_from_an_authority_is_refused() -> None:
    authority = CHAINS["somebody's"]
    issued = SERVER.but(issuer=authority.subject, signing_key=authority.key)
    peer = OpenSSLPeer(openssl_context(issued, [authority.make()]), is_client=False)
    with pytest.raises(HandshakeFailure, match=BESIDES):
        shake_hands(client(), peer)
    alone = OpenSSLPeer(openssl_context(issued), is_client=False)
    with pytest.raises(HandshakeFailure, match="not signed with its own key"):
        shake_hands(client(), alone)


class SlowKey:
    """An RSA key that takes a hundred times as long to verify with, and cannot sign."""

    def public_key(self) -> rsa.RSAPublicKey:
        return rsa.RSAPublicNumbers(e=2**64 - 1, n=2**16383 + 2**64 + 1).public_key()


def test_no_certificate_of_a_chain_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    constraints: Any = ((x509.BasicConstraints(ca=True, path_length=None), True),)
    signer = rsa.generate_private_key(65_537, 2048)
    slow = Recipe(key=SlowKey(), signing_key=signer, with_libp2p=False, more=constraints)  # type: ignore[arg-type]
    chain = [
        slow.but(subject=f"ca {height}", issuer=f"ca {min(height + 1, 2)}").make()
        for height in range(3)
    ]
    asked: list[int] = []
    accept = _Findings.accept

    def noting(findings: _Findings, certificate: Any, depth: int) -> bool:
        asked.append(depth)
        return accept(findings, certificate, depth)

    monkeypatch.setattr(_Findings, "accept", noting)
    leaf = CLIENT.but(issuer="ca 0", signing_key=signer)
    refused(openssl_context(leaf, chain), BESIDES, "bad certificate")
    assert len(asked) == 1


def test_no_certificate_goes_without_being_verified() -> None:
    alice = client()

    class Blind(_Findings):
        """Sees nothing, so nothing is found."""

        def accept(self, certificate: object, depth: int) -> bool:
            return True

    blind = Blind(NOW, None)
    alice._findings = blind
    alice._connection.set_app_data(blind)
    peer = OpenSSLPeer(openssl_context(SERVER), is_client=False)
    with pytest.raises(HandshakeFailure, match="not verified"):
        alice.receive([peer.receive(alice.start())])


# -- what OpenSSL must not do ---------------------------------------------------------------------


def test_secrets_that_never_come_fail_the_handshake() -> None:
    class Deaf(_Findings):
        """Is told no secrets."""

    alice = client()
    deaf = Deaf(NOW, None)
    deaf.secrets = type("Nothing", (dict,), {"__setitem__": lambda *_: None})()
    alice._findings = deaf
    alice._connection.set_app_data(deaf)
    peer = OpenSSLPeer(openssl_context(SERVER), is_client=False)
    with pytest.raises(HandshakeFailure, match="KeyError"):
        alice.receive([peer.receive(alice.start())])


@pytest.mark.parametrize(
    "error",
    [SSL.SysCallError(-1, "Unexpected EOF"), SSL.ZeroReturnError(), SSL.Error(), RecursionError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_openssl_raises_fails_the_handshake(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SSL.Connection) -> None:
        raise error

    monkeypatch.setattr(SSL.Connection, "do_handshake", fail)
    with pytest.raises(HandshakeFailure, match=type(error).__name__):
        server().receive([b"\x16\x03\x01\x00\x01\x01"])


def test_whatever_a_certificate_makes_a_library_raise_fails_the_handshake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("libp2p.security.tls.handshake.dump_certificate", fail)
    refused(openssl_context(CLIENT), "MemoryError", "bad certificate")


# -- what is no handshake -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage", [b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x13/multistream/1.0.0\n"]
)
def test_what_is_not_tls_is_refused_at_its_first_byte(garbage: bytes) -> None:
    for side in (client(), server()):
        side.start()
        with pytest.raises(HandshakeFailure, match="not TLS"):
            side.receive([garbage])


def test_records_with_garbage_in_them_are_refused() -> None:
    for side in (client(), server()):
        side.start()
        with pytest.raises(HandshakeFailure, match="TLS handshake: "):
            side.receive([b"\x16\x03\x01\x00\x04junk"])
        assert side.take_alert()[:1] == b"\x15"


def test_an_alert_ends_the_handshake() -> None:
    for alert, reason in ((b"\x02\x28", "handshake failure"), (b"\x01\x00", "TLS handshake")):
        alice = client()
        alice.start()
        with pytest.raises(HandshakeFailure, match=reason):
            alice.receive([b"\x15\x03\x03\x00\x02" + alert])


def test_a_handshake_that_is_too_long_is_refused_before_it_is_there() -> None:
    header = b"\x16\x03\x01" + (MAX_HANDSHAKE_BYTES - 5).to_bytes(2)
    assert server().receive([header]) == (b"", None)
    with pytest.raises(HandshakeFailure, match="16384 bytes"):
        server().receive([b"\x16\x03\x01" + (MAX_HANDSHAKE_BYTES - 4).to_bytes(2)])


def test_many_small_records_count_together() -> None:
    bob = server()
    # A first message that never ends, five bytes of overhead to each of its bytes.
    record = b"\x16\x03\x01\x00\x04\x01\x00\xff\xff", b"\x16\x03\x01\x00\x01\x00"
    bob.receive([record[0]])
    with pytest.raises(HandshakeFailure):
        bob.receive([record[1] * MAX_HANDSHAKE_BYTES])
    assert len(bob.take_leftover()) > 5 * MAX_HANDSHAKE_BYTES - MAX_HANDSHAKE_BYTES


def test_certificates_are_shown_as_they_are() -> None:
    peer = OpenSSLPeer(openssl_context(SERVER), is_client=False)
    shake_hands(client(), peer)
    shown = peer.connection.get_peer_certificate(as_cryptography=True)
    assert shown is not None
    assert shown.public_bytes(Encoding.DER)
    assert shown.public_key() == p256_key("alice").public_key()
