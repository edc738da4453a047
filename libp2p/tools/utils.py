"""py-libp2p's helpers for tests and examples."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import trio

from libp2p.events import PeerConnected
from libp2p.exceptions import IOException, PeerStoreError
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.tools.constants import MAX_READ_LEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multiaddr import Multiaddr

    from libp2p.abc import IHost, INetStream, IPeerStore, StreamHandlerFn
    from libp2p.peer.id import ID

__all__ = [
    "connect",
    "connect_swarm",
    "create_echo_stream_handler",
    "info_from_p2p_addr",
    "wait_for_peerstore_addrs",
]


async def connect(node1: IHost, node2: IHost) -> None:
    """Connect ``node1`` to ``node2``, and wait until both have the connection."""
    await node1.connect(PeerInfo(node2.get_id(), node2.get_addrs()))
    await _connected(node2.get_network(), node1.get_id())


async def connect_swarm(swarm_0: Any, swarm_1: Any) -> None:
    """Connect one `Swarm` to another, and wait until both have the connection."""
    swarm_0.peerstore.add_addrs(swarm_1.get_peer_id(), swarm_1.get_listen_addrs(), 10_000)
    await swarm_0.dial_peer(swarm_1.get_peer_id())
    await _connected(swarm_1, swarm_0.get_peer_id())


async def _connected(swarm: Any, peer_id: ID) -> None:
    connected = trio.Event()

    def look(_: object) -> None:
        if swarm.get_connections(peer_id):
            connected.set()

    subscription = swarm.events.subscribe(look, PeerConnected)
    try:
        look(None)
        await connected.wait()
    finally:
        subscription.cancel()


async def wait_for_peerstore_addrs(
    host: IHost,
    peer_id: ID,
    *,
    expected_addrs: Sequence[Multiaddr] | None = None,
    timeout: float = 5.0,
) -> None:
    """
    Wait until a host knows these addresses of a peer, or any.

    :raises TimeoutError: if it does not within ``timeout`` seconds.
    """
    store: Any = host.get_peerstore()
    with trio.move_on_after(timeout):
        async with aclosing(store.addr_stream(peer_id)) as added:
            while not _are_known(store, peer_id, expected_addrs):
                await anext(added)
        return
    raise TimeoutError(f"the addresses of {peer_id} were not known within {timeout} s")


def _are_known(store: IPeerStore, peer_id: ID, expected: Sequence[Multiaddr] | None) -> bool:
    try:
        known = store.addrs(peer_id)
    except PeerStoreError:
        return False
    return bool(known) and all(address in known for address in expected or ())


def create_echo_stream_handler(ack_prefix: str) -> StreamHandlerFn:
    """Return a handler that answers each text with ``ack_prefix`` and the text."""

    async def echo_stream_handler(stream: INetStream) -> None:
        try:
            while text := await stream.read(MAX_READ_LEN):
                await stream.write(ack_prefix.encode() + text)
        except IOException:
            return  # the peer has had enough

    return echo_stream_handler
