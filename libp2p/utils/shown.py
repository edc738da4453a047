"""The ``repr`` of objects: for people and logs, so it never fails and never holds a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def shown(what: object, facts: Callable[[], str]) -> str:
    """
    Name the class of an object and what tells it apart.

    :param facts: gives that; it may fail, for the object may be half built.
    """
    try:
        text = facts()
    except Exception:  # noqa: BLE001 - task's edge: whatever is missing, or a store's own repr
        text = "half built"
    return f"<{type(what).__name__} {text}>"
