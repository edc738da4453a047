"""
Reads CAR files of versions 1 and 2 out of pieces of any size (sans-I/O).

The index of version 2 is passed over: whoever reads all blocks needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from libp2p.exceptions import IncompleteVarint, InvalidCar, ParseError
from libp2p.ipld.car.header import MAX_HEADER_BYTES, V2_HEADER_BYTES, V2Header, decode_header
from libp2p.ipld.cid import CID
from libp2p.utils.varint import decode_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.base_types import Buffer

#: A CID and its block: go-car's limit. Blocks that peers exchange have 2 MiB at most.
MAX_SECTION_BYTES: Final = 8 * 1024 * 1024


class CarBlock(NamedTuple):
    """A block of a CAR file; nobody has checked that its CID is true."""

    cid: CID
    data: memoryview
    """A view into what was received."""
    offset: int
    """Bytes from the start of the inner file of version 1, as in indexes."""


class CarReader:
    """
    Takes the bytes of one file and returns its blocks in their order.

    A file of version 1 may end with zeros, as files that are padded to a size do.
    """

    def __init__(self, max_section_bytes: int = MAX_SECTION_BYTES) -> None:
        self.version = 0
        """1 or 2; 0 until the header has been read."""
        self.roots: tuple[CID, ...] | None = None
        """None until the header has been read. Nobody has checked that there are such blocks."""
        self._max_section_bytes = max_section_bytes
        self._pieces: list[Buffer] = []
        self._held = 0
        self._needed = 1  # bytes held, before which there is nothing to do
        self._position = 0  # of the first byte that is held, in the file
        self._start = 0  # of the inner file of version 1
        self._end: int | None = None  # of that, if it is said
        self._stage: _Stage = self._read_header

    def receive(self, data: Buffer) -> list[CarBlock]:
        """
        Take the next bytes of the file.

        :raises InvalidCar: if the file is malformed. Nothing can be read from it any more.
        """
        self._pieces.append(data)
        self._held += len(data)
        if self._held < self._needed:
            return []
        view = memoryview(b"".join(self._pieces) if len(self._pieces) > 1 else data)
        blocks: list[CarBlock] = []
        offset = 0
        try:
            while (end := self._stage(view, offset, blocks)) is not None:
                self._position += end - offset
                offset = end
        except ParseError as error:
            raise InvalidCar(f"at byte {self._position}: {error}") from error
        self._pieces = [bytes(view[offset:])] if offset < len(view) else []
        self._held = len(view) - offset
        return blocks

    def end(self) -> None:
        """
        Tell that the file is over.

        :raises InvalidCar: if it ends inside its header or a block.
        """
        if self._stage == self._pass_rest:
            return
        in_version_2 = self._end is not None or self._stage == self._read_v2_header
        if self._held or self.roots is None or in_version_2:
            raise InvalidCar(f"the file is cut off at byte {self._position + self._held}")

    # -- stages: each takes one thing and returns where it ends; None if it needs more ------------

    def _read_header(self, view: memoryview, offset: int, blocks: list[CarBlock]) -> int | None:
        extent = self._extent(view, offset, MAX_HEADER_BYTES)
        if extent is None:
            return None
        start, end = extent
        version, roots = decode_header(view[start:end])
        if version == 2:
            if self.version:
                raise InvalidCar("a file of version 2 is inside another")
            self._stage = self._read_v2_header
        else:
            self.roots = roots
            self._stage = self._read_block
        self.version = self.version or version
        return end

    def _read_v2_header(self, view: memoryview, offset: int, blocks: list[CarBlock]) -> int | None:
        end = offset + V2_HEADER_BYTES
        if end > len(view):
            self._needed = V2_HEADER_BYTES
            return None
        header = V2Header.decode(view[offset:end])
        self._start = header.data_offset
        self._end = header.data_offset + header.data_size
        self._stage = self._pass_padding
        return end

    def _pass_padding(self, view: memoryview, offset: int, blocks: list[CarBlock]) -> int | None:
        missing = self._start - self._position
        if missing == 0:
            self._stage = self._read_header
            return offset
        self._needed = 1
        return min(offset + missing, len(view)) if offset < len(view) else None

    def _read_block(self, view: memoryview, offset: int, blocks: list[CarBlock]) -> int | None:
        if self._position == self._end:
            self._stage = self._pass_rest
            return offset
        extent = self._extent(view, offset, self._max_section_bytes)
        if extent is None:
            return None
        start, end = extent
        if start == end:
            self._stage = self._pass_zeros
            return end
        cid, data_start = CID.read(view[start:end])
        data = view[start + data_start : end]
        blocks.append(CarBlock(cid, data, self._position - self._start))
        return end

    def _pass_zeros(self, view: memoryview, offset: int, blocks: list[CarBlock]) -> int | None:
        self._needed = 1
        if self._end is not None:
            self._stage = self._pass_rest
            return offset
        if offset == len(view):
            return None
        if any(view[offset:]):
            raise InvalidCar("there is more behind the zeros that end the file")
        return len(view)

    def _pass_rest(self, view: memoryview, offset: int, blocks: list[CarBlock]) -> int | None:
        self._needed = 1
        return len(view) if offset < len(view) else None

    def _extent(self, view: memoryview, offset: int, limit: int) -> tuple[int, int] | None:
        """Return where that starts and ends which has its length in front; None if it is cut."""
        try:
            size, start = decode_uvarint(view, offset)
        except IncompleteVarint:
            self._needed = len(view) - offset + 1
            return None
        if size > limit:
            raise InvalidCar(f"{size} bytes in one piece, at most {limit} are allowed")
        end = start + size
        if self._end is not None and self._position + end - offset > self._end:
            raise InvalidCar("a block ends behind the end of the data")
        if end > len(view):
            self._needed = end - offset
            return None
        return start, end


if TYPE_CHECKING:
    _Stage = Callable[[memoryview, int, list[CarBlock]], int | None]
