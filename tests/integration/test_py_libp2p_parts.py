"""Parts that py-libp2p's programs put together by themselves."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from multiaddr import Multiaddr

from libp2p import TCP, FileSystemKeyStore, Swarm, new_host, new_swarm
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import X25519PrivateKey
from libp2p.exceptions import LocalProtocolError, OpenConnectionError, StreamEOF
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection_gate import extract_ip_from_multiaddr
from libp2p.network.stream.net_stream import NetStream, StreamState
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr.metrics import Direction
from libp2p.security.noise.exceptions import NoiseStateError
from libp2p.security.noise.io import MAX_NOISE_MESSAGE_LEN, NoisePacketReadWriter
from libp2p.security.noise.messages import (
    NoiseExtensions,
    NoiseHandshakePayload,
    verify_handshake_payload_sig,
)
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import (
    LifecycleError,
    Service,
    background_trio_service,
    external_api,
)
from libp2p.tools.constants import LISTEN_MADDR
from libp2p.tools.utils import (
    connect,
    connect_swarm,
    create_echo_stream_handler,
    wait_for_peerstore_addrs,
)
from libp2p.transport.manager import TransportManager
from libp2p.transport.memory.memory import MemoryTransport
from libp2p.transport.tcp.tcp import TCPListener
from libp2p.transport.unattended import UnattendedListener
from libp2p.transport.upgrader import TransportUpgrader

if TYPE_CHECKING:
    from libp2p.transport.tcp.tcp_connection import TcpConnection

ECHO = "/echo/1.0.0"


def made_by_hand() -> Swarm:
    pair = create_new_key_pair()
    peer_id, store = ID.from_pubkey(pair.public_key), PeerStore()
    store.add_key_pair(peer_id, pair)
    upgrader = TransportUpgrader({"/noise": NoiseTransport(pair)}, {YAMUX: Yamux})  # type: ignore[dict-item]
    return Swarm(peer_id, store, upgrader, TCP(), None, ConnectionConfig())


async def test_swarms_made_by_hand_and_run_as_services() -> None:
    near, far = made_by_hand(), made_by_hand()
    async with background_trio_service(near), background_trio_service(far):
        hosts = BasicHost(near), BasicHost(far)
        await near.listen(LISTEN_MADDR)
        await far.listen(LISTEN_MADDR)
        far.set_stream_acceptor(hosts[1]._inbound.add)
        await connect_swarm(near, far)
        await connect(*hosts)
        info = far.get_conn_mgr_info()
        assert (info.connected_count, info.last_trim) == (1, None)
        (conn,) = near.get_connections()
        assert near.connections_legacy == {far.get_peer_id(): conn}
        assert hosts[0].get_peer_connection_info(far.get_peer_id()) == [conn]
        assert hosts[0].get_peer_connection_info(near.get_peer_id()) is None
        (back,) = far.get_connections()
        assert (conn.direction, back.direction) == (Direction.OUTBOUND, Direction.INBOUND)
        hosts[0].conn_manager.tag_peer(far.get_peer_id(), "friend", 7)
        tags = near.get_tag_info(far.get_peer_id())
        assert tags is not None
        assert tags.tags == {"friend": 7}
        stream = await conn.new_stream()
        assert conn.get_streams() == (stream,)
        assert stream.protocol_id is None
        assert await stream.state is StreamState.INIT
        conn.remove_stream(stream)
        assert conn.get_streams() == ()
        await conn.close()
        await conn.event_closed.wait()
    with pytest.raises(ValueError, match="retry_config"):
        Swarm(near.self_id, PeerStore(), None, (), RetryConfig(max_retries=1))


async def test_an_echo() -> None:
    near, far = new_host(), new_host(addrs_factory=lambda found: found[:1])
    far.set_stream_handler(ECHO, create_echo_stream_handler("ack: "))  # type: ignore[arg-type]
    async with near.run([LISTEN_MADDR]), far.run([LISTEN_MADDR, LISTEN_MADDR]):
        assert len(far.get_addrs()) == 1
        await connect(near, far)
        stream = await near.new_stream(far.get_id(), ECHO)  # type: ignore[arg-type]
        await stream.write(b"hello")
        assert await stream.read_exactly(10) == b"ack: hello"
        assert await stream.state is StreamState.OPEN
        await stream.close_write()
        assert await stream.state is StreamState.CLOSE_WRITE
        assert await stream.is_operational()
        await stream.reset()
        assert await stream.state is StreamState.RESET
        assert not await stream.is_operational()
    with pytest.raises(ValueError, match="both"):
        new_host(addrs_factory=list, announce_addrs=[])


async def test_the_states_of_a_stream() -> None:
    near, far = new_host(), new_host()
    accepted_here, accepted = trio.open_memory_channel[NetStream](1)
    done = trio.Event()

    async def keep(stream: NetStream) -> None:
        await accepted_here.send(stream)
        await done.wait()

    far.set_stream_handler(ECHO, keep)  # type: ignore[arg-type]
    async with near.run(), far.run([LISTEN_MADDR]):
        await connect(near, far)
        stream = await near.new_stream(far.get_id(), ECHO)  # type: ignore[arg-type]
        await stream.write(b"x")
        other = await accepted.receive()
        assert await other.read(1) == b"x"

        await stream.close_write()
        with pytest.raises(StreamEOF):
            await other.read(1)
        assert await other.state is StreamState.CLOSE_READ
        assert await other.is_operational()
        await other.close_write()
        assert await other.state is StreamState.CLOSE_BOTH
        assert not await other.is_operational()

        stream = await near.new_stream(far.get_id(), ECHO)  # type: ignore[arg-type]
        await stream.write(b"x")
        other = await accepted.receive()
        await stream.close_read()
        assert await stream.state is StreamState.CLOSE_READ
        await stream.close()
        assert await stream.state is StreamState.CLOSE_BOTH  # whatever the peer still sends
        assert await other.read(1) == b"x"
        await other.reset()
        assert await other.state is StreamState.RESET

        stream = await near.new_stream(far.get_id(), ECHO)  # type: ignore[arg-type]
        await near.disconnect(far.get_id())
        assert await stream.state is StreamState.RESET  # its connection is lost
        done.set()


async def test_a_listener_that_nobody_serves() -> None:
    over = trio.Event()
    accepted_here, accepted = trio.open_memory_channel[RawConnection](1)

    async def handle(stream: object) -> None:
        await accepted_here.send(RawConnection(stream, initiator=False))  # type: ignore[arg-type]
        await over.wait()
        raise KeyError("it is logged")

    listener = TCP().create_listener(handle)
    await listener.listen(LISTEN_MADDR)
    near = await TCP().dial(listener.get_addrs()[0])
    far = await accepted.receive()
    reader, writer = NoisePacketReadWriter(near), NoisePacketReadWriter(far)
    await writer.write_msg(b"message")
    assert await reader.read_msg() == b"message"
    with pytest.raises(ValueError, match="does not fit"):
        await writer.write_msg(bytes(MAX_NOISE_MESSAGE_LEN + 1))
    over.set()
    assert await near.read() == b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, nursery)
        await listener.close()
    await listener.close()
    with pytest.raises(OpenConnectionError, match="closed"):
        await listener.listen(LISTEN_MADDR)
    near.abort()
    await far.close()


async def test_a_listener_that_breaks_down_does_not_end_the_program(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(TCPListener):
        async def serve(self, nursery: trio.Nursery) -> None:
            raise KeyError("nobody expects it")

    async def handle(_conn: object) -> None:
        raise AssertionError

    listener = UnattendedListener(Broken, handle)
    await listener.listen(LISTEN_MADDR)
    await trio.testing.wait_all_tasks_blocked()
    assert "nobody expects it" in caplog.text
    await listener.close()


async def test_a_pattern_of_noise_shakes_hands() -> None:
    pair, static = create_new_key_pair(), X25519PrivateKey.new()
    peer_id = ID.from_pubkey(pair.public_key)
    pattern = PatternXX(peer_id, pair.private_key, static, early_data=b"early")
    assert pattern.make_handshake_payload().extensions is None
    payload = pattern.make_handshake_payload(NoiseExtensions([b"hash"], ["/yamux/1.0.0"]))
    read = NoiseHandshakePayload.deserialize(payload.serialize())
    assert read == payload
    assert read.get_early_data() == b"early"
    assert read.has_early_data()
    assert read.has_extensions()
    assert read.extensions is not None
    assert read.extensions.has_early_data()
    assert read.extensions.has_stream_muxers()
    assert read.extensions.has_webtransport_certhashes()
    assert verify_handshake_payload_sig(read, static.get_public_key())
    bare = NoiseHandshakePayload(pair.public_key, b"s")
    assert NoiseHandshakePayload.deserialize(bare.serialize()).get_early_data() is None
    for broken in (b"", b"\xff", b"\x0a\x01a\x12\x01b"):
        with pytest.raises(ValueError, match="Noise payload"):
            NoiseHandshakePayload.deserialize(broken)
    with pytest.raises(ValueError, match="signature"):
        NoiseHandshakePayload(pair.public_key, b"").serialize()
    with pytest.raises(NoiseStateError, match="X25519"):
        PatternXX(peer_id, pair.private_key, pair.private_key).make_handshake_payload()
    with pytest.raises(LocalProtocolError, match="prologue"):
        PatternXX(peer_id, pair.private_key, static, prologue=b"x")

    transport = NoiseTransport(pair, static)
    assert transport.libp2p_privkey == pair.private_key
    assert transport.noise_privkey == static

    async def answer(conn: TcpConnection) -> None:
        (await transport.get_pattern().handshake_inbound(conn)).abort()

    listener = TCP().create_listener(answer)
    await listener.listen(LISTEN_MADDR)
    conn = await TCP().dial(listener.get_addrs()[0])
    session = await pattern.handshake_outbound(conn, peer_id)
    assert session.get_remote_public_key() == pair.public_key
    session.abort()
    await listener.close()


async def test_the_outer_methods_of_a_service() -> None:
    class Counter(Service):
        async def run(self) -> None:
            await trio.sleep_forever()

        @external_api
        async def count(self, wait: trio.Event | None = None) -> int:
            if wait is not None:
                await wait.wait()
            return 1

    counter = Counter()
    with pytest.raises(LifecycleError):
        await counter.count()
    async with background_trio_service(counter) as manager:
        assert await counter.count() == 1
        manager.run_task(trio.lowlevel.checkpoint)
        await trio.testing.wait_all_tasks_blocked()
        assert manager.stats.tasks.pending_count == 0
        with pytest.raises(LifecycleError):
            await manager.run()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(manager.stop)
            with pytest.raises(LifecycleError, match="ended"):
                await counter.count(trio.Event())
    with pytest.raises(LifecycleError, match="not running"):
        await counter.count()


def test_a_key_out_of_a_keystore() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FileSystemKeyStore(folder)
        other = new_host(keystore=store, identity_name="node", auto_persist=False).get_id()
        first = new_host(keystore=store, identity_name="node").get_id()
        assert new_host(keystore=store, identity_name="node").get_id() == first != other
        pair = create_new_key_pair()
        assert new_swarm(pair).get_peer_id() == new_host(pair).get_id()
        for twice in ({"keystore": store}, {"key_pair_provider": create_new_key_pair}):
            with pytest.raises(ValueError, match="at most one"):
                new_host(pair, **twice)
        with pytest.raises(TypeError, match="twice"):
            new_swarm(pair, key_pair=pair)
        with pytest.raises(TypeError, match="by name"):
            new_swarm(*[None] * 9)


async def test_waiting_for_addresses(autojump_clock: trio.testing.MockClock) -> None:
    host, address = new_host(), Multiaddr("/ip4/192.0.2.1/tcp/1")
    peer_id = new_host().get_id()
    with pytest.raises(TimeoutError, match="within"):
        await wait_for_peerstore_addrs(host, peer_id, timeout=2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(wait_for_peerstore_addrs, host, peer_id))
        wait = partial(wait_for_peerstore_addrs, host, peer_id, expected_addrs=[address])
        nursery.start_soon(wait)
        await trio.sleep(1)
        host.get_peerstore().add_addr(peer_id, address, 60)
    other = Multiaddr("/ip4/192.0.2.2/tcp/1")
    with pytest.raises(TimeoutError):
        await wait_for_peerstore_addrs(host, peer_id, expected_addrs=[address, other])


async def test_where_an_address_leads() -> None:
    assert await extract_ip_from_multiaddr(Multiaddr("/ip6/::1/tcp/1")) == ["::1"]
    assert "127.0.0.1" in await extract_ip_from_multiaddr(Multiaddr("/dns4/localhost/tcp/1"))
    assert await extract_ip_from_multiaddr(Multiaddr("/dns4/nowhere.invalid/tcp/1")) == []
    assert await extract_ip_from_multiaddr(Multiaddr("/memory/1")) == []


def test_a_list_of_transports() -> None:
    manager, tcp = TransportManager(), TCP()
    manager.add_transports([tcp])
    manager.set_swarm(None)
    manager.set_background_nursery(None)
    assert manager.transport_for_listening(LISTEN_MADDR) is tcp
    assert manager.has_transport_for(LISTEN_MADDR)
    assert not manager.has_transport_for(Multiaddr("/ip4/192.0.2.1/udp/1/quic-v1"))


async def test_the_list_of_transports_of_a_swarm() -> None:
    tcp, memory = TCP(), MemoryTransport()
    near, far = new_host(transports=[tcp]), new_host(transports=[memory])
    manager = near.get_network().transport_manager
    assert manager.get_transports() == [tcp]
    assert not manager.has_transport_for(Multiaddr("/memory/1"))
    manager.add_transport(memory)
    assert manager.transport_for_dialing(Multiaddr("/memory/1")) is memory
    async with near.run(), far.run([Multiaddr("/memory/0")]):
        await near.connect(far.get_addrs()[0])
        assert near.is_peer_connected(far.get_id())
