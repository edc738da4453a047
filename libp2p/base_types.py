"""Type aliases shared by all layers; no behaviour."""

from __future__ import annotations

from typing import NewType, TypeAlias

#: A protocol id as multistream-select carries it, for example ``/ipfs/ping/1.0.0``.
TProtocol = NewType("TProtocol", str)

#: What may travel between layers: immutable bytes, or a view into them.
Buffer: TypeAlias = bytes | bytearray | memoryview

#: What a peer store keeps under a name for a peer.
MetadataValue: TypeAlias = str | int | float | bool | None
