"""TLS 1.3 as a security transport; OpenSSL's bindings are loaded when one is made."""

from __future__ import annotations

from libp2p.security.tls.transport import PROTOCOL_ID, TLSTransport

__all__ = ["PROTOCOL_ID", "TLSTransport"]
