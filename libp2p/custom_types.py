"""py-libp2p's name of the type aliases; the library itself takes them from where they are."""

from __future__ import annotations

from libp2p.abc import StreamHandlerFn, THandler, TMuxerClass, TMuxerOptions, TSecurityOptions
from libp2p.base_types import Buffer, MetadataValue, TProtocol

__all__ = [
    "Buffer",
    "MetadataValue",
    "StreamHandlerFn",
    "THandler",
    "TMuxerClass",
    "TMuxerOptions",
    "TProtocol",
    "TSecurityOptions",
]
