"""
What is logged when code that is not ours raises: a store, a tracer, a filter, a router.

Such code is called for every message, and what it raises once it may raise each time. The log gets
each kind of fault with its traceback, and again only after a minute, with the number of those that
were left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from libp2p.utils.logs import get_logger

logger = get_logger(__name__)

#: The same kind of fault is logged once in so many seconds.
FAULT_LOG_SECONDS: Final = 60.0
#: Kinds of faults that are told apart; exceptions may be of classes made on the fly.
MAX_FAULT_KINDS: Final = 64


class FaultLog:
    """Logs faults of others' code, each kind of them rarely."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When a kind was logged, and how many were left out since.
        self._kinds: dict[tuple[str, type[BaseException]], list[float]] = {}

    def note(self, what: str, error: BaseException) -> None:
        """Log that ``what`` has raised ``error``, unless that is known."""
        kind = (what, type(error))
        known = self._kinds.get(kind)
        now = self._clock()
        if known is not None and now < known[0] + FAULT_LOG_SECONDS:
            known[1] += 1
            return
        if len(self._kinds) >= MAX_FAULT_KINDS:
            self._kinds.clear()
        self._kinds[kind] = [now, 0]
        more = f" ({known[1]:.0f} more since the last report)" if known and known[1] else ""
        logger.error("%s failed%s", what, more, exc_info=error)
