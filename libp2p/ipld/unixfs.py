"""
UnixFS: the data field of a dag-pb node that describes files and directories (sans-I/O).

https://specs.ipfs.tech/unixfs/. The bytes written are those of Kubo, which differ from the text of
the specification in places; each is marked. Reading is as lenient as protobuf: unknown fields are
skipped, fields may stand in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import InvalidUnixFS, ParseError
from libp2p.ipld.dag_pb import MAX_LINKS, encode_link
from libp2p.ipld.protowire import (
    FIXED32,
    LENGTH,
    VARINT,
    bytes_field,
    field_end,
    read_fields,
    read_varint,
    uint_field,
)

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipld.cid import CID

__all__ = [
    "DataType",
    "FileChild",
    "InvalidUnixFS",
    "Mtime",
    "UnixFSData",
    "decode",
    "encode",
    "file_leaf",
    "file_node",
]


class DataType(IntEnum):
    """The kinds of node. The specification's prose has the numbers of Raw and File swapped."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5


_TYPE, _DATA, _FILESIZE, _BLOCKSIZES, _HASH_TYPE, _FANOUT, _MODE, _MTIME = range(1, 9)
_NUMBERS: Final = frozenset((_TYPE, _FILESIZE, _BLOCKSIZES, _HASH_TYPE, _FANOUT, _MODE))
_SECONDS, _NANOS = 1, 2
_DATA_TYPES: Final = tuple(DataType)

_MAX_NANOS: Final = 999_999_999
_INT64_LIMIT: Final = 2**63
_UINT32_MASK: Final = 2**32 - 1


class Mtime(NamedTuple):
    """When the content was changed: seconds since 1970, perhaps negative, and nanoseconds."""

    seconds: int
    nanos: int = 0

    def check(self) -> None:
        """:raises InvalidUnixFS: if it is out of range."""
        if not -_INT64_LIMIT <= self.seconds < _INT64_LIMIT or not 0 <= self.nanos <= _MAX_NANOS:
            raise InvalidUnixFS(f"{self.seconds} s and {self.nanos} ns are not a time")


class UnixFSData(NamedTuple):
    """The message in a node's data field; ``None`` stands for a field that is absent."""

    type: DataType
    data: Buffer | None = None
    filesize: int | None = None
    blocksizes: tuple[int, ...] = ()
    hash_type: int | None = None
    fanout: int | None = None
    mode: int | None = None
    mtime: Mtime | None = None


class FileChild(NamedTuple):
    """A block below a file's node: its CID and its sizes."""

    cid: CID
    file_size: int
    """The bytes of the file below."""
    dag_size: int
    """The bytes of all blocks below, itself included."""


# -- writing --------------------------------------------------------------------------------------


def encode(message: UnixFSData) -> bytes:
    """Write the message as Kubo does: in the order of the field numbers, block sizes not packed."""
    head, data, tail = _encode_pieces(message)
    return b"".join((head, data, tail))


def _encode_pieces(message: UnixFSData) -> tuple[bytes, Buffer, bytes]:
    """Return the bytes before the data, the data, and the bytes after it."""
    head = uint_field(_TYPE, message.type)
    data: Buffer = b""
    if message.data is not None:
        data = message.data
        head += bytes_field(_DATA, len(data))
    tail = b"" if message.filesize is None else uint_field(_FILESIZE, message.filesize)
    tail += b"".join([uint_field(_BLOCKSIZES, size) for size in message.blocksizes])
    if message.hash_type is not None:
        tail += uint_field(_HASH_TYPE, message.hash_type)
    if message.fanout is not None:
        tail += uint_field(_FANOUT, message.fanout)
    return head, data, tail + _encode_metadata(message.mode, message.mtime)


def _encode_metadata(mode: int | None, mtime: Mtime | None) -> bytes:
    encoded = uint_field(_MODE, mode & _UINT32_MASK) if mode else b""
    if mtime is not None:
        mtime.check()
        time = uint_field(_SECONDS, mtime.seconds % (2 * _INT64_LIMIT))
        if mtime.nanos:
            time += bytes((_NANOS << 3 | FIXED32,)) + mtime.nanos.to_bytes(4, "little")
        encoded += bytes_field(_MTIME, len(time)) + time
    return encoded


@lru_cache(maxsize=8)  # all leaves of a file but the last are of one size
def _leaf_frame(
    size: int, mode: int | None, mtime: Mtime | None, kind: DataType
) -> tuple[bytes, bytes]:
    # An empty file has no data field, but always its size.
    head = uint_field(_TYPE, kind) + (bytes_field(_DATA, size) if size else b"")
    tail = uint_field(_FILESIZE, size) + _encode_metadata(mode, mtime)
    return bytes_field(1, len(head) + size + len(tail)) + head, tail


def file_leaf(
    chunk: Buffer,
    mode: int | None = None,
    mtime: Mtime | None = None,
    kind: DataType = DataType.FILE,
) -> bytes:
    """
    Write the dag-pb block of a file's piece.

    :param kind: Kubo writes File below balanced nodes, Raw below those of the trickle layout.
    """
    head, tail = _leaf_frame(len(chunk), mode, mtime, kind)
    return b"".join((head, chunk, tail))


def file_node(
    children: Sequence[FileChild], mode: int | None = None, mtime: Mtime | None = None
) -> bytes:
    """Write the dag-pb block that joins the pieces of a file."""
    # The specification would rather leave out the empty names; Kubo writes them.
    pieces = [encode_link(child.cid.buffer, b"", child.dag_size) for child in children]
    sizes = [child.file_size for child in children]
    message = encode(
        UnixFSData(DataType.FILE, None, sum(sizes), tuple(sizes), mode=mode, mtime=mtime)
    )
    pieces += (bytes_field(1, len(message)), message)
    return b"".join(pieces)


# -- reading --------------------------------------------------------------------------------------


def decode(message: Buffer) -> UnixFSData:
    """
    Read the data field of a node without copying the data in it.

    :raises InvalidUnixFS: if it is not UnixFS.
    """
    try:
        return _read_data(memoryview(message))
    except ParseError as error:
        raise InvalidUnixFS(f"not UnixFS: {error}") from error


def _read_data(view: memoryview) -> UnixFSData:
    numbers: dict[int, int] = {}
    sizes: list[int] = []
    data: memoryview | None = None
    mtime: Mtime | None = None
    offset = 0
    end = len(view)
    while offset < end:
        tag = view[offset]
        if tag < 0x80:
            offset += 1
        else:
            tag, offset = read_varint(view, offset)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT and number in _NUMBERS:
            value, offset = read_varint(view, offset)
            if number == _BLOCKSIZES:
                sizes.append(value)
            else:
                numbers[number] = value
            continue
        start, offset = field_end(view, tag, offset)
        if number > _MTIME:
            continue
        if wire_type != LENGTH or number not in (_DATA, _BLOCKSIZES, _MTIME):
            raise ParseError(f"field {number} has wire type {wire_type}")
        if number == _DATA:
            data = view[start:offset]
        elif number == _MTIME:
            mtime = _read_mtime(view[start:offset])
        else:
            sizes += _read_packed(view[start:offset])
    if len(sizes) > MAX_LINKS:
        raise ParseError(f"more than {MAX_LINKS} block sizes")
    return UnixFSData(
        type=_data_type(numbers.get(_TYPE)),
        data=data,
        filesize=numbers.get(_FILESIZE),
        blocksizes=tuple(sizes),
        hash_type=numbers.get(_HASH_TYPE),
        fanout=numbers.get(_FANOUT),
        mode=numbers[_MODE] & _UINT32_MASK if _MODE in numbers else None,
        mtime=mtime,
    )


def _data_type(value: int | None) -> DataType:
    if value is None:
        raise ParseError("a node without a type")
    try:
        return _DATA_TYPES[value]
    except IndexError:
        raise ParseError(f"a node of type {value}") from None


def _read_packed(content: memoryview) -> list[int]:
    sizes = []
    offset = 0
    while offset < len(content):
        size, offset = read_varint(content, offset)
        sizes.append(size)
    return sizes


def _read_mtime(view: memoryview) -> Mtime | None:
    """Read the time; one with impossible nanoseconds counts as none, as in Kubo."""
    seconds: int | None = None
    nanos = 0
    for number, wire_type, value, content in read_fields(view):
        if (number, wire_type) == (_SECONDS, VARINT):
            seconds = value - 2 * _INT64_LIMIT if value >= _INT64_LIMIT else value
        elif (number, wire_type) == (_NANOS, FIXED32):
            nanos = int.from_bytes(content, "little")
    if seconds is None:
        raise ParseError("a time without seconds")
    return Mtime(seconds, nanos) if nanos <= _MAX_NANOS else None
