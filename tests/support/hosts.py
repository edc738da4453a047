"""Hosts on loopback for integration tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from multiaddr import Multiaddr

from libp2p import BasicHost, new_host
from libp2p.peer.peerinfo import PeerInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


def info_of(host: BasicHost) -> PeerInfo:
    """Return what another host needs in order to connect to ``host``."""
    return PeerInfo(host.get_id(), host.get_transport_addrs())


@asynccontextmanager
async def running_host(*listen: Multiaddr) -> AsyncIterator[BasicHost]:
    """Run a new host that listens on loopback, or on ``listen``."""
    host = new_host()
    async with host.run(listen_addrs=listen or [LOOPBACK]):
        yield host


@asynccontextmanager
async def connected_hosts() -> AsyncIterator[tuple[BasicHost, BasicHost]]:
    """Run two hosts; the first has connected to the second."""
    async with running_host() as dialler, running_host() as listener:
        await dialler.connect(info_of(listener))
        yield dialler, listener
