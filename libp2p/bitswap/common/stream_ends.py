"""How bitswap streams end: politely, by a reset, or because the peer does not speak bitswap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from libp2p.bitswap.config import SEND_BACKOFF_SECONDS
from libp2p.exceptions import BaseLibp2pError, ProtocolNotSupportedError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import INetStream

logger = get_logger(__name__)


def is_refusal(error: Exception) -> bool:
    """Tell whether the peer does not speak any of our protocols."""
    return isinstance(error.__cause__, ProtocolNotSupportedError)


async def back_off() -> None:
    """Pause before the next attempt to reach a peer that has just failed."""
    await trio.sleep(SEND_BACKOFF_SECONDS)  # time: a peer does not tell when it has recovered


async def end_stream(stream: INetStream | None) -> None:
    """Close a stream politely, or without politeness if that fails; neither ever waits."""
    if stream is None:
        return
    try:
        await stream.close()
    except BaseLibp2pError as error:
        logger.debug("closing %r: %s", stream, error)
        await reset_stream(stream)


async def reset_stream(stream: INetStream | None) -> None:
    """Abort a stream: half a message may be on it."""
    if stream is None:
        return
    try:
        await stream.reset()
    except BaseLibp2pError as error:
        logger.debug("resetting %r: %s", stream, error)
