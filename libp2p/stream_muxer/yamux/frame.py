"""
Yamux frames (sans-I/O): the 12-byte header and an incremental parser.

Specification: libp2p/specs yamux, "Framing". All fields are big-endian::

    version u8 = 0 | type u8 | flags u16 | stream id u32 | length u32 | body (Data only)

``length`` is the body's size for Data, a credit delta for WindowUpdate (an error code if RST is
set), an opaque value for Ping and a code for GoAway. Which frames are allowed when is decided in
`session`, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from libp2p.exceptions import RemoteProtocolError

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

TYPE_DATA: Final = 0
TYPE_WINDOW_UPDATE: Final = 1
TYPE_PING: Final = 2
TYPE_GO_AWAY: Final = 3
#: Not on the wire: a further piece of the body of the preceding Data frame.
CONTINUATION: Final = 4

FLAG_SYN: Final = 1
FLAG_ACK: Final = 2
FLAG_FIN: Final = 4
FLAG_RST: Final = 8

GO_AWAY_NORMAL: Final = 0
GO_AWAY_PROTOCOL_ERROR: Final = 1
GO_AWAY_INTERNAL_ERROR: Final = 2

YAMUX_HEADER_FORMAT: Final = "!BBHII"
HEADER_SIZE: Final = 12
#: One frame then fits exactly one Noise record: 65,535 - 16 (tag) - 12 (header).
MAX_FRAME_PAYLOAD: Final = 65_507

#: (type, flags, stream id, length, body piece). The body piece of a Data frame may be shorter
#: than ``length``: the rest follows as CONTINUATIONs, of which the last carries the frame's FIN.
Frame: TypeAlias = "tuple[int, int, int, int, Buffer]"

_HEADER: Final = Struct(YAMUX_HEADER_FORMAT)


#: The 12 bytes of a header, of (type, flags, stream id, length).
encode_header: Final = partial(_HEADER.pack, 0)


class FrameParser:
    """Finds frames in any split of the byte stream; bodies are views, and may be in pieces."""

    __slots__ = ("_body_left", "_fin", "_partial", "_stream_id")

    def __init__(self) -> None:
        self._partial = b""  # the beginning of a header
        self._body_left = 0  # bytes of the current Data body not received yet
        self._stream_id = 0  # the stream whose body it is
        self._fin = 0  # FLAG_FIN if the frame ends the stream; its last piece carries it

    def receive(self, pieces: Iterable[Buffer]) -> Iterator[Frame]:
        """
        Yield the frames in ``pieces``; the iterator has to be used up.

        :raises RemoteProtocolError: on an unknown version or frame type.
        """
        unpack_header = _HEADER.unpack_from
        for piece in pieces:
            if self._partial:
                piece = b"".join((self._partial, piece))
                self._partial = b""
            view, offset, end = memoryview(piece), 0, len(piece)
            if self._body_left and end:
                body = view[: self._body_left]
                offset = len(body)
                self._body_left -= offset
                yield CONTINUATION, 0 if self._body_left else self._fin, self._stream_id, 0, body
            while end - offset >= HEADER_SIZE:
                version, kind, flags, stream_id, length = unpack_header(piece, offset)
                if version != 0 or kind > TYPE_GO_AWAY:
                    raise RemoteProtocolError(f"yamux version {version}, frame type {kind}")
                offset += HEADER_SIZE
                if kind != TYPE_DATA:
                    yield kind, flags, stream_id, length, b""
                    continue
                start, offset = offset, offset + length
                if offset > end:
                    self._body_left = offset - end
                    self._stream_id = stream_id
                    self._fin = flags & FLAG_FIN
                    flags &= ~FLAG_FIN
                yield kind, flags, stream_id, length, view[start:offset]
            if offset < end:
                self._partial = bytes(view[offset:])
