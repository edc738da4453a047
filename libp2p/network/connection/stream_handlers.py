"""
The stream handlers that run for one connection, and which are cancelled if there are too many.

A handler may outlive its stream: one that computes, or waits for something else, does not notice
that the peer has reset the stream. A peer that opens and resets streams in a row could start any
number of handlers. So handlers are counted apart from streams: for each connection, for each
protocol, and for the whole host.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

if TYPE_CHECKING:
    from libp2p.network.config import SwarmConfig
    from libp2p.network.stream.net_stream import NetStream
    from libp2p.resources import Resources, Scope

#: Why a stream is reset, for the peer: libp2p's code of a stream for "there are too many".
STREAM_LIMIT_EXCEEDED: Final = 0x1002


#: What a handler takes in memory, about.
HANDLER_BYTES: Final = 8 * 1024


class _Running(NamedTuple):
    scope: trio.CancelScope
    protocol: str | None


class HandlerScopes:
    """The scopes that count the handlers of a host."""

    def __init__(self, resources: Resources, config: SwarmConfig) -> None:
        """Count nothing yet."""
        self._resources = resources
        self._protocol_limit = config.max_protocol_handlers
        self.connection_limit: Final = config.max_connection_handlers
        self.all: Final = resources.scope(
            "stream handlers", config.max_stream_handlers, each=HANDLER_BYTES
        )

    def of_protocol(self, protocol: str | None) -> Scope:
        """Return the scope of one protocol's handlers."""
        return self._resources.scope(f"stream handlers of {protocol}", self._protocol_limit)


class StreamHandlers:
    """Counts the handlers of a connection, and cancels some if there are too many."""

    def __init__(self, host: HandlerScopes, name: str) -> None:
        """
        :param host: the handlers of all connections.
        :param name: the connection's, in statistics.
        """
        self._host = host
        self._name = name
        self._count = host.all.open(name, host.connection_limit, cut=self._cut)
        # Only protocols with a running handler have a scope: an idle connection costs nothing.
        self._by_protocol: dict[str | None, Scope] = {}
        # The event exists while `finish` waits for the handlers to end.
        self._all_ended: trio.Event | None = None
        self._running: dict[NetStream, _Running] = {}

    def begin(self, stream: NetStream) -> trio.CancelScope | None:
        """Return the scope to run the stream's handler in; None if there is no room for it."""
        protocol = stream.get_protocol()
        if self._all_ended is not None or not self._claim(protocol):
            return None
        self._running[stream] = running = _Running(trio.CancelScope(), protocol)
        return running.scope

    def end(self, stream: NetStream) -> None:
        """Count a handler no longer; a second call does nothing."""
        if (ended := self._running.pop(stream, None)) is not None:
            self._count.release(1)
            self._by_protocol[ended.protocol].release(1)
            self._close_if_empty(ended.protocol)
            if self._all_ended is not None and not self._running:
                self._all_ended.set()

    async def finish(self, grace: float) -> None:
        """
        Wait until all handlers have ended, and cancel those that need longer than ``grace``
        seconds. From now on no handler begins.
        """
        self._all_ended = trio.Event()
        if self._running:
            with trio.move_on_after(grace):
                await self._all_ended.wait()
        for running in self._running.values():
            running.scope.cancel()

    def close(self) -> None:
        """Leave the host's scope: the connection and all its handlers have ended."""
        self._running.clear()
        for scope in (self._count, *self._by_protocol.values()):
            scope.close()

    def _claim(self, protocol: str | None) -> bool:
        """Count one more handler, if there is room."""
        if not self._count.claim(1):
            return False
        count = self._by_protocol.get(protocol)
        if count is None:
            everybody = self._host.of_protocol(protocol)
            count = everybody.open(self._name, cut=partial(self._cut, protocol))
            self._by_protocol[protocol] = count
        if count.claim(1):
            return True
        self._count.release(1)
        self._close_if_empty(protocol)
        return False

    def _close_if_empty(self, protocol: str | None) -> None:
        if not self._by_protocol[protocol].held:
            self._by_protocol.pop(protocol).close()

    def _cut(self, *protocols: str | None) -> None:
        """
        Cancel a handler whose stream has ended, or else the one that runs longest.

        :param protocols: the protocols whose handlers may be cancelled; any if there are none.
        """
        fit = [
            stream
            for stream, running in self._running.items()
            if not protocols or running.protocol in protocols
        ]
        stream = next((stream for stream in fit if stream.is_closed), fit[0])
        scope = self._running[stream].scope
        self.end(stream)
        stream.abort(STREAM_LIMIT_EXCEEDED)
        scope.cancel()
