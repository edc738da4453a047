"""Which streams of a connection were announced as opened, so that their end is announced too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.events import StreamClosed, StreamOpened

if TYPE_CHECKING:
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.transport.abc import MuxedConnection
    from libp2p.utils.event_bus import EventBus


class StreamEvents:
    """Emits `StreamOpened` and `StreamClosed` for a connection, while somebody wants them."""

    __slots__ = ("_announced", "_ended", "_events", "_muxed_conn")

    def __init__(self, events: EventBus, muxed_conn: MuxedConnection) -> None:
        self._events = events
        self._muxed_conn = muxed_conn
        self._announced: dict[int, NetStream] = {}
        self._ended: list[int] = []

    def opened(self, stream: NetStream) -> None:
        """Announce a stream on whose protocol both sides have agreed."""
        if not self._events.wants(StreamOpened, StreamClosed):
            return
        self._muxed_conn.on_stream_end(self._note_end)
        self._announced[stream.muxed_stream.stream_id] = stream
        self._events.emit(StreamOpened(stream))
        if stream.is_closed:  # the peer has reset it meanwhile
            self._note_end(stream.muxed_stream.stream_id)

    def _note_end(self, stream_id: int) -> None:
        if stream_id in self._announced:
            # The muxer is in the middle of a step: a subscriber must not use its streams now.
            self._ended.append(stream_id)
            trio.lowlevel.current_trio_token().run_sync_soon(self._tell, idempotent=True)

    def _tell(self) -> None:
        ended, self._ended = self._ended, []
        for stream_id in ended:
            if (stream := self._announced.pop(stream_id, None)) is not None:
                self._events.emit(StreamClosed(stream))

    def close(self) -> None:
        """Announce the end of all streams: the connection has ended."""
        self._muxed_conn.on_stream_end(None)
        self._ended = [*self._ended, *self._announced]
        self._tell()
