"""
Hosts of ours and of go-libp2p: what each tells the other, by name, and in a private network.

All of it once over Noise and once over TLS, the only secure channel that either side then has.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.events import PeerIdentified
from libp2p.exceptions import ConnectionFailure
from libp2p.host.ping import PingService
from libp2p.security.pnet.key import key_file
from tests.support.hosts import ECHO, LOOPBACK, echo, echoed
from tests.support.name_server import name_server

from .child import ChildError
from .files import MIB, random_bytes
from .go_peer import GoPeer, go_client
from .need import need
from .ours import address_of, dial, host_with, in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from libp2p import BasicHost
    from libp2p.peer.id import ID

    from .go_peer import Security

DATA = random_bytes("hosts", 3 * MIB)
KEY = secrets.token_bytes(32)
SWARM_KEY = key_file(KEY)
PUSH = TProtocol("/push/1.0.0")
PUSHED = TProtocol("/pushed/1.0.0")
PATIENCE = 60


@pytest.fixture(scope="module", params=["noise", "tls"])
def security(request: pytest.FixtureRequest) -> Security:
    """The one secure channel that both sides offer."""
    need("libp2p-peer")
    return cast("Security", request.param)


@pytest.fixture(scope="module")
def swarm_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "swarm.key"
    path.write_text(SWARM_KEY, encoding="ascii")
    return path


@pytest.fixture
def go(security: Security) -> Iterator[GoPeer]:
    with GoPeer(security=security, tell_pushes=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def private_go(security: Security, swarm_key: Path) -> Iterator[GoPeer]:
    with GoPeer(security=security, swarm_key=swarm_key) as peer:
        yield peer


@asynccontextmanager
async def dialled(host: BasicHost, addr: str) -> AsyncIterator[ID]:
    """Run a host that has dialled Go, and has seen what identify tells."""
    identified = trio.Event()
    async with host.run(listen_addrs=[LOOPBACK]):
        host.subscribe(lambda _: identified.set(), PeerIdentified)
        with trio.fail_after(PATIENCE):
            peer = await dial(host, addr)
            await identified.wait()
            assert ECHO in host.get_peerstore().get_protocols(peer)
            assert len(await PingService(host).ping_microseconds(peer, 3)) == 3
            assert await echoed(await host.new_stream(peer, [ECHO]), DATA) == DATA
            yield peer


async def test_both_push_what_they_speak_since(security: Security, go: GoPeer) -> None:
    host = host_with(security)
    async with dialled(host, go.addr) as peer:
        host.set_stream_handler(PUSHED, echo)
        assert await in_thread(go.line) == f"pushed {PUSHED}"
        pushed = trio.Event()
        assert PUSHED not in host.get_peerstore().get_protocols(peer)
        host.subscribe(lambda event: PUSHED in event.protocols and pushed.set(), PeerIdentified)
        await (await host.new_stream(peer, [PUSH])).close()
        await pushed.wait()
        assert await echoed(await host.new_stream(peer, [PUSHED]), DATA) == DATA


async def test_go_is_dialled_by_name(security: Security, go: GoPeer) -> None:
    async with name_server() as zone:
        zone.dnsaddr("boot.example", f"/dnsaddr/one.boot.example/p2p/{go.id}")
        zone.dnsaddr("one.boot.example", "/ip4/127.0.0.1/udp/4001/quic-v1", go.addr)
        host = host_with(security, resolver=zone.resolver())
        async with dialled(host, f"/dnsaddr/boot.example/p2p/{go.id}"):
            [connection] = host.get_network().get_connections()
            [address] = connection.get_transport_addresses()
            assert f"{address}/p2p/{go.id}" == go.addr


# -- a private network ----------------------------------------------------------------------------


async def test_go_is_dialled_in_a_private_network(security: Security, private_go: GoPeer) -> None:
    host = host_with(security, psk=SWARM_KEY)
    async with dialled(host, private_go.addr) as peer:
        assert str(peer) == private_go.id


async def test_go_dials_in_a_private_network(security: Security, swarm_key: Path) -> None:
    host = host_with(security, psk=KEY)
    host.set_stream_handler(ECHO, echo)
    async with host.run(listen_addrs=[LOOPBACK]):
        for mode in ("echo", "ping", "connect"):
            await in_thread(
                go_client, mode, address_of(host), security=security, swarm_key=swarm_key
            )


@pytest.mark.parametrize("psk", [None, bytes(32)], ids=["no key", "another key"])
async def test_neither_lets_strangers_in(
    security: Security, swarm_key: Path, private_go: GoPeer, psk: bytes | None
) -> None:
    host = host_with(security, psk=psk)
    async with host.run(listen_addrs=[LOOPBACK]):
        with trio.fail_after(PATIENCE), pytest.raises(ConnectionFailure):
            await dial(host, private_go.addr)
        with pytest.raises(ChildError):
            await in_thread(
                go_client,
                "ping",
                address_of(host),
                security=security,
                swarm_key=swarm_key,
                timeout=PATIENCE,
            )
