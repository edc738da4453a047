"""Asks a router for the records of a name, and believes only its owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import BaseLibp2pError, InvalidIpnsRecord, IpnsRecordExpired, RoutingError
from libp2p.ipns.config import MAX_RECORDS_PER_SEARCH
from libp2p.records.ipns_record import decode_record
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from libp2p.ipns.name import Name
    from libp2p.records.ipns_record import IpnsRecord
    from libp2p.routing.abc import ValueRouter

_END: Final = b""

#: One for all searches: a broken router is asked by each of them.
_faults: Final = FaultLog()


class RecordSearch:
    """
    One search for the records of a name.

    :param clock: returns Unix seconds; None accepts what has expired.
    """

    def __init__(
        self, router: ValueRouter, name: Name, timeout: float, clock: Callable[[], float] | None
    ) -> None:
        self._router = router
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._refusals: Counter[str] = Counter()
        self.error: BaseLibp2pError | None = None
        """Why the router could not be asked, or not to the end."""

    async def records(self, best: IpnsRecord | None = None) -> AsyncGenerator[IpnsRecord, None]:
        """
        Yield valid records as they are found, each better than those before it and than ``best``.

        It ends when the router has no more, and at the time limit; it does not raise for what the
        router does. Close it if you stop early.
        """
        deadline = trio.current_time() + self._timeout
        found = self._router.search_value(self._name.routing_key)
        # Routers of users may return any iterator.
        async with aclosing(found) if hasattr(found, "aclose") else nullcontext():  # type: ignore[type-var]
            for _ in range(MAX_RECORDS_PER_SEARCH):
                encoded = await self._next(found, deadline)
                record = self._checked(encoded) if encoded else None
                if encoded == _END:
                    return
                if record is not None and (best is None or record.rank > best.rank):
                    best = record
                    yield record

    async def _next(self, found: AsyncIterator[bytes], deadline: float) -> bytes:
        with trio.move_on_at(deadline):
            try:
                return await anext(found, _END)
            except RoutingError as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 - task's edge: a router of the user
                _faults.note("searching for a record of IPNS", error)
                self.error = RoutingError(f"the router failed: {error!r:.200}")
        return _END

    def _checked(self, encoded: bytes) -> IpnsRecord | None:
        try:
            record = decode_record(encoded)
            record.verify(self._name.peer_id, self._clock() if self._clock else None)
        except IpnsRecordExpired:
            self._refusals["expired"] += 1
        except InvalidIpnsRecord:
            self._refusals["not the owner's"] += 1
        else:
            return record
        return None

    def outcome(self) -> str:
        """Return what is to be said if nothing was found."""
        reasons = [f"{count} of the records found {kind}" for kind, count in self._refusals.items()]
        if self.error is not None:
            reasons.append(str(self.error))
        return "; ".join(reasons) or "nobody who was asked has a record"
