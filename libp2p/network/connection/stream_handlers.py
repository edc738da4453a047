"""
The stream handlers that run for one connection, and which are cancelled if there are too many.

A handler may outlive its stream: one that computes, or waits for something else, does not notice
that the peer has reset the stream. A peer that opens and resets streams in a row could start any
number of handlers. So handlers are counted apart from streams, by connection and by host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.resources import Scope

#: Why a stream is reset, for the peer: libp2p's code of a stream for "there are too many".
STREAM_LIMIT_EXCEEDED: Final = 0x1002


class StreamHandlers:
    """Counts handlers in a scope; where there are too many, cancels some of them."""

    def __init__(self, host: Scope, name: str, limit: int) -> None:
        """
        :param host: the handlers of all connections.
        :param name: the connection's, in statistics.
        :param limit: handlers that run for the connection at the same time.
        """
        self._count = host.open(name, limit, cut=self._cut)
        self._all_ended: trio.Event | None = None  # set while the connection waits for them
        self._running: dict[NetStream, trio.CancelScope] = {}

    def begin(self, stream: NetStream) -> trio.CancelScope | None:
        """Return the scope to run the stream's handler in; None if there is no room for it."""
        if self._all_ended is not None or not self._count.claim(1):
            return None
        scope = self._running[stream] = trio.CancelScope()
        return scope

    def end(self, stream: NetStream) -> None:
        """Count a handler no longer; a second call does nothing."""
        if self._running.pop(stream, None) is not None:
            self._count.release(1)
            if self._all_ended is not None and not self._running:
                self._all_ended.set()

    async def finish(self, grace: float) -> None:
        """
        Wait until all handlers have ended, and cancel those that need longer than ``grace``
        seconds. None begins any more.
        """
        self._all_ended = trio.Event()
        if self._running:
            with trio.move_on_after(grace):
                await self._all_ended.wait()
        for scope in self._running.values():
            scope.cancel()

    def close(self) -> None:
        """Leave the host's scope: the connection and all its handlers have ended."""
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
