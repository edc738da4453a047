"""
What happens on a host: connections, what peers say of themselves, streams, addresses.

`BasicHost.subscribe` tells a plain function at once; `BasicHost.events` is a queue to iterate over.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from libp2p.io.waiter import Waiter

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import INetConn, INetStream
    from libp2p.peer.id import ID

#: Events that wait for a slow reader: a thousand streams may end with one connection.
MAX_WAITING_EVENTS: Final = 10_000


class HostEvent:
    """Something that has happened on a host."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PeerConnected(HostEvent):
    """
    A connection to a peer has begun; there may be others. Streams can be opened on it.

    What the peer speaks is not known yet: see `PeerIdentified`.
    """

    connection: INetConn

    @property
    def peer_id(self) -> ID:
        """The peer."""
        return self.connection.muxed_conn.peer_id


@dataclass(frozen=True, slots=True)
class PeerDisconnected(HostEvent):
    """A connection has ended. Each `PeerConnected` is followed by one of these."""

    connection: INetConn

    @property
    def peer_id(self) -> ID:
        """The peer; there may be other connections to it."""
        return self.connection.muxed_conn.peer_id


@dataclass(frozen=True, slots=True)
class PeerIdentified(HostEvent):
    """
    A peer has said what it is (identify), after it connected or because it has changed.

    :param protocols: what it speaks.
    :param addresses: where it can be reached, without ``/p2p/<id>``.
    """

    peer_id: ID
    protocols: tuple[str, ...]
    addresses: tuple[Multiaddr, ...]
    agent_version: str


@dataclass(frozen=True, slots=True)
class StreamOpened(HostEvent):
    """A protocol was agreed on for a stream, or proposed to a peer that is known to speak it."""

    stream: INetStream


@dataclass(frozen=True, slots=True)
class StreamClosed(HostEvent):
    """Both directions of a stream have ended, by whichever side. It follows its `StreamOpened`."""

    stream: INetStream


@dataclass(frozen=True, slots=True)
class ListenAddressesChanged(HostEvent):
    """
    The host listens on other addresses than before.

    :param addresses: all that it listens on now.
    """

    addresses: tuple[Multiaddr, ...]
    added: tuple[Multiaddr, ...] = ()
    removed: tuple[Multiaddr, ...] = ()


@dataclass(frozen=True, slots=True)
class HostStopped(HostEvent):
    """The last one: the host has ended, with all its connections, until it is run again."""


EVENTS: Final = (
    PeerConnected,
    PeerDisconnected,
    PeerIdentified,
    StreamOpened,
    StreamClosed,
    ListenAddressesChanged,
    HostStopped,
)
"""All kinds."""


class EventQueue:
    """
    Events that wait for a reader: ``async for event in queue``.

    The host never waits for the reader. If more than ``limit`` events wait, the oldest one is
    dropped, and `dropped` counts it. The iteration ends when the host has stopped.
    """

    def __init__(self, limit: int = MAX_WAITING_EVENTS) -> None:
        self.dropped = 0
        self._limit = limit
        self._events: deque[HostEvent] = deque()
        self._is_over = False
        self._arrived = Waiter()

    def put(self, event: HostEvent) -> None:
        """Add an event behind the others."""
        if isinstance(event, HostStopped):
            self._is_over = True
        else:
            if len(self._events) >= self._limit:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
        self._arrived.wake()

    def __aiter__(self) -> EventQueue:
        return self

    async def __anext__(self) -> HostEvent:
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._is_over:
                raise StopAsyncIteration
            await self._arrived.wait()
        return self._events.popleft()
