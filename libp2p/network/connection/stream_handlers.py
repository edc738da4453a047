"""
The stream handlers that run for one connection, and which of them end when there are too many.

A handler may outlive its stream: one that computes, or waits for something else, does not notice
that the peer has reset it. A peer that opens and resets streams in a row would start any number of
them. So handlers are counted by themselves, for the connection and for the host.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

from libp2p.stream_muxer.yamux.session import RESOURCE_LIMIT_EXCEEDED as STREAM_LIMIT_EXCEEDED

if TYPE_CHECKING:
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.resources import Scope

#: Handlers that run for one connection at the same time: as many as it may have inbound streams.
MAX_HANDLERS: Final = 1000


class StreamHandlers:
    """Counts handlers in a scope; where there are too many, cancels some of them."""

    def __init__(self, host: Scope) -> None:
        """:param host: the handlers of all connections."""
        self._count = host.open("a connection", MAX_HANDLERS, cut=self._cut)
        self._deadline = math.inf
        self._running: dict[NetStream, trio.CancelScope] = {}

    def begin(self, stream: NetStream) -> trio.CancelScope | None:
        """Return the scope to run the stream's handler in; None if there is no room for it."""
        if not self._count.claim(1):
            return None
        scope = self._running[stream] = trio.CancelScope(deadline=self._deadline)
        return scope

    def end(self, stream: NetStream) -> None:
        """Count a handler no longer; a second call does nothing."""
        if self._running.pop(stream, None) is not None:
            self._count.release(1)

    def end_by(self, deadline: float) -> None:
        """Let them end by then, also those that begin now."""
        self._deadline = deadline
        for scope in self._running.values():
            scope.deadline = deadline

    def close(self) -> None:
        """The connection has ended, and all its handlers."""
        self._running.clear()
        self._count.close()

    def _cut(self) -> None:
        """Cancel a handler whose stream has ended, or else the one that runs longest."""
        ended = (stream for stream in self._running if stream.is_closed)
        stream = next(ended, None) or next(iter(self._running))
        scope = self._running[stream]
        self.end(stream)
        stream.abort(STREAM_LIMIT_EXCEEDED)
        scope.cancel()
