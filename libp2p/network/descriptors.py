"""
How many sockets there may be, by the descriptors that the system grants this process.

Block stores, name resolution and the program itself need descriptors as well. If connections used
all of them, a block store could not open its files, and the host would deny that it has its blocks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from libp2p.utils.logs import get_logger

if sys.platform != "win32":  # Windows has no such limit
    import resource

logger = get_logger(__name__)

#: The soft limit is raised to at most this: some programs close each descriptor up to the limit
#: before they start another program.
MAX_DESCRIPTORS: Final = 65_536
#: The store and the program keep an eighth of the descriptors, and these many at least and at most.
MIN_RESERVED: Final = 32
MAX_RESERVED: Final = 1024


@dataclass(frozen=True, slots=True)
class Sockets:
    """How many sockets there may be for each purpose."""

    connections: int
    handshakes: int
    dials: int


def obtainable() -> int | None:
    """Return how many files `raise_soft_limit` lets this process open; None for no limit."""
    if sys.platform == "win32":
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    ceiling = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    return max(soft, ceiling)


def raise_soft_limit() -> None:
    """Let this process open as many files as it may."""
    wanted = obtainable()
    if sys.platform == "win32" or wanted is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:  # macOS promises more than it grants
            logger.debug("%d descriptors remain the limit: %s", soft, error)


def share_out(descriptors: int | None, wanted: Sockets) -> Sockets:
    """
    Return what can be had of ``wanted``.

    :param descriptors: what the process may open in all; None for no limit.
    """
    if descriptors is None:
        return wanted
    reserved = min(max(descriptors // 8, MIN_RESERVED), MAX_RESERVED)
    sockets = max(descriptors - reserved, 4)
    return Sockets(
        connections=min(wanted.connections, sockets // 2),
        handshakes=min(wanted.handshakes, sockets // 4),
        dials=min(wanted.dials, sockets // 4),
    )
