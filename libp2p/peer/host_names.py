"""
Host names in addresses: which texts are valid, and a codec that makes multiaddr accept them.

multiaddr refuses names that IDNA does not define, such as ``my_node`` (containers have such names)
and ``r3--node``. Resolvers and the other implementations of libp2p accept them.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final

import idna
from multiaddr import codecs

from libp2p.exceptions import InvalidAddrError
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from multiaddr.protocols import Protocol

#: Bytes between two dots of a name (RFC 1035 §2.3.4).
MAX_LABEL_BYTES: Final = 63
#: Bytes of a whole name as text: 255 on the wire (RFC 1035 §2.3.4).
MAX_NAME_BYTES: Final = 253

_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\Z")


def ascii_name(name: str) -> str:
    """
    Return a host name as resolvers know it; one in another script becomes ``xn--…``.

    Names reach resolvers, logs and terminals, so only letters, digits, ``-`` and ``_`` are valid.

    :raises InvalidAddrError: if it is not a valid name; the text says why.
    """
    text = name
    if not name.isascii():
        with refused_as(InvalidAddrError, f"{name!r:.80} is no host name"):
            text = idna.encode(name, uts46=True).decode()
    labels = text.removesuffix(".").split(".")
    if len(text) > MAX_NAME_BYTES + text.endswith("."):
        fault = f"it is longer than {MAX_NAME_BYTES} bytes"
    elif "" in labels:
        fault = "a part of it is empty"
    elif any(len(label) > MAX_LABEL_BYTES for label in labels):
        fault = f"a part of it is longer than {MAX_LABEL_BYTES} bytes"
    elif not all(map(_LABEL.match, labels)):
        fault = "it has characters that no name has"
    else:
        return text
    raise InvalidAddrError(f"{name!r:.80} is no host name: {fault}")


class HostNameCodec(codecs.CodecBase):  # type: ignore[misc]  # multiaddr has no types
    """Reads and writes the names of ``/dns``, ``/dns4``, ``/dns6``, ``/dnsaddr`` and ``/sni``."""

    SIZE = codecs.LENGTH_PREFIXED_VAR_SIZE
    IS_PATH = False

    def to_bytes(self, proto: Protocol, string: str) -> bytes:
        """:raises InvalidAddrError: if it is not a valid name; multiaddr wraps the error."""
        ascii_name(string)
        return string.encode()

    def to_string(self, proto: Protocol, buf: bytes) -> str:
        """:raises InvalidAddrError: as `to_bytes`."""
        name = buf.decode()
        ascii_name(name)
        return name


_CODEC: Final = HostNameCodec()


def set_up_multiaddr() -> None:
    """
    Install `HostNameCodec` in multiaddr, and set multiaddr's logger to INFO, in this process.

    Functions of this library that read addresses call it first; it is not done at import, because
    importing a library must not change another one. At DEBUG multiaddr logs several lines for each
    byte. A level that the program has set is kept.
    """
    # Addresses are `Multiaddr` objects at every public edge, and users make their own: a class
    # of ours would have to be used everywhere. Without the table names are refused as before.
    table: dict[str, Any] = getattr(codecs, "CODEC_CACHE", {})
    if table.get("domain") is _CODEC:
        return
    table["domain"] = _CODEC
    logger = logging.getLogger("multiaddr")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
