"""What the protocol of a stream allows in its messages (sans-I/O)."""

from __future__ import annotations

from enum import Enum

from libp2p.bitswap.config import BITSWAP_PROTOCOL_NO_VERSION, V0_PROTOCOLS, WITHOUT_HAVE


class Dialect(Enum):
    """How blocks are written: `V0` is for protocol 1.0.0 and older, `V1` for all since."""

    V0 = 0
    V1 = 1

    @classmethod
    def of(cls, protocol: str | None) -> Dialect:
        """Return the one of a protocol."""
        return cls.V0 if _bare(protocol) in V0_PROTOCOLS else cls.V1


def speaks_have(protocol: str | None) -> bool:
    """Return whether peers that speak a protocol know WANT_HAVE, HAVE and DONT_HAVE."""
    return _bare(protocol) not in WITHOUT_HAVE


def _bare(protocol: str | None) -> str:
    """Return a protocol id without the prefix that a network of its own puts in front of it."""
    _, name, version = (protocol or "").rpartition(BITSWAP_PROTOCOL_NO_VERSION)
    return name + version
