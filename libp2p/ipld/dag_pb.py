"""
dag-pb: nodes of links and one field of data, the frame of all UnixFS (sans-I/O).

https://ipld.io/specs/codecs/dag-pb/spec/. `encode` writes the canonical form: links sorted by name,
before the data. `decode` keeps the block's own bytes, accepts the data on either side of the links,
as other readers do, and refuses every other deviation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidCID, InvalidDagPb, ParseError
from libp2p.ipld.cid import CID
from libp2p.ipld.protowire import read_varint
from libp2p.utils.varint import encode_uvarint

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

__all__ = ["InvalidDagPb", "PBLink", "PBNode", "decode", "encode", "encode_link"]

#: A block of 4 MiB holds fewer links with whole digests. Without this limit, a block of tiny
#: identity CIDs would take fifty times its size in memory.
MAX_LINKS: Final = 128 * 1024

_NODE_DATA: Final = 0x0A
_NODE_LINK: Final = 0x12
_LINK_HASH: Final = 0x0A
_LINK_NAME: Final = 0x12
_LINK_TSIZE: Final = 0x18


class PBLink(NamedTuple):
    """
    A link to a block.

    IPFS always writes the name and ``tsize`` (the bytes of all blocks below, unverified), even if
    they are empty; ``None`` stands for a field that is absent. Names that are not UTF-8 are decoded
    as by `os.fsdecode`.
    """

    cid: CID
    name: str | None = ""
    tsize: int | None = 0


@dataclass(frozen=True, slots=True)
class PBNode:
    """A node; ``data`` may be a view into the block that it was read from."""

    links: tuple[PBLink, ...] = ()
    data: Buffer | None = None
    encoded: Buffer | None = field(default=None, compare=False, repr=False)
    """The block that this was read from."""

    def to_bytes(self) -> bytes:
        """Return the block: the one that was read, else the canonical form."""
        if self.encoded is not None:
            return bytes(self.encoded)
        return encode(self.links, self.data)


# -- writing --------------------------------------------------------------------------------------


def _name_bytes(link: PBLink) -> bytes:
    try:
        return link.name.encode("utf-8", "surrogateescape") if link.name else b""
    except UnicodeEncodeError:
        raise InvalidDagPb(f"{link.name!r:.200} cannot be the name of a link") from None


def encode_link(cid: Buffer, name: bytes | None, tsize: int | None) -> bytes:
    """Write one link with its tag and length, as it stands in a node."""
    message = b"\x0a" + encode_uvarint(len(cid)) + cid
    if name is not None:
        message += b"\x12" + encode_uvarint(len(name)) + name
    if tsize is not None:
        message += b"\x18" + encode_uvarint(tsize)
    return b"\x12" + encode_uvarint(len(message)) + message


def encode(links: Iterable[PBLink] = (), data: Buffer | None = None) -> bytes:
    """
    Write a node in its canonical form; links of the same name keep their order.

    :raises InvalidDagPb: if a name has surrogates that stand for no byte.
    """
    pieces: list[Buffer] = [
        encode_link(link.cid.buffer, None if link.name is None else _name_bytes(link), link.tsize)
        for link in sorted(links, key=_name_bytes)
    ]
    if data is not None:
        pieces += (b"\x0a", encode_uvarint(len(data)), data)
    return b"".join(pieces)


# -- reading --------------------------------------------------------------------------------------


def decode(block: Buffer) -> PBNode:
    """
    Read a node without copying its data.

    :raises InvalidDagPb: if ``block`` is not one well-formed node.
    """
    try:
        links, data = _read_node(block)
    except InvalidCID as error:
        raise InvalidDagPb(f"a link's hash is {error}") from error
    except ParseError as error:
        raise InvalidDagPb(f"not dag-pb: {error}") from error
    return PBNode(tuple(links), data, block)


def _read_node(block: Buffer) -> tuple[list[PBLink], memoryview | None]:
    links: list[PBLink] = []
    data = None
    links_before_data = 0
    offset = 0
    end = len(block)
    while offset < end:
        tag = block[offset]
        start, offset = _read_length(block, offset + 1, end)
        if tag == _NODE_LINK:
            links.append(_read_link(block, start, offset))
            if len(links) > MAX_LINKS:
                raise ParseError(f"more than {MAX_LINKS} links")
            if links_before_data:
                raise ParseError("links on both sides of the data")
        elif tag == _NODE_DATA:
            if data is not None:
                raise ParseError("data twice")
            data = memoryview(block)[start:offset]
            links_before_data = len(links)
        else:
            raise ParseError(f"unexpected tag {tag:#x} in a node")
    return links, data


def _read_length(block: Buffer, offset: int, end: int) -> tuple[int, int]:
    """Read a field's length: where its bytes begin and where they end."""
    if offset < end and (size := block[offset]) < 0x80:
        start = offset + 1  # fast path: all lengths in a link
    else:
        size, start = read_varint(block, offset)
    if size > end - start:
        raise ParseError(f"a field announces {size} bytes, {max(end - start, 0)} are left")
    return start, start + size


def _read_link(block: Buffer, offset: int, end: int) -> PBLink:
    """Read a link's fields, each at most once and in the order of their numbers."""
    if offset == end or block[offset] != _LINK_HASH:
        raise ParseError("a link does not begin with its hash")
    start, offset = _read_length(block, offset + 1, end)
    cid = CID.decode(block[start:offset])
    name = tsize = None
    if offset < end and block[offset] == _LINK_NAME:
        start, offset = _read_length(block, offset + 1, end)
        name = str(block[start:offset], "utf-8", "surrogateescape") if offset > start else ""
    if offset < end and block[offset] == _LINK_TSIZE:
        tsize, offset = read_varint(block, offset + 1)
    if offset != end:
        raise ParseError("a link has a field that is unknown, repeated or out of order")
    return PBLink(cid, name, tsize)
