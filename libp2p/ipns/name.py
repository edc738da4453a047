"""
Names of IPNS: the hash of a public key, or the key itself if it is short (sans-I/O).

https://specs.ipfs.tech/ipns/ipns-record/#ipns-name. A name is a peer id by another spelling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from libp2p.crypto.keys import PrivateKey, PublicKey
from libp2p.exceptions import InvalidName, InvalidPeerID
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.records.ipns_record import routing_key

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = ["InvalidName", "Name"]

#: In front of a name in a path, and in a URL.
PREFIXES: Final = ("/ipns/", "ipns://")

#: Characters of a text that an error quotes.
_QUOTED: Final = 80


@dataclass(frozen=True)
class Name:
    """A name; as text it is a CIDv1 of codec libp2p-key in base36, ``k51…`` or ``k2k4…``."""

    peer_id: ID

    @classmethod
    def of(cls, value: Name | ID | PublicKey | PrivateKey | CID | str | Buffer) -> Name:
        """
        Return a name that is given in any form: as text, as a key, or as a peer id.

        Text is a CID of codec libp2p-key in any base, or a peer id in base58, with or without
        ``/ipns/`` in front. Bytes are the multihash.

        :raises InvalidName: if it is none.
        :raises TypeError: if it is something else.
        """
        match value:
            case Name():
                return value
            case PrivateKey():
                return cls(ID.from_pubkey(value.get_public_key()))
            case PublicKey():
                return cls(ID.from_pubkey(value))
            case CID():
                return cls.of(str(value))
            case str():
                text = _without_prefix(value)
        try:
            return cls(ID.of(text if isinstance(value, str) else value, "name"))
        except InvalidPeerID as error:
            shown = value[:_QUOTED] if isinstance(value, str) else error
            raise InvalidName(f"not a name of IPNS: {shown!r}") from error

    @cached_property
    def text(self) -> str:
        """The name as people write it."""
        return self.peer_id.to_multibase("base36")

    def __str__(self) -> str:
        return self.text

    @property
    def path(self) -> str:
        """``/ipns/`` and the name."""
        return f"/ipns/{self.text}"

    @property
    def cid(self) -> CID:
        """The name as a CID of codec libp2p-key."""
        return CID.parse(self.text)

    @property
    def routing_key(self) -> bytes:
        """The key under which routers keep its record."""
        return routing_key(self.peer_id)


def _without_prefix(text: str) -> str:
    for prefix in PREFIXES:
        if text.startswith(prefix):
            return text.removeprefix(prefix).removesuffix("/")
    return text
