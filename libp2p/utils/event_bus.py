"""Events: plain functions are called with what has happened, at once and in order (no I/O)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

E = TypeVar("E")

logger = get_logger(__name__)


class Subscription:
    """A function that is called with some kinds of events, until `cancel`."""

    __slots__ = ("_bus", "_callback", "_has_failed")

    def __init__(self, bus: EventBus, callback: Callable[..., object]) -> None:
        self._bus = bus
        self._callback: Callable[..., object] | None = callback
        self._has_failed = False

    def cancel(self) -> None:
        """Call the function no more, from now on; a second call does nothing."""
        self._callback = None
        self._bus.remove(self)

    def tell(self, event: object) -> None:
        """Call the function; for `EventBus`."""
        if self._callback is not None:
            with fault_barrier(partial(self._report, self._callback)):
                self._callback(event)

    def _report(self, callback: Callable[..., object], error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.error("%r failed at an event; it is said once", callback, exc_info=error)


class EventBus:
    """
    Calls subscribed functions with events, by the classes of these.

    An event that a function emits is delivered behind the current one, so that all functions see
    the same order.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[type, tuple[Subscription, ...]] = {}
        self._waiting: deque[object] = deque()
        self._is_emitting = False

    def subscribe(self, callback: Callable[[E], object], *kinds: type[E]) -> Subscription:
        """
        Call ``callback`` with each event of these ``kinds``.

        It is called at the place where the event happens, which may be the read loop of a
        connection: it must not take long. If it raises, that is logged, once.
        """
        subscription = Subscription(self, callback)
        for kind in dict.fromkeys(kinds):
            self._subscriptions[kind] = (*self._subscriptions.get(kind, ()), subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription; for `Subscription.cancel`."""
        for kind, subscriptions in list(self._subscriptions.items()):
            if others := tuple(one for one in subscriptions if one is not subscription):
                self._subscriptions[kind] = others
            else:
                del self._subscriptions[kind]

    def wants(self, *kinds: type) -> bool:
        """Tell whether anybody subscribes to one of these kinds: if not, it need not be emitted."""
        return not self._subscriptions.keys().isdisjoint(kinds)

    def emit(self, event: object) -> None:
        """Call all functions that are subscribed to events of this class."""
        self._waiting.append(event)
        if self._is_emitting:
            return
        self._is_emitting = True
        try:
            while self._waiting:
                event = self._waiting.popleft()
                for subscription in self._subscriptions.get(type(event), ()):
                    subscription.tell(event)
        finally:
            self._is_emitting = False
