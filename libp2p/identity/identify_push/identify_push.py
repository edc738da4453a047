"""Identify push: telling peers that our addresses or protocols have changed, and being told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import trio

from libp2p.base_types import TProtocol
from libp2p.exceptions import BaseLibp2pError, StreamTimeout
from libp2p.identity.identify.announcement import Announcement, address_of
from libp2p.identity.identify.identify import (
    IDENTIFY_TIMEOUT,
    receive_identity,
    send_identity,
    store_identity,
)
from libp2p.identity.identify.message import encode_identify
from libp2p.utils.faults import fault_barrier
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetStream, StreamHandlerFn
    from libp2p.identity.identify.message import PeerIdentity
    from libp2p.peer.id import ID

ID_PUSH: Final = TProtocol("/ipfs/id/push/1.0.0")

#: Peers told at the same time, as go-libp2p has it.
CONCURRENCY_LIMIT: Final = 32

logger = get_logger(__name__)


def identify_push_handler_for(
    host: IHost,
    use_varint_format: bool = True,
    *,
    on_identity: Callable[[PeerIdentity], object] = lambda _: None,
) -> StreamHandlerFn:
    """
    Return the handler that takes in what peers push to ``host``.

    :param use_varint_format: False takes one bare message, as old versions of py-libp2p send it.
    :param on_identity: told of each push, once it is stored.
    """

    async def handle_identify_push(stream: INetStream) -> None:
        with trio.move_on_after(IDENTIFY_TIMEOUT) as scope:
            identity = await receive_identity(stream, is_framed=use_varint_format)
            store_identity(host.get_peerstore(), identity)
            logger.debug("%s pushed its identity", identity.peer_id)
            on_identity(identity)
        if scope.cancelled_caught:
            raise StreamTimeout("peer did not finish its identify push in time")
        await stream.close()

    return handle_identify_push


async def push_identify_to_peer(
    host: IHost,
    peer_id: ID,
    observed_multiaddr: Multiaddr | None = None,
    limit: trio.Semaphore | None = None,
    use_varint_format: bool = True,
    *,
    announcement: Announcement | None = None,
) -> bool:
    """
    Tell one connected peer what this host is now; return whether it could be told.

    :param observed_multiaddr: where the peer is seen; by default where its connection leads.
    :param limit: held meanwhile, to bound how many peers are told at once.
    :param use_varint_format: see `identify_push_handler_for`.
    """
    announcement = announcement or Announcement(host)
    async with limit or trio.Semaphore(1):
        with trio.move_on_after(IDENTIFY_TIMEOUT):
            try:
                async with await host.new_stream(peer_id, [ID_PUSH], no_dial=True) as stream:
                    seen_at = observed_multiaddr or address_of(stream.muxed_conn)
                    message = announcement.build_for(seen_at)
                    await send_identity(
                        stream,
                        encode_identify(message)
                        if use_varint_format
                        else message.SerializeToString(),
                    )
            except BaseLibp2pError as error:
                # Many peers do not take pushes, and any may be gone by now.
                logger.debug("nothing pushed to %s: %s", peer_id, error)
                return False
            return True
    logger.debug("%s took no push in time", peer_id)
    return False


async def push_identify_to_peers(
    host: IHost,
    peer_ids: Iterable[ID] | None = None,
    observed_multiaddr: Multiaddr | None = None,
    use_varint_format: bool = True,
) -> None:
    """Tell ``peer_ids``, or all connected peers, what this host is now."""
    push = partial(push_identify_to_peer, announcement=Announcement(host))
    limit = trio.Semaphore(CONCURRENCY_LIMIT)
    async with trio.open_nursery() as nursery:
        for peer_id in set(host.get_connected_peers() if peer_ids is None else peer_ids):
            nursery.start_soon(push, host, peer_id, observed_multiaddr, limit, use_varint_format)


class IdentifiedConnection(Protocol):
    """What `IdentifyPusher` has to know of a connection."""

    peer_id: ID
    event_identified: trio.Event

    @property
    def is_closed(self) -> bool:
        """True once it has ended."""
        ...


class IdentifyPusher:
    """
    Tells peers by itself when this host's protocols or addresses have changed.

    One push covers all changes that are made before another task has its turn. Only peers that
    have listed the push protocol are told; one that is being identified is told afterwards, for
    it may have asked for ours before the change.
    """

    def __init__(
        self, host: IHost, connections: Callable[[], Iterable[IdentifiedConnection]]
    ) -> None:
        self._host = host
        self._connections = connections
        self._changed = trio.Event()
        self._limit = trio.Semaphore(CONCURRENCY_LIMIT)

    def changed(self) -> None:
        """Note that there is something to tell."""
        self._changed.set()

    async def run(self) -> None:
        """Push after each change, for ever; a peer is never sent two at the same time."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            with fault_barrier(_report):
                announcement = Announcement(self._host)
                by_peer = {connection.peer_id: connection for connection in self._connections()}
                async with trio.open_nursery() as nursery:
                    for connection in by_peer.values():
                        nursery.start_soon(self._try_to_tell, connection, announcement)

    async def _try_to_tell(
        self, connection: IdentifiedConnection, announcement: Announcement
    ) -> None:
        with fault_barrier(_report):
            await self._tell(connection, announcement)

    async def _tell(self, connection: IdentifiedConnection, announcement: Announcement) -> None:
        await connection.event_identified.wait()
        peer_id = connection.peer_id
        async with self._limit:
            if connection.is_closed:
                return  # it will ask when it comes back
            if self._host.get_peerstore().supports_protocols(peer_id, [ID_PUSH]):
                await push_identify_to_peer(self._host, peer_id, announcement=announcement)


def _report(error: Exception) -> None:
    logger.error("a peer could not be told what has changed", exc_info=error)
