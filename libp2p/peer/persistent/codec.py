"""
Peers as bytes for a datastore: JSON, with binary parts in base64 (sans-I/O).

Expiries are Unix seconds. Fields that are not known are left out, those of later versions ignored.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from multiaddr import Multiaddr

from libp2p.exceptions import InvalidRecord
from libp2p.hostile_input import refused_as
from libp2p.peer.seen_peers import SeenPeer

if TYPE_CHECKING:
    from libp2p.base_types import MetadataValue
    from libp2p.peer.id import ID


@dataclass(slots=True)
class StoredAddress:
    """An address, its expiry (infinity: never), and whether the peer announced it itself."""

    address: Multiaddr
    expires_at: float
    announced: bool


@dataclass(slots=True)
class StoredPeer:
    """What is kept of a peer; keys and signed records in their wire forms."""

    addresses: list[StoredAddress] = field(default_factory=list)
    protocols: list[str] = field(default_factory=list)
    public_key: bytes | None = None
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    signed_record: bytes | None = None

    @property
    def expires_at(self) -> float:
        """When nothing of it is of use any more; infinity if something always is."""
        if self.protocols or self.public_key or self.metadata or not self.addresses:
            return inf
        return max(stored.expires_at for stored in self.addresses)


def encode_peer(peer: StoredPeer) -> bytes:
    """Return the bytes of a peer."""
    content: dict[str, Any] = {
        "addresses": [
            [
                _text(a.address.to_bytes()),
                None if a.expires_at == inf else a.expires_at,
                a.announced,
            ]
            for a in peer.addresses
        ],
        "protocols": peer.protocols,
        "public_key": _text(peer.public_key),
        "metadata": peer.metadata,
        "signed_record": _text(peer.signed_record),
    }
    return _dump({name: value for name, value in content.items() if value})


def decode_peer(data: bytes) -> StoredPeer:
    """:raises InvalidRecord: if it is not what `encode_peer` has written."""
    with refused_as(InvalidRecord, "a stored peer is malformed"):
        content: dict[str, Any] = json.loads(data)
        return StoredPeer(
            [
                StoredAddress(
                    Multiaddr(b64decode(address)),
                    inf if expires_at is None else float(expires_at),
                    bool(announced),
                )
                for address, expires_at, announced in content.get("addresses", [])
            ],
            list(map(str, content.get("protocols", []))),
            _binary(content.get("public_key")),
            dict(content.get("metadata", {})),
            _binary(content.get("signed_record")),
        )


def encode_seen(seen: SeenPeer) -> bytes:
    """Return the bytes of a peer that this host was connected to."""
    addresses = [_text(address.to_bytes()) for address in seen.addrs]
    content = {"addresses": addresses, "seen_at": seen.seen_at, "was_dialled": seen.was_dialled}
    return _dump(content)


def decode_seen(peer_id: ID, data: bytes) -> SeenPeer:
    """:raises InvalidRecord: if it is not what `encode_seen` has written."""
    with refused_as(InvalidRecord, "a stored connection is malformed"):
        content: dict[str, Any] = json.loads(data)
        addresses = tuple(Multiaddr(b64decode(address)) for address in content["addresses"])
        was_dialled = bool(content["was_dialled"])
        return SeenPeer(peer_id, addresses, float(content["seen_at"]), was_dialled)


def _dump(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _text(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _binary(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
