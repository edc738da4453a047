"""Routers of values that tests control."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

import trio

from libp2p.exceptions import InvalidRecordType, RoutingError
from libp2p.records.ipns import IPNSValidator
from libp2p.records.validator import NamespacedValidator


class MemoryRouter:
    """Keeps the best valid record of each key, as a DHT would; it can be switched off."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.values: dict[bytes, bytes] = {}
        self.puts: list[tuple[bytes, bytes]] = []
        self.is_down = False
        self._validator = NamespacedValidator({"ipns": IPNSValidator(clock=clock)})

    def _check_up(self) -> None:
        if self.is_down:
            raise RoutingError("the router is down")

    async def put_value(self, key: bytes, value: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._check_up()
        self._validator.validate(key, value)
        known = self.values.get(key)
        if known not in (None, value) and self._validator.select(key, [value, known or b""]):
            raise RoutingError("a better record is known")
        self.values[key] = value
        self.puts.append((key, value))

    async def get_value(self, key: bytes) -> bytes | None:
        found = [value async for value in self.search_value(key)]
        return found[-1] if found else None

    async def search_value(self, key: bytes) -> AsyncGenerator[bytes, None]:
        await trio.lowlevel.checkpoint()
        self._check_up()
        value = self.values.get(key)
        if value is not None:
            try:
                self._validator.validate(key, value)
            except InvalidRecordType:
                return
            yield value


class ScriptedRouter:
    """Answers every search with the same steps: seconds to wait, bytes to give, errors to raise."""

    def __init__(self, *steps: float | bytes | Exception) -> None:
        self._steps: Sequence[float | bytes | Exception] = steps
        self.searches = 0
        self.closed = 0

    async def search_value(self, key: bytes) -> AsyncGenerator[bytes, None]:
        self.searches += 1
        try:
            for step in self._steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, bytes):
                    yield step
                else:
                    await trio.sleep(step)
        finally:
            self.closed += 1

    async def get_value(self, key: bytes) -> bytes | None:
        raise AssertionError("records are searched for, so that each can be looked at")

    async def put_value(self, key: bytes, value: bytes) -> None:
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
