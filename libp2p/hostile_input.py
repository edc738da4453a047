"""
The border to libraries that read what peers send.

What such a parser raises for hostile input is no contract and changes with its versions, so every
exception is the input's fault, and becomes one of our errors where the bytes enter. One that nobody
expects would end the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libp2p.exceptions import BaseLibp2pError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: An error's words may quote what the peer sent; more than this of them helps nobody.
_MAX_QUOTED: Final = 200


class refused_as:
    """
    Make whatever goes wrong inside one of our errors: ``with refused_as(InvalidRecord, "…"):``.

    Our own errors pass as they are, and so does what is no error: cancellation, an interrupt.
    """

    __slots__ = ("_kind", "_what")

    def __init__(self, kind: Callable[[str], BaseLibp2pError], what: str) -> None:
        self._kind = kind
        self._what = what

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, BaseLibp2pError):
            return
        # A panic of code written in Rust is no Exception, and its class has no module.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise self._kind(f"{self._what}: {error!r:.{_MAX_QUOTED}}") from error


class _Refused(BaseLibp2pError):
    """What `accepts` was given has raised."""


def accepts(verify: Callable[..., object], *arguments: object) -> bool:
    """Tell whether ``verify(*arguments)`` returns; for libraries, as `refused_as`."""
    try:
        with refused_as(_Refused, "refused"):
            verify(*arguments)
    except _Refused:
        return False
    return True
