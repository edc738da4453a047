"""``repr`` of objects: it must neither fail nor hold a secret, because it gets into logs."""

from __future__ import annotations

from collections.abc import Callable


def shown(what: object, facts: Callable[[], str]) -> str:
    """
    Return ``<Class facts>``.

    :param facts: returns the state of the object; it may raise, because ``__init__`` may have
        failed halfway.
    """
    try:
        text = facts()
    except Exception:  # noqa: BLE001 - task's edge: whatever is missing, or a store's own repr
        text = "half built"
    return f"<{type(what).__name__} {text}>"
