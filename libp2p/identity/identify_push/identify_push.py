"""Identify push: telling peers that our addresses or protocols have changed, and being told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError, StreamTimeout
from libp2p.identity.identify.announcement import Announcement
from libp2p.identity.identify.exchange import IDENTIFY_TIMEOUT, receive_identity, send_identity
from libp2p.identity.identify.store import store_identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libp2p.abc import IHost, INetStream
    from libp2p.custom_types import StreamHandlerFn
    from libp2p.peer.id import ID

ID_PUSH: Final = TProtocol("/ipfs/id/push/1.0.0")

#: Peers told at the same time, as go-libp2p has it.
CONCURRENCY_LIMIT: Final = 32

logger = logging.getLogger(__name__)


def identify_push_handler_for(host: IHost) -> StreamHandlerFn:
    """Return the handler that takes in what peers push to ``host``."""

    async def handle_identify_push(stream: INetStream) -> None:
        with trio.move_on_after(IDENTIFY_TIMEOUT) as scope:
            identity = await receive_identity(stream)
            store_identity(host.get_peerstore(), identity)
            logger.debug("%s pushed its identity", identity.peer_id)
        if scope.cancelled_caught:
            raise StreamTimeout("peer did not finish its identify push in time")
        await stream.close()

    return handle_identify_push


async def push_identify_to_peer(
    host: IHost,
    peer_id: ID,
    limit: trio.Semaphore | None = None,
    announcement: Announcement | None = None,
) -> bool:
    """
    Tell one connected peer what this host is now; return whether it could be told.

    :param limit: held meanwhile, to bound how many peers are told at once.
    """
    announcement = announcement or Announcement(host)
    async with limit or trio.Semaphore(1):
        try:
            stream = await host.new_stream(peer_id, [ID_PUSH])
            await _push(stream, announcement)
        except BaseLibp2pError as error:
            # Many peers do not take pushes, and any may be gone by now.
            logger.debug("nothing pushed to %s: %s", peer_id, error)
            return False
    return True


async def _push(stream: INetStream, announcement: Announcement) -> None:
    sent = False
    try:
        await send_identity(stream, announcement.encode(stream.muxed_conn))
        sent = True
    finally:
        if not sent:
            await stream.reset()
    await stream.close()


async def push_identify_to_peers(host: IHost, peer_ids: Iterable[ID] | None = None) -> None:
    """Tell ``peer_ids``, or all connected peers, what this host is now."""
    limit = trio.Semaphore(CONCURRENCY_LIMIT)
    announcement = Announcement(host)
    async with trio.open_nursery() as nursery:
        for peer_id in set(host.get_connected_peers() if peer_ids is None else peer_ids):
            nursery.start_soon(push_identify_to_peer, host, peer_id, limit, announcement)
