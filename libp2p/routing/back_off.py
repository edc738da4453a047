"""When a server that has failed is asked again (sans-I/O); times are seconds."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

#: After a failure the server is left alone for this time, twice as long each time, up to the
#: second number: a dead server costs one question in five minutes.
BACK_OFF_SECONDS: Final = 1.0
MAX_BACK_OFF_SECONDS: Final = 300.0

#: A server that asks for more patience than this is asked again after this time.
MAX_RETRY_AFTER_SECONDS: Final = 3600.0


class BackOff:
    """Remembers since when one server fails."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def wait(self, now: float) -> float:
        """Return in how many seconds the server may be asked; 0 is now."""
        return max(0.0, self._until - now) if self._failures else 0.0

    def succeeded(self) -> None:
        """Note that the server answers."""
        self._failures = 0

    def failed(self, now: float, retry_after: float | None = None, *, tolerated: int = 0) -> float:
        """
        Note that the server has failed; return in how many seconds it may be asked.

        Answers to questions that were asked before it was left alone do not count again.

        :param retry_after: what the server itself asks for, in seconds.
        :param tolerated: so many failures in a row are no reason to leave it alone.
        """
        if retry_after is not None:
            pause = min(max(retry_after, 0.0), MAX_RETRY_AFTER_SECONDS)
            self._failures += 1
            self._until = max(self._until, now + pause) if self._failures > 1 else now + pause
            return self.wait(now)
        if self.wait(now) > 0:
            return self.wait(now)
        self._failures += 1
        if self._failures <= tolerated:
            return 0.0
        doubled = BACK_OFF_SECONDS * 2.0 ** min(self._failures - 1 - tolerated, 30)
        self._until = now + min(doubled, MAX_BACK_OFF_SECONDS)
        return self.wait(now)


def retry_after_of(value: str | None, unix_now: float) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds or a date; None if it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - unix_now)
