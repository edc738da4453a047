"""py-libp2p's notifees, on top of the host's events."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from libp2p.events import (
    ListenAddressesChanged,
    PeerConnected,
    PeerDisconnected,
    StreamClosed,
    StreamOpened,
)
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetwork, INotifee
    from libp2p.events import HostEvent

logger = get_logger(__name__)

#: Seconds in which a notifee must have handled what happened on a connection, once the connection
#: has ended. Without a limit, a notifee that hangs would keep every ended connection.
NOTIFEE_GRACE: Final = 5.0
#: Calls about streams that wait for a notifee. A peer may open and reset streams in a row.
MAX_WAITING_CALLS: Final = 10_000

_KINDS: Final = (
    *(PeerConnected, PeerDisconnected, StreamOpened, StreamClosed),
    ListenAddressesChanged,
)


class Notifees:
    """
    Calls the methods of notifees for events, in tasks of the network.

    The calls about one connection come one after the other, in the order of the events. Calls about
    different connections do not wait for each other, nor do those of different notifees.
    """

    def __init__(self, network: INetwork, start: Callable[..., None]) -> None:
        """:param start: starts a task of the network."""
        self._network = network
        self._start = start
        self._callers: dict[int, _Caller] = {}  # by id: notifees need not be hashable

    def add(self, notifee: INotifee) -> None:
        """Tell ``notifee`` what happens from now on; added twice, it is still called once."""
        if id(notifee) not in self._callers:
            caller = _Caller(notifee, self._network, self._start)
            self._callers[id(notifee)] = caller

    def remove(self, notifee: INotifee) -> None:
        """Tell ``notifee`` nothing more."""
        if (caller := self._callers.pop(id(notifee), None)) is not None:
            caller.stop()


class _Caller:
    """Calls one notifee."""

    def __init__(self, notifee: INotifee, network: INetwork, start: Callable[..., None]) -> None:
        self._notifee = notifee
        self._network = network
        self._start = start
        self._lines: dict[object, _Line] = {}
        self._waiting = 0  # how many calls wait, in all lines
        self._complaints: set[str] = set()
        self._subscription = network.events.subscribe(self._on_event, *_KINDS)

    def stop(self) -> None:
        self._subscription.cancel()
        for line in self._lines.values():
            self._waiting -= len(line.calls)
            line.calls.clear()

    def _on_event(self, event: HostEvent) -> None:
        match event:
            case PeerConnected(connection):
                self._add(connection.muxed_conn, "connected", connection)
            case PeerDisconnected(connection):
                self._add(connection.muxed_conn, "disconnected", connection)
            case StreamOpened(stream):
                self._add_if_room(stream.muxed_conn, "opened_stream", stream)
            case StreamClosed(stream):
                self._add_if_room(stream.muxed_conn, "closed_stream", stream)
            case ListenAddressesChanged(added=added, removed=removed):
                for address in added:
                    self._add(None, "listen", address)
                for address in removed:
                    self._add(None, "listen_close", address)

    def _add_if_room(self, about: object, method: str, subject: object) -> None:
        if self._waiting < MAX_WAITING_CALLS:
            self._add(about, method, subject)
        else:
            self._complain("is too slow: it is not told of all streams")

    def _add(self, about: object, method: str, subject: object) -> None:
        if not callable(getattr(self._notifee, method, None)):
            return
        line = self._lines.get(about)
        if line is None:
            line = self._lines[about] = _Line()
            self._start(self._make_calls, about, line)
        line.calls.append((method, subject))
        self._waiting += 1
        if method == "disconnected":
            line.end_by(trio.current_time() + NOTIFEE_GRACE)

    async def _make_calls(self, about: object, line: _Line) -> None:
        try:
            while line.calls:
                method, subject = line.calls.popleft()
                self._waiting -= 1
                if method == "disconnected":
                    line.end_by(trio.current_time() + NOTIFEE_GRACE)
                with line.next_scope() as scope:
                    await self._call(method, subject)
                if scope.cancelled_caught:
                    self._complain(f"hangs in {method}()")
        finally:
            del self._lines[about]

    async def _call(self, method: str, subject: object) -> None:
        with fault_barrier(lambda error: self._complain(f"failed in {method}()", error)):
            await getattr(self._notifee, method)(self._network, subject)

    def _complain(self, what: str, error: Exception | None = None) -> None:
        if what not in self._complaints:
            self._complaints.add(what)
            kind = type(self._notifee)  # its repr may fail as well
            name = f"{kind.__module__}.{kind.__qualname__}"
            logger.error("the notifee %s %s; it is said once", name, what, exc_info=error)


class _Line:
    """The calls of a notifee about one connection, with their deadline once that has ended."""

    __slots__ = ("_deadline", "_scope", "calls")

    def __init__(self) -> None:
        self.calls: deque[tuple[str, object]] = deque()
        self._deadline = math.inf
        self._scope = trio.CancelScope()

    def end_by(self, deadline: float) -> None:
        self._deadline = self._scope.deadline = deadline

    def next_scope(self) -> trio.CancelScope:
        self._scope = trio.CancelScope(deadline=self._deadline)
        return self._scope
