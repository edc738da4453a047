"""
The TLS 1.3 handshake between two memory buffers (sans-I/O).

https://github.com/libp2p/specs/blob/master/tls/tls.md. OpenSSL does the protocol; this
module does libp2p's part: each side sends exactly one certificate, which `certificate` verifies
without any authority, and ALPN names the muxer. OpenSSL gets one record at a time, so that it holds
no bytes that follow the handshake. In the end it returns the secrets that protect the records from
then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Final

from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

from libp2p.exceptions import HandshakeFailure, LocalProtocolError
from libp2p.hostile_input import refused_as
from libp2p.io.message_buffer import MessageBuffer
from libp2p.security.channel import Established
from libp2p.security.tls.certificate import CertifiedIdentity, verify_certificate
from libp2p.security.tls.channel import (
    BAD_CERTIFICATE,
    CIPHER_SUITES,
    HEADER_BYTES,
    TlsChannel,
    plain_alert,
    seal_alert,
)
from libp2p.utils.faults import without_traceback

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate
    from OpenSSL.crypto import X509

    from libp2p.base_types import Buffer, TProtocol
    from libp2p.peer.id import ID

#: The name in ALPN for "the muxer is negotiated after the handshake".
ALPN_PROTOCOL: Final = b"libp2p"

#: Bytes that a peer may send before it is authenticated. The largest honest flight, with RSA keys
#: of 8192 bits in every place, stays under 8 KiB.
MAX_HANDSHAKE_BYTES: Final = 16 * 1024

#: Record types: change_cipher_spec, alert, handshake, application_data.
_CONTENT_TYPES: Final = range(20, 24)

#: OpenSSL's names for the two secrets of the connection, and for the one that protects a client's
#: handshake messages.
_CLIENT_SECRET: Final = b"CLIENT_TRAFFIC_SECRET_0"
_SERVER_SECRET: Final = b"SERVER_TRAFFIC_SECRET_0"
_CLIENT_HANDSHAKE_SECRET: Final = b"CLIENT_HANDSHAKE_TRAFFIC_SECRET"


class _Findings:
    """
    The data of one connection for OpenSSL's callbacks, and their results.

    They store an error instead of raising it: pyOpenSSL would keep it for the whole context.
    """

    __slots__ = ("_expected_peer", "_now", "failure", "remote", "secrets")

    def __init__(self, now: float, expected_peer: ID | None) -> None:
        self._now = now
        self._expected_peer = expected_peer
        self.remote: CertifiedIdentity | None = None
        self.failure: HandshakeFailure | None = None
        self.secrets: dict[bytes, bytes] = {}

    def refuse(self, reason: str) -> HandshakeFailure:
        self.failure = HandshakeFailure(reason)
        return self.failure

    def accept(self, certificate: X509, depth: int) -> bool:
        """Return whether a certificate is right; OpenSSL calls this again for each objection."""
        if self.failure is not None or (self.remote is not None and depth == 0):
            return self.failure is None
        try:
            with refused_as(HandshakeFailure, "the peer's certificate cannot be verified"):
                if depth:
                    # Verifying a chain is slow, and OpenSSL begins with the issuers.
                    raise self.refuse("the peer sent certificates besides its own")
                der = dump_certificate(FILETYPE_ASN1, certificate)
                self.remote = verify_certificate(
                    der, now=self._now, expected_peer=self._expected_peer
                )
        except HandshakeFailure as error:
            self.failure = without_traceback(error)
        return self.failure is None


def _on_certificate(
    connection: SSL.Connection, certificate: X509, _error: int, depth: int, _ok: int
) -> bool:
    """Verify the peer's certificate in place of OpenSSL."""
    findings: _Findings = connection.get_app_data()
    return findings.accept(certificate, depth)


def _on_secret(connection: SSL.Connection, line: bytes) -> None:
    """Store a secret: ``line`` has its name, the connection's random number and its hex form."""
    findings: _Findings = connection.get_app_data()
    name, _, secret = line.split()
    findings.secrets[name] = bytes.fromhex(secret.decode())


class TlsEndpoint:
    """The certificate and settings that all connections of one identity share."""

    def __init__(
        self,
        certificate: Certificate,
        certificate_key: EllipticCurvePrivateKey,
        muxers: Sequence[TProtocol] = (),
    ) -> None:
        """
        :param muxers: what to offer by ALPN, most wanted first.
        :raises LocalProtocolError: if a muxer's name does not fit into ALPN.
        """
        self._muxers = {muxer.encode(): muxer for muxer in muxers}
        self._protocols = (*self._muxers, ALPN_PROTOCOL)
        if not all(0 < len(protocol) < 256 for protocol in self._protocols):
            raise LocalProtocolError("a muxer's name must have 1 to 255 bytes to be offered in TLS")
        self._context = context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(":".join(CIPHER_SUITES).encode())
        # Resuming would skip the certificates.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
        context.use_certificate(certificate)
        context.use_privatekey(certificate_key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_certificate)
        context.set_keylog_callback(_on_secret)
        context.set_alpn_protos(list(self._protocols))
        context.set_alpn_select_callback(self._select)

    def _select(self, _connection: SSL.Connection, offered: list[bytes]) -> bytes:
        """Return the client's most wanted protocol that this side supports too."""
        for protocol in offered:
            if protocol in self._protocols:
                return protocol
        raise HandshakeFailure("the peer offers no muxer by ALPN that is offered here")

    def handshake(
        self, *, is_initiator: bool, now: float, expected_peer: ID | None = None
    ) -> TlsHandshake:
        """
        Begin a connection.

        :param now: the time of day, in seconds since 1970.
        :param expected_peer: the peer that was dialled; None on the side that was dialled.
        """
        connection = SSL.Connection(self._context, None)
        if is_initiator:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        findings = _Findings(now, expected_peer)
        connection.set_app_data(findings)
        return TlsHandshake(connection, findings, self._muxers, is_initiator=is_initiator)


class TlsHandshake:
    """One side of the handshake; see `HandshakeCore`."""

    def __init__(
        self,
        connection: SSL.Connection,
        findings: _Findings,
        muxers: Mapping[bytes, TProtocol],
        *,
        is_initiator: bool,
    ) -> None:
        self._connection = connection
        self._findings = findings
        self._muxers = muxers
        self._is_initiator = is_initiator
        self._received = MessageBuffer()
        self._taken_bytes = 0
        self._alert = b""
        self._is_over = False

    def start(self) -> bytes:
        """Return the bytes to send before anything is received."""
        if not self._is_initiator:
            return b""
        self._advance()
        return self._take_output()

    def receive(self, buffers: Iterable[Buffer]) -> tuple[bytes, Established | None]:
        """
        Receive bytes of the peer.

        :return: bytes to send, and the result once there is one.
        :raises HandshakeFailure: or one of its kinds, see `verify_certificate`; there may be
            an alert to send then, see `take_alert`.
        """
        if self._is_over:
            raise LocalProtocolError("this handshake is over")
        self._received.feed(buffers)
        while (record := self._received.next_message(self._record_extent)) is not None:
            self._taken_bytes += len(record)
            if established := self._advance(record):
                # A server's OpenSSL writes tickets, whatever its options are. They are not sent,
                # so the count of records begins at 0.
                return self._take_output() if self._is_initiator else b"", established
        return self._take_output(), None

    def take_leftover(self) -> bytes:
        """Remove and return the bytes received after the handshake: application records."""
        return self._received.take_leftover()

    def take_alert(self) -> bytes:
        """Remove and return the alert to send after a failure, if there is one."""
        alert, self._alert = self._alert, b""
        return alert

    def _record_extent(self, data: bytearray) -> tuple[int, int] | None:
        """
        Return where the first record of ``data`` starts and ends; None without its header.

        :raises HandshakeFailure: if it is malformed, or longer than any handshake needs.
        """
        if data[0] not in _CONTENT_TYPES:
            raise HandshakeFailure("what the peer sent is not TLS")
        if len(data) < HEADER_BYTES:
            return None
        size = HEADER_BYTES + int.from_bytes(data[3:HEADER_BYTES])
        if self._taken_bytes + size > MAX_HANDSHAKE_BYTES:
            raise HandshakeFailure(
                f"a TLS handshake of more than {MAX_HANDSHAKE_BYTES} bytes is not allowed"
            )
        return 0, size

    def _advance(self, record: bytes = b"") -> Established | None:
        """
        Let OpenSSL take the next step; return the result of the handshake if it is done.

        :raises HandshakeFailure: if it failed; `take_alert` then returns the alert.
        """
        try:
            with refused_as(HandshakeFailure, "TLS handshake"):
                done = self._step(record)
                established = self._established() if done else None
        except HandshakeFailure:
            self._is_over = True
            self._alert = self._own_alert() or self._take_output()
            if self._findings.failure is None:
                raise
            raise copy(self._findings.failure) from self._findings.failure.__cause__
        self._is_over = done
        return established

    def _step(self, record: bytes) -> bool:
        try:
            if record:
                self._connection.bio_write(record)
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise HandshakeFailure(f"TLS handshake: {_reason(error)}") from error
        return True

    def _own_alert(self) -> bytes:
        """
        Return the alert for a refused certificate; nothing if it was not refused.

        OpenSSL's own alert would be about the self-signed certificate. This is the first record
        under these keys. A client has no keys before its second flight; until then its alerts are
        not encrypted.
        """
        if self._findings.failure is None:
            return b""
        name = _CLIENT_HANDSHAKE_SECRET if self._is_initiator else _SERVER_SECRET
        secret = self._findings.secrets.get(name)
        suite = CIPHER_SUITES.get(self._connection.get_cipher_name() or "")
        if secret is None or suite is None:
            return plain_alert(BAD_CERTIFICATE)
        return seal_alert(suite, secret, BAD_CERTIFICATE)

    def _take_output(self) -> bytes:
        return _output(self._connection)

    def _established(self) -> Established:
        connection = self._connection
        # OpenSSL returns the whole chain on a client, the chain without the leaf on a server.
        chain = connection.get_peer_cert_chain() or ()
        others = len(chain[1:] if self._is_initiator else chain)
        if others:
            raise self._findings.refuse(f"the peer sent {others} certificates besides its own")
        remote = self._findings.remote
        if remote is None:
            raise self._findings.refuse("the peer's certificate was not verified")
        # Nothing, or ALPN_PROTOCOL, leaves the muxer open.
        muxer = self._muxers.get(connection.get_alpn_proto_negotiated())
        return Established(self._channel(), remote, muxer)

    def _channel(self) -> TlsChannel:
        suite = CIPHER_SUITES[self._connection.get_cipher_name() or ""]
        secrets = self._findings.secrets
        own, remote = secrets[_CLIENT_SECRET], secrets[_SERVER_SECRET]
        return TlsChannel(
            suite,
            *((own, remote) if self._is_initiator else (remote, own)),
            is_initiator=self._is_initiator,
        )


def _output(connection: SSL.Connection) -> bytes:
    """Return the bytes that OpenSSL wants to send."""
    try:
        return connection.bio_read(MAX_HANDSHAKE_BYTES)
    except SSL.WantReadError:
        return b""


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's text of an error: its queue of (library, function, reason)."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else ()
    return "; ".join(reason for *_, reason in queue) or type(error).__name__
