"""The library's log on the standard error, for ``ipfs-lite -v``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def log_to_stderr(verbosity: int) -> Iterator[None]:
    """Print the log as long as the block lasts: at INFO for 1, at DEBUG for more."""
    everything, own = logging.getLogger("libp2p"), logging.getLogger("libp2p.ipfs_lite")
    for other in list(own.handlers):  # what it warns of is in the log as well
        own.removeHandler(other)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = everything.level
    everything.addHandler(handler)
    everything.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
    try:
        yield
    finally:
        everything.setLevel(before)
        everything.removeHandler(handler)
