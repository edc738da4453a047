"""``async with`` for objects whose `close` is a plain function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
