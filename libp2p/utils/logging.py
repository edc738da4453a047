"""
py-libp2p's `setup_logging`: log as the environment says, off the event loop.

``LIBP2P_DEBUG`` is a level, or ``module:level`` several times with commas between; modules are
below ``libp2p`` and may be written with slashes. ``LIBP2P_DEBUG_FILE`` is the file; without it a
temporary one is made, and told. Nothing is set up by importing this.
"""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import threading
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from os import environ
from pathlib import Path
from typing import Final

from libp2p.utils import paths

#: Records that wait to be written: seconds of a busy host. More are dropped: a full disk must cost
#: neither memory nor time.
MAX_QUEUED_RECORDS: Final = 10_000

_ROOT: Final = "libp2p"
DEFAULT_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

log_queue: queue.Queue[logging.LogRecord] = queue.Queue(MAX_QUEUED_RECORDS)
_current_handlers: list[logging.Handler] = []
_current_listener: QueueListener | None = None
_listener_ready = threading.Event()
_levelled: list[str] = []


class _Enqueue(QueueHandler):
    """Hands records over, or drops them if too many wait."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            super().enqueue(record)


def setup_logging() -> None:
    """Log the library's records as the environment says now; what was set up before ends."""
    global _current_listener
    cleanup_logging()
    root = logging.getLogger(_ROOT)
    levels = _levels(environ.get("LIBP2P_DEBUG", ""))
    root.setLevel(levels.pop(_ROOT, logging.INFO if levels else logging.WARNING))
    if not levels and root.level >= logging.WARNING:
        return
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
        _levelled.append(name)
    named = environ.get("LIBP2P_DEBUG_FILE")
    path = Path(named) if named else paths.create_temp_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not named:
        print(f"Logging to: {path}", file=sys.stderr)  # noqa: T201 - nobody else knows its name
    _current_handlers[:] = [logging.StreamHandler(), logging.FileHandler(path, encoding="utf-8")]
    for handler in _current_handlers:
        handler.setFormatter(logging.Formatter(DEFAULT_LOG_FORMAT))
    root.addHandler(_Enqueue(log_queue))
    root.propagate = False
    _current_listener = QueueListener(log_queue, *_current_handlers)
    _current_listener.start()
    _listener_ready.set()
    atexit.unregister(cleanup_logging)
    atexit.register(cleanup_logging)


def _levels(spec: str) -> dict[str, int]:
    """Return levels by the names of loggers; what cannot be read is left out."""
    names = logging.getLevelNamesMapping()
    levels: dict[str, int] = {}
    for part in filter(None, map(str.strip, spec.split(","))):
        module, separator, level = part.rpartition(":")
        module = module.replace("/", ".").strip(".")
        if module and not module.startswith(_ROOT):
            module = f"{_ROOT}.{module}"
        if level.upper() in names and (module or not separator):
            levels[module or _ROOT] = names[level.upper()]
    return levels


def cleanup_logging() -> None:
    """Write what waits, and take back what was set up."""
    global _current_listener
    if _current_listener is not None:
        _current_listener.stop()
        _current_listener = None
    root = logging.getLogger(_ROOT)
    for own in [each for each in root.handlers if isinstance(each, _Enqueue)]:
        root.removeHandler(own)
        root.propagate = True
    for name in _levelled:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _levelled.clear()
    for handler in _current_handlers:
        handler.close()
    _current_handlers.clear()
    _listener_ready.clear()
