"""py-libp2p's question whether an error is a peer's or one's own normal end of a connection."""

from __future__ import annotations

from libp2p.exceptions import ConnectionClosedError, MuxedStreamError, RawConnError, StreamError
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)

_ENDS = (ConnectionClosedError, RawConnError, MuxedStreamError, StreamError)


def is_expected_connection_shutdown(exc: BaseException | None) -> bool:
    """Tell whether an error, its cause, or all errors of a group, say that a connection ended."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(is_expected_connection_shutdown, exc.exceptions))
    if exc is None or isinstance(exc, _ENDS):
        return exc is not None
    return is_expected_connection_shutdown(exc.__cause__)


def log_expected_connection_shutdown(
    *,
    component: str,
    peer_id: object | None = None,
    direction: str = "unknown",
    exc: BaseException | None = None,
) -> None:
    """Write one line about such an error, at the level DEBUG."""
    logger.debug("%s: connection with %s ended (%s): %r", component, peer_id, direction, exc)
