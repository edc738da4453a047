"""``async with`` for objects whose `close` is a plain function, and for iterators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, Self


def ending(iterator: AsyncIterable[Any]) -> AbstractAsyncContextManager[object]:
    """Return a context that ends an async generator; any other iterator needs no end."""
    generator: Any = iterator
    return aclosing(generator) if hasattr(iterator, "aclose") else nullcontext()


class AsyncClosing(ABC):
    """``async with`` and `aclose` call `close`."""

    @abstractmethod
    def close(self) -> None:
        """Close the object; a second call does nothing."""

    async def aclose(self) -> None:
        """Call `close`: trio's name for it, which ``aclosing`` uses."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
