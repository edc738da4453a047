"""
Calls of other libraries' parsers on bytes that peers send.

Which exceptions a parser raises for hostile input is not documented, and changes with its
versions. So every exception is taken as the input's fault and becomes one of our errors at the
call. An exception that no caller expects would end the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from libp2p.exceptions import BaseLibp2pError

#: Characters that are kept of the other library's error: it may quote all that the peer sent.
_MAX_QUOTED: Final = 200


class refused_as:
    """
    Raise any exception of a block as one of our errors: ``with refused_as(InvalidRecord, "…"):``.

    Our own errors propagate unchanged, and so do cancellation and `KeyboardInterrupt`.
    """

    __slots__ = ("_kind", "_what")

    def __init__(self, kind: Callable[[str], BaseLibp2pError], what: str) -> None:
        self._kind = kind
        self._what = what

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if error is None or isinstance(error, BaseLibp2pError):
            return
        # A panic of code written in Rust is no Exception, and its class has no module.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise self._kind(f"{self._what}: {error!r:.{_MAX_QUOTED}}") from error


class _Refused(BaseLibp2pError):
    """The function that `accepts` called has raised."""


def accepts(verify: Callable[..., object], *arguments: object) -> bool:
    """Return whether ``verify(*arguments)`` returns without an exception of any kind."""
    try:
        with refused_as(_Refused, "refused"):
            verify(*arguments)
    except _Refused:
        return False
    return True
