"""Hosts of one program that are connected in memory: everything but the socket."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import wait_all_tasks_blocked

from libp2p import TCP, HostOptions, SwarmConfig, create_new_ed25519_key_pair, new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from libp2p.bitswap.cid import compute_cid
from libp2p.exceptions import ConnectionFailure, OpenConnectionError, StreamReset
from libp2p.host.ping import PingService
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.tls.transport import PROTOCOL_ID as TLS_ID
from libp2p.stream_muxer.yamux.config import MAX_SEND_QUEUE_BYTES
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.transport.memory.memory import MemoryTransport
from tests.support.hosts import ECHO, HOLD, LOOPBACK, echo, echoed, hold, info_of
from tests.support.identities import peer_id_of
from tests.support.memory_session import numbered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from libp2p import BasicHost

ANY = Multiaddr("/memory/0")
BULK = numbered(3_000_000)


def memory_host(**options: Unpack[HostOptions]) -> BasicHost:
    options.setdefault("transports", [MemoryTransport()])
    options.setdefault("listen_addrs", [ANY])
    host = new_host(**options)
    host.set_stream_handler(ECHO, echo)
    host.set_stream_handler(HOLD, hold)
    return host


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[BasicHost, BasicHost]]:
    a, b = memory_host(), memory_host()
    async with a.run(), b.run():
        await a.connect(info_of(b))
        yield a, b


@asynccontextmanager
async def running(host: BasicHost) -> AsyncIterator[BasicHost]:
    async with host.run():
        yield host


@pytest.fixture
async def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.mark.usefixtures("no_socket")
async def test_streams_identify_ping_and_bitswap_need_no_socket() -> None:
    async with connected() as (a, b):
        assert ECHO in a.get_peerstore().get_protocols(b.get_id())
        [connection] = a.get_network().get_connections(b.get_id())
        assert connection.muxed_conn.security_protocol == TLS_ID
        stream = await a.new_stream(b.get_id(), [ECHO])
        assert await echoed(stream, BULK) == BULK
        assert len(await PingService(a).ping(b.get_id(), 3)) == 3
        async with (
            BitswapClient(a, MemoryBlockStore()).run() as wants,
            BitswapClient(b, MemoryBlockStore()).run() as has,
        ):
            data = BULK[:200_000]
            cid = compute_cid(data)
            await has.add_block(cid, data)
            assert await wants.get_block(cid, b.get_id(), timeout=10) == data


@pytest.mark.usefixtures("no_socket")
async def test_an_address_with_a_peer_id_is_enough() -> None:
    a, b = memory_host(), memory_host()
    async with a.run(), b.run():
        [address] = b.get_addrs()
        await a.connect(info_from_p2p_addr(address))
        # Identify tells the other one where to find this one.
        await wait_all_tasks_blocked()
        [own] = a.get_transport_addrs()
        assert own in b.get_peerstore().addrs(a.get_id())


@pytest.mark.usefixtures("no_socket")
async def test_time_can_be_the_tests_own(autojump_clock: MockClock) -> None:
    async with connected() as (a, b):
        stream = await a.new_stream(b.get_id(), [ECHO])
        await stream.write(b"one")
        assert await stream.read_exactly(3) == b"one"
        await trio.sleep(24 * 3600)
        await stream.write(b"two")
        assert await stream.read_exactly(3) == b"two"
        await stream.close()


async def test_a_writer_waits_for_a_reader_and_nobody_else_does() -> None:
    async with connected() as (a, b), trio.open_nursery() as nursery:
        stream = await a.new_stream(b.get_id(), [HOLD])
        written = 0

        async def flood() -> None:
            nonlocal written
            while True:
                await stream.write(bytes(16 * 1024))
                written += 16 * 1024

        nursery.start_soon(flood)
        await wait_all_tasks_blocked()
        assert written <= MAX_SEND_QUEUE_BYTES + DEFAULT_WINDOW_SIZE
        other = await a.new_stream(b.get_id(), [ECHO])
        assert await echoed(other, BULK) == BULK
        assert written <= MAX_SEND_QUEUE_BYTES + DEFAULT_WINDOW_SIZE
        nursery.cancel_scope.cancel()


async def test_a_reset_and_the_end_of_a_connection_reach_the_other_side() -> None:
    async with connected() as (a, b):
        stream, other = [await a.new_stream(b.get_id(), [ECHO]) for _ in range(2)]
        for each in (stream, other):
            await each.write(b"x")
            assert await each.read(1) == b"x"
        await stream.reset()
        with pytest.raises(StreamReset):
            await stream.read()
        await b.disconnect(a.get_id())
        with pytest.raises(StreamReset):
            await other.read()
        assert not a.is_peer_connected(b.get_id())
        await a.connect(info_of(b))


async def test_what_was_written_before_the_host_ends_is_delivered() -> None:
    received: list[bytes] = []

    async def keep(stream: Any) -> None:
        received.append(await stream.read())

    b = memory_host()
    b.set_stream_handler(HOLD, keep)
    async with b.run():
        async with running(memory_host()) as a:
            await a.connect(info_of(b))
            stream = await a.new_stream(b.get_id(), [HOLD])
            await stream.write(BULK[:200_000])
            await stream.close()
        await wait_all_tasks_blocked()
    assert received == [BULK[:200_000]]


async def test_a_number_that_nobody_has_and_a_wrong_peer_are_errors_of_the_dial() -> None:
    a, b = memory_host(), memory_host()
    async with a.run(), b.run():
        nowhere = Multiaddr("/memory/987654321")
        with pytest.raises(ConnectionFailure, match="nobody listens there"):
            await a.connect(PeerInfo(peer_id_of("nobody"), [nowhere]))
        with pytest.raises(ConnectionFailure, match=str(b.get_id())):
            await a.connect(PeerInfo(peer_id_of("nobody"), b.get_transport_addrs()))
        with pytest.raises(ConnectionFailure, match="there is no transport for it"):
            await a.connect(PeerInfo(peer_id_of("nobody"), [LOOPBACK]))
        await a.connect(info_of(b))


async def test_a_number_in_use_cannot_be_listened_on() -> None:
    a = memory_host()
    async with a.run():
        with pytest.raises(OpenConnectionError, match="another listener has it"):
            async with memory_host(listen_addrs=a.get_transport_addrs()).run():
                pass
    async with memory_host(listen_addrs=a.get_transport_addrs()).run():
        pass


async def test_limits_are_those_of_every_connection() -> None:
    full = memory_host(connection_config=SwarmConfig(max_connections=1, outbound_share=0))
    a, b = memory_host(), memory_host()
    async with full.run(), a.run(), b.run():
        await a.connect(info_of(full))
        with pytest.raises(ConnectionFailure):
            await b.connect(info_of(full))
        sockets = full.resources.statistics()["sockets"]
        connections, dials, handshakes = sockets.children
        assert (sockets.held, connections.held, dials.held, handshakes.held) == (1, 1, 0, 0)
        assert [peer.name for peer in connections.children] == [str(a.get_id())]
        assert handshakes.peak >= 1


async def test_a_host_may_have_several_transports() -> None:
    both = memory_host(transports=[TCP(), MemoryTransport()], listen_addrs=[ANY, LOOPBACK])
    near, far = memory_host(), new_host(listen_addrs=[LOOPBACK])
    async with both.run(), near.run(), far.run():
        memory, tcp = both.get_transport_addrs()
        await near.connect(PeerInfo(both.get_id(), [memory]))
        await far.connect(PeerInfo(both.get_id(), [tcp]))
        assert set(both.get_connected_peers()) == {near.get_id(), far.get_id()}
        with pytest.raises(OpenConnectionError, match="there is no transport that listens"):
            await far.get_network().listen(ANY)


async def test_security_can_be_left_out() -> None:
    pairs = [create_new_ed25519_key_pair() for _ in range(2)]
    a, b = (
        memory_host(key_pair=pair, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(pair)})
        for pair in pairs
    )
    async with a.run(), b.run():
        await a.connect(info_of(b))
        stream = await a.new_stream(b.get_id(), [ECHO])
        assert await echoed(stream, BULK) == BULK
        [connection] = a.get_network().get_connections()
        assert connection.muxed_conn.security_protocol == PLAINTEXT_PROTOCOL_ID


async def test_addresses_of_the_host_and_of_its_run_are_listened_on_once() -> None:
    host = memory_host(listen_addrs=["/memory/11", Multiaddr("/memory/12")])
    async with host.run([Multiaddr("/memory/12"), Multiaddr("/memory/13")]):
        numbers = ["/memory/11", "/memory/12", "/memory/13"]
        assert list(map(str, host.get_transport_addrs())) == numbers
