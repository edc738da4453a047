"""
Reads the limits out of the code: a constant's value, and the ``#:`` comment with its reason.

docs/limits.rst names the constants; this module finds what is to be said about them, so that
neither the value nor the reason is written down twice. It needs no Sphinx.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_ASSIGNMENT = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)(:.*)? = ")
_DIRECTIVE = re.compile(r"^\.\. limits:: (\S+)\n\n((?: +\S.*\n)+)", re.MULTILINE)
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_SIZE_WORDS = {"BYTES", "SIZE", "BUDGET", "WINDOW", "PAYLOAD"}
_TIME_WORDS = {"SECONDS", "TIMEOUT", "INTERVAL", "IDLE", "GRACE", "PAUSE", "START", "BACKOFF"}


@dataclass(frozen=True)
class Limit:
    """One row of the table."""

    name: str
    value: str
    reason: str


def named_in(page: str) -> dict[str, list[str]]:
    """The modules and constants that a page of the documentation lists."""
    found: dict[str, list[str]] = {}
    for module, names in _DIRECTIVE.findall(page):
        found.setdefault(module, []).extend(names.split())
    return found


def reasons_in(source: str) -> dict[str, str]:
    """Each constant of a module with the ``#:`` comment above it; neighbours share one."""
    reasons: dict[str, str] = {}
    comment: list[str] = []
    assigned = False
    for line in source.splitlines():
        if line.startswith("#:"):
            comment = [*([] if assigned else comment), line[2:].strip()]
            assigned = False
        elif match := _ASSIGNMENT.match(line):
            reasons[match["name"]] = " ".join(comment)
            assigned = True
        elif not line.startswith((" ", ")", "}", "]")):
            comment, assigned = [], False
    return reasons


def limits_of(module: str, names: list[str]) -> list[Limit]:
    """The rows for `names`; LookupError where one is not there or gives no reason."""
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    reasons = reasons_in(source)
    values = vars(importlib.import_module(module))
    for name in names:
        if name not in values or not reasons.get(name):
            raise LookupError(f"{module}.{name} does not exist or has no `#:` comment")
    return [Limit(name, readable(name, values[name]), reasons[name]) for name in names]


def readable(name: str, value: object) -> str:
    """The value with the unit that its name speaks of."""
    words = set(name.split("_"))
    if isinstance(value, int) and words & _SIZE_WORDS:
        for size, unit in _UNITS:
            if value >= size and value % size == 0:
                return f"{value // size:,} {unit}"
        return f"{value:,} bytes"
    if isinstance(value, int | float) and words & _TIME_WORDS:
        return f"{value:g} s"
    return f"{value:,}" if isinstance(value, int) else str(value)
