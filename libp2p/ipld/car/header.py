"""The headers of CAR files, versions 1 and 2 (sans-I/O)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidCar, ParseError
from libp2p.ipld import dag_cbor
from libp2p.ipld.cid import CID
from libp2p.utils.varint import encode_varint_prefixed

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

#: 25,000 roots. A header is held in memory whole, as objects of five times its size.
MAX_HEADER_BYTES: Final = 1024 * 1024

#: What a file of version 2 starts with: a header of version 2 without roots.
V2_PRAGMA: Final = b"\x0a\xa1gversion\x02"
V2_HEADER_BYTES: Final = 40
#: Where the inner file of version 1 starts at the earliest.
V2_DATA_OFFSET: Final = len(V2_PRAGMA) + V2_HEADER_BYTES

_V2_HEADER: Final = struct.Struct("<16sQQQ")
_FULLY_INDEXED: Final = bytes((0x80, *bytes(15)))
_NOT_FULLY_INDEXED: Final = bytes(16)


class V2Header(NamedTuple):
    """Where the parts of a file of version 2 are, in bytes from its start."""

    data_offset: int
    data_size: int
    index_offset: int
    """0 if there is no index."""
    fully_indexed: bool = False
    """Identity CIDs are in the index too."""

    def encode(self) -> bytes:
        """Return the pragma and the header."""
        flags = _FULLY_INDEXED if self.fully_indexed else _NOT_FULLY_INDEXED
        return V2_PRAGMA + _V2_HEADER.pack(
            flags, self.data_offset, self.data_size, self.index_offset
        )

    @staticmethod
    def decode(data: Buffer) -> V2Header:
        """
        Read the forty bytes behind the pragma.

        :raises InvalidCar: if its parts overlap.
        """
        flags, data_offset, data_size, index_offset = _V2_HEADER.unpack(data)
        header = V2Header(data_offset, data_size, index_offset, bool(flags[0] & 0x80))
        if data_offset < V2_DATA_OFFSET:
            raise InvalidCar(f"the data starts at {data_offset}, inside the header")
        if index_offset and index_offset < data_offset + data_size:
            raise InvalidCar(f"the index starts at {index_offset}, inside the data")
        return header


def encode_header(roots: Iterable[CID]) -> bytes:
    """Return the start of a file of version 1."""
    return encode_varint_prefixed(dag_cbor.encode({"roots": list(roots), "version": 1}))


def decode_header(data: Buffer) -> tuple[int, tuple[CID, ...]]:
    """
    Read a header, without the length in front of it.

    :return: the version, 1 or 2, and the roots.
    :raises InvalidCar: if it is no header, or of another version.
    """
    try:
        value = dag_cbor.decode(data)
    except ParseError as error:
        raise InvalidCar(f"the header of the file cannot be read: {error}") from error
    fields = value if isinstance(value, dict) else {}
    version, roots = fields.get("version"), fields.get("roots")
    if roots is None:  # Go's writers say so of an empty list
        roots = []
    if version == 2 and type(version) is int and not roots:
        return 2, ()
    if version != 1 or type(version) is not int:
        raise InvalidCar(f"version {version!r:.20} of CAR files is not known")
    if not (isinstance(roots, list) and all(isinstance(root, CID) for root in roots)):
        raise InvalidCar("the roots of the file are no list of CIDs")
    return 1, tuple(root for root in roots if isinstance(root, CID))
