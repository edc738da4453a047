"""A peer that its owner can ask while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.ipfs_lite.control.calls import calls_of
from libp2p.ipfs_lite.control.channel import answer_questions
from libp2p.ipfs_lite.errors import ControlError
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.ipfs_lite.peer import Peer

logger = get_logger(__name__)


@asynccontextmanager
async def controlled(peer: Peer, repo: Path) -> AsyncIterator[None]:
    """
    Let ``ipfs-lite swarm`` and ``bitswap`` ask a peer, for the length of the block.

    Without a place for the socket they cannot, and the peer runs all the same.
    """
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(partial(answer_questions, repo, calls_of(peer)))
        except ControlError as error:
            logger.info("%s", error)
        yield
        nursery.cancel_scope.cancel()
