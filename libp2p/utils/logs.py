"""
The library's loggers, which escape the arguments of their records.

A peer chooses its agent version and its protocol names, and other people choose names of files; all
of these get into errors. Unescaped, a line feed in one of them would forge a record. Arguments are
escaped and cut when a record is formatted, so callers need not do it, and a record of a disabled
level costs nothing.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from libp2p.utils.printable import one_line


def get_logger(name: str) -> logging.Logger:
    """Return a module's logger, whose records are safe to print; ``name`` is its ``__name__``."""
    logger = logging.getLogger(name)
    logger.addFilter(_make_safe)
    return logger


class _Safe:
    """An argument of a record, escaped when the record is formatted."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return self._escaped(str)

    def __repr__(self) -> str:
        return self._escaped(repr)

    def _escaped(self, function: Callable[[object], str]) -> str:
        try:
            return one_line(function(self._value))
        except Exception:  # noqa: BLE001 - task's edge: multiaddr cannot name every address
            return f"<{type(self._value).__name__}>"


def _make_safe(record: logging.LogRecord) -> bool:
    args = record.args if isinstance(record.args, tuple) else (record.args,)
    record.args = tuple(arg if isinstance(arg, int | float) else _Safe(arg) for arg in args)
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        # An error's text may have line feeds: all of a traceback is indented, a record never is.
        lines = "".join(traceback.format_exception(record.exc_info[1])).splitlines()
        record.exc_text = "\n".join(f"  {one_line(line)}" for line in lines)
    return True
