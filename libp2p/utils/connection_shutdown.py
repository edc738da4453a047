"""py-libp2p's question whether an error is a peer's or one's own normal end of a connection."""

from __future__ import annotations

from libp2p.exceptions import (
    ConnectionClosedError,
    MuxedConnUnavailable,
    MuxedStreamError,
    RawConnError,
    StreamError,
)
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)

_ENDS = (
    ConnectionClosedError,
    MuxedConnUnavailable,
    RawConnError,
    MuxedStreamError,
    StreamError,
)
#: What errors of other libraries say, which have no class for it.
_PHRASES = (
    *("connection closed", "connection is closed", "connection reset", "broken pipe"),
    "stream eof",
)


def is_expected_connection_shutdown(exc: BaseException | None) -> bool:
    """Tell whether an error, its cause, or all errors of a group, say that a connection ended."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(is_expected_connection_shutdown, exc.exceptions))
    if exc is None or isinstance(exc, _ENDS):
        return exc is not None
    if any(phrase in str(exc).lower() for phrase in _PHRASES):
        return True
    return is_expected_connection_shutdown(exc.__cause__)


def log_expected_connection_shutdown(
    *,
    component: str,
    peer_id: object | None = None,
    direction: str = "unknown",
    exc: BaseException | None = None,
) -> None:
    """Write one line about such an error, at the level DEBUG."""
    line = "%s: expected connection shutdown with %s (%s): %r"
    logger.debug(line, component, peer_id, direction, exc)
