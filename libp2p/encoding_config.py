"""
py-libp2p's choice of the base in which text forms are written that have no base of their own.

It holds for `ID.to_multibase` and `libp2p.kad_dht.utils.bytes_to_multibase`; what protocols and
commands write does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from libp2p.exceptions import InvalidMultibase
from libp2p.ipld import multibase

_default = "base58btc"
_override: ContextVar[str | None] = ContextVar("encoding", default=None)


def get_default_encoding() -> str:
    """Return the name of the base."""
    return _override.get() or _default


def set_default_encoding(encoding: str) -> None:
    """
    Choose the base for this process.

    :raises InvalidMultibase: if it is not known.
    """
    global _default
    _default = _known(encoding)


@contextmanager
def encoding_override(encoding: str) -> Iterator[None]:
    """
    Choose the base for a block of the current task.

    :raises InvalidMultibase: if it is not known.
    """
    token = _override.set(_known(encoding))
    try:
        yield
    finally:
        _override.reset(token)


def list_supported_encodings() -> list[str]:
    """Return the names of all bases, sorted."""
    return sorted(multibase.NAMES)


def _known(encoding: str) -> str:
    if encoding not in multibase.NAMES:
        names = ", ".join(list_supported_encodings())
        raise InvalidMultibase(f"Unsupported encoding {encoding!r}; known are {names}")
    return encoding
