"""Type aliases shared by all layers; no behaviour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NewType, TypeAlias

if TYPE_CHECKING:
    from libp2p.abc import IMuxedConn, INetStream, ISecureTransport

#: A protocol id as multistream-select carries it, for example ``/ipfs/ping/1.0.0``.
TProtocol = NewType("TProtocol", str)

#: What may travel between layers: immutable bytes, or a view into them.
Buffer: TypeAlias = bytes | bytearray | memoryview

StreamHandlerFn: TypeAlias = "Callable[[INetStream], Awaitable[None]]"
TSecurityOptions: TypeAlias = "Mapping[TProtocol, ISecureTransport]"
TMuxerClass: TypeAlias = "type[IMuxedConn]"
TMuxerOptions: TypeAlias = "Mapping[TProtocol, TMuxerClass]"

#: What a peer store keeps under a name for a peer.
MetadataValue: TypeAlias = str | int | float | bool | None
