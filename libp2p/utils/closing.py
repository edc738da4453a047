"""What things that are closed by a plain `close` share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class AsyncClosing(ABC):
    """``async with`` closes it, in whatever way the block ends; ``aclose`` does as well."""

    @abstractmethod
    def close(self) -> None:
        """End it; a second call does nothing."""

    async def aclose(self) -> None:
        """Close; the name that asynchronous resources have for it."""
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
