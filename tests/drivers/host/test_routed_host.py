"""A host that asks a router for the addresses of peers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from multiaddr import Multiaddr

from libp2p import BasicHost, RoutedHost, new_host
from libp2p.exceptions import ConnectionFailure, RoutingError, StreamFailure
from libp2p.factory import new_swarm
from libp2p.peer.peerinfo import PeerInfo
from libp2p.transport.memory.memory import MemoryTransport
from tests.support.hosts import ECHO, echo, echoed, info_of
from tests.support.identities import peer_id_of
from tests.support.routers import ScriptedRouter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.routing.abc import PeerRouter

ANY = Multiaddr("/memory/0")
NOWHERE = Multiaddr("/memory/987654321")


@asynccontextmanager
async def running(router: PeerRouter | None = None) -> AsyncIterator[BasicHost]:
    host = new_host(transports=[MemoryTransport()], disc_opt=router)
    async with host.run([ANY]):
        yield host


def test_a_host_with_a_router_is_a_routed_host() -> None:
    assert isinstance(new_host(disc_opt=ScriptedRouter()), RoutedHost)
    assert type(new_host()) is BasicHost
    with pytest.raises(TypeError, match="PeerRouter"):
        new_host(disc_opt=7)  # type: ignore[arg-type]  # is tested


async def test_it_connects_to_a_peer_whose_address_the_router_knows() -> None:
    async with running() as listener:
        router = ScriptedRouter(info_of(listener))
        async with running(router) as host:
            await host.connect(PeerInfo(listener.get_id(), []))
            await host.connect(PeerInfo(listener.get_id(), []))
            assert host.is_peer_connected(listener.get_id())
            assert len(router.asked) == 1


async def test_a_stream_is_opened_to_it() -> None:
    async with running() as listener:
        listener.set_stream_handler(ECHO, echo)
        async with running(ScriptedRouter(info_of(listener))) as host:
            with pytest.raises(StreamFailure):
                await host.new_stream(listener.get_id(), ECHO, no_dial=True)
            stream = await host.new_stream(str(listener.get_id()), ECHO)
            assert await echoed(stream, b"hello") == b"hello"
            stream = await host.new_stream(listener.get_id(), [ECHO])
            assert await echoed(stream, b"hello") == b"hello"


async def test_addresses_that_are_known_are_tried_first() -> None:
    async with running() as listener:
        router = ScriptedRouter()
        async with running(router) as host:
            await host.connect(info_of(listener))
        assert router.asked == []


async def test_when_those_lead_nowhere_the_router_is_asked() -> None:
    async with running() as listener:
        router = ScriptedRouter(info_of(listener))
        async with running(router) as host:
            await host.connect(PeerInfo(listener.get_id(), [NOWHERE]))
            assert len(router.asked) == 1
        async with running(ScriptedRouter(PeerInfo(listener.get_id(), [NOWHERE]))) as host:
            with pytest.raises(ConnectionFailure, match="987654321"):
                await host.connect(PeerInfo(listener.get_id(), [NOWHERE]))


@pytest.mark.parametrize(
    ("router", "reason"),
    [
        (ScriptedRouter(), "nor to the router"),
        (ScriptedRouter(error=RoutingError("no peers at all")), "no peers at all"),
        (ScriptedRouter(error=KeyError("a bug")), "a bug"),
    ],
)
async def test_that_nobody_knows_the_peer_is_said(router: ScriptedRouter, reason: str) -> None:
    unknown = peer_id_of("unknown")
    async with running(router) as host:
        with pytest.raises(ConnectionFailure, match=reason):
            await host.connect(PeerInfo(unknown, []))
        with pytest.raises(ConnectionFailure, match=f"987654321.*{reason}"):
            await host.connect(PeerInfo(unknown, [NOWHERE]))
        with pytest.raises(StreamFailure, match=reason):
            await host.new_stream(unknown, ECHO)


async def test_a_router_that_needs_the_host_comes_later() -> None:
    async with running() as listener:
        host = RoutedHost(new_swarm(transports=[MemoryTransport()]))
        async with host.run([ANY]):
            with pytest.raises(ConnectionFailure):
                await host.connect(PeerInfo(listener.get_id(), []))
            with pytest.raises(StreamFailure):
                await host.new_stream(listener.get_id(), ECHO)
            host.set_router(ScriptedRouter(info_of(listener)))
            await host.connect(PeerInfo(listener.get_id(), []))
            with pytest.raises(TypeError):
                host.set_router(object())
