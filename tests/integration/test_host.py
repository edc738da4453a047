"""Two real hosts over loopback TCP."""

from __future__ import annotations

import gc
import logging
import os
from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import NoiseTransport, TLSTransport, create_new_ed25519_key_pair, new_host
from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    ConnectionFailure,
    HostException,
    OpenConnectionError,
    ProtocolNotSupportedError,
    StreamEOF,
    StreamFailure,
    StreamReset,
)
from libp2p.identity.identify_push import ID_PUSH, identify_push_handler_for
from libp2p.peer.own_addresses import LOOPBACK_INTERFACES, Interface
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from tests.support.hosts import (
    ECHO,
    LOOPBACK,
    connected_hosts,
    echo,
    echoed,
    info_of,
    running_host,
    yamux_of,
)

if TYPE_CHECKING:
    from libp2p.abc import INetStream

ANY_4, ANY_6 = Multiaddr("/ip4/0.0.0.0/tcp/0"), Multiaddr("/ip6/::/tcp/0")


async def test_hosts_connect_and_know_each_others_protocols() -> None:
    async with running_host() as a, running_host() as b:
        b.set_stream_handler(ECHO, echo)
        await a.connect(info_of(b))
        assert a.get_connected_peers() == [b.get_id()]
        assert ECHO in a.get_peerstore().get_protocols(b.get_id())
        with trio.fail_after(2):
            [connection] = b.get_network().get_connections(a.get_id())
            await connection.event_identified.wait()
        assert b.get_connected_peers() == [a.get_id()]


async def test_connected_peers_are_told_of_new_protocols_at_once_and_once() -> None:
    async with connected_hosts() as (a, b):
        protocols = [TProtocol(f"/new/{number}") for number in range(20)]
        pushes: list[INetStream] = []
        take = identify_push_handler_for(a)

        async def count(stream: INetStream) -> None:
            pushes.append(stream)
            await take(stream)

        a.set_stream_handler(ID_PUSH, count)
        known = a.get_peerstore()
        for protocol in protocols:
            b.set_stream_handler(protocol, echo)
        with trio.fail_after(2):
            while protocols[-1] not in known.get_protocols(b.get_id()):
                await trio.testing.wait_all_tasks_blocked()
        assert set(protocols) <= set(known.get_protocols(b.get_id()))
        assert len(pushes) == 1
        b.set_stream_handler(protocols[0], echo)  # another handler, the same protocol
        b.remove_stream_handler(protocols[-1])
        with trio.fail_after(2):
            while protocols[-1] in known.get_protocols(b.get_id()):
                await trio.testing.wait_all_tasks_blocked()
        assert len(pushes) == 2


async def test_connected_peers_are_told_of_new_addresses() -> None:
    async with connected_hosts() as (a, b):
        before = a.get_peerstore().addrs(b.get_id())
        await b.get_network().listen(LOOPBACK)
        with trio.fail_after(2):
            while a.get_peerstore().addrs(b.get_id()) == before:
                await trio.testing.wait_all_tasks_blocked()
        assert set(b.get_transport_addrs()) <= set(a.get_peerstore().addrs(b.get_id()))


async def test_a_host_on_all_interfaces_has_addresses_that_can_be_dialled() -> None:
    async with running_host(ANY_4, ANY_6) as host:
        addresses = host.get_addrs()
        assert len(addresses) >= 2
        assert not any(
            "/0.0.0.0/" in str(address) or "/::/" in str(address) for address in addresses
        )
        assert {str(address).split("/")[2] for address in addresses} >= {"127.0.0.1", "::1"}
        for address in addresses:
            async with running_host() as other:
                await other.connect(info_from_p2p_addr(address))
        assert len(host.get_transport_addrs()) == 2, "these are where it listens"


async def test_connected_peers_are_told_when_an_interface_has_come_or_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lan = Interface.of("192.168.1.7", "255.255.255.0")
    interfaces: list[tuple[Interface, ...]] = [LOOPBACK_INTERFACES]
    for module in ("host.addresses", "identity.identify.announcement"):
        monkeypatch.setattr(f"libp2p.{module}.local_interfaces", lambda: interfaces[-1])
    async with running_host(ANY_4) as host, running_host() as peer:
        await peer.connect(info_from_p2p_addr(host.get_addrs()[0]))
        known = peer.get_peerstore()
        assert len(known.addrs(host.get_id())) == 1
        for now in ((*LOOPBACK_INTERFACES, lan), LOOPBACK_INTERFACES):
            interfaces.append(now)
            async with running_host() as other:  # that is when the host looks
                await other.connect(PeerInfo(host.get_id(), known.addrs(host.get_id())[:1]))
            expected = {"127.0.0.1"} | ({"192.168.1.7"} if lan in now else set())
            with trio.fail_after(2):
                while {str(a).split("/")[2] for a in known.addrs(host.get_id())} != expected:
                    await trio.testing.wait_all_tasks_blocked()


async def test_a_host_can_be_told_what_to_say_of_itself() -> None:
    """Where a router or a container's host maps ports, no interface has the address that works."""
    mapped = [Multiaddr("/dns4/example.org/tcp/4001"), Multiaddr("/ip4/203.0.113.7/tcp/4001")]
    host = new_host(announce_addrs=[str(mapped[0]), mapped[1]])
    async with host.run([ANY_4]), running_host() as peer:
        named = [Multiaddr(f"{address}/p2p/{host.get_id()}") for address in mapped]
        assert host.get_addrs() == named
        await peer.connect(info_of(host))
        record = peer.get_peerstore().get_peer_record(host.get_id())
        assert record is not None
        assert record.record().addrs == mapped


async def test_hosts_on_loopback_do_not_ask_for_interfaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked() -> None:
        raise AssertionError

    for module in ("host.addresses", "identity.identify.announcement"):
        monkeypatch.setattr(f"libp2p.{module}.local_interfaces", asked)
    async with connected_hosts() as (a, b):
        [address] = b.get_addrs()
        assert str(address).startswith("/ip4/127.0.0.1/tcp/")
        record = a.get_peerstore().get_peer_record(b.get_id())
        assert record is not None
        assert record.record().addrs == b.get_transport_addrs()


async def test_a_stream_echoes_more_than_its_window() -> None:
    async with connected_hosts() as (a, b):
        b.set_stream_handler(ECHO, echo)
        stream = await a.new_stream(b.get_id(), [ECHO])
        assert stream.get_protocol() == ECHO
        data = os.urandom(3_000_000)
        assert await echoed(stream, data) == data
        with pytest.raises(StreamEOF):
            await stream.read(1)
        await stream.close()
        assert stream.is_closed


async def test_many_streams_at_once() -> None:
    async with connected_hosts() as (a, b):
        b.set_stream_handler(ECHO, echo)
        answers: list[bytes] = []

        async def one(number: int) -> None:
            stream = await a.new_stream(b.get_id(), [ECHO])
            await stream.write(b"%d" % number)
            await stream.close_write()
            answers.append(await stream.read())
            await stream.close()

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(one, number)
        assert sorted(map(int, answers)) == list(range(300))
        [connection] = a.get_network().get_connections()
        assert not connection.get_streams()


async def test_the_first_protocol_that_the_peer_accepts_is_used() -> None:
    async with connected_hosts() as (a, b):
        b.set_stream_handler(ECHO, echo)
        stream = await a.new_stream(b.get_id(), [TProtocol("/none/1"), ECHO])
        assert stream.get_protocol() == ECHO
        with pytest.raises(StreamFailure) as caught:
            await a.new_stream(b.get_id(), [TProtocol("/none/1"), TProtocol("/none/2")])
        assert isinstance(caught.value.__cause__, ProtocolNotSupportedError)


async def test_the_error_of_a_failed_dial_names_every_address() -> None:
    async with running_host() as a:
        stranger = new_host().get_id()
        addresses = [Multiaddr("/ip4/127.0.0.1/tcp/1"), Multiaddr("/ip4/127.0.0.1/tcp/2")]
        with pytest.raises(ConnectionFailure) as caught:
            await a.connect(PeerInfo(stranger, addresses))
        assert all(str(address) in str(caught.value) for address in addresses)
        with pytest.raises(StreamFailure, match="cannot connect"):
            await a.new_stream(stranger, [ECHO])


async def test_another_peer_at_the_address_is_refused() -> None:
    async with running_host() as a, running_host() as b:
        stranger = new_host().get_id()
        with pytest.raises(ConnectionFailure) as caught:
            await a.connect(PeerInfo(stranger, b.get_transport_addrs()))
        assert str(b.get_id()) in str(caught.value)
        assert not a.get_connected_peers()


async def test_callers_share_a_dial() -> None:
    async with running_host() as a, running_host() as b:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(a.connect, info_of(b))
        assert len(a.get_network().get_connections()) == 1


async def test_a_port_that_is_taken_is_a_clear_error() -> None:
    async with running_host() as a:
        with pytest.raises(OpenConnectionError, match="cannot listen on"):
            async with new_host().run(listen_addrs=a.get_transport_addrs()):
                pass


async def test_a_peer_that_leaves_is_no_event_for_the_user(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with running_host() as a:
        async with running_host() as b:
            b.set_stream_handler(ECHO, echo)
            await a.connect(info_of(b))
            stream = await a.new_stream(b.get_id(), [ECHO])
        with pytest.raises(StreamReset), trio.fail_after(2):
            await stream.read(1)
        with trio.fail_after(2):
            while a.get_connected_peers():
                await trio.testing.wait_all_tasks_blocked()
    assert not caplog.records


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with running_host():
            raise KeyError("mine")


async def test_a_host_is_used_within_its_run() -> None:
    host = new_host()
    with pytest.raises(HostException, match="not running"):
        host.start_service(trio.sleep_forever)
    async with host.run(listen_addrs=[LOOPBACK]):
        host.start_service(trio.sleep_forever)


@pytest.mark.parametrize("transport_type", [NoiseTransport, TLSTransport])
async def test_the_muxer_is_agreed_on_within_any_handshake(
    transport_type: type[NoiseTransport | TLSTransport],
) -> None:
    key_pairs = create_new_ed25519_key_pair(), create_new_ed25519_key_pair()
    a, b = (
        new_host(key_pair=pair, sec_opt={TProtocol("/secure"): transport_type(pair)})
        for pair in key_pairs
    )
    async with a.run(listen_addrs=[]), b.run(listen_addrs=[LOOPBACK]):
        await a.connect(info_of(b))
        [connection] = a.get_network().get_connections()
        assert yamux_of(connection).secured_conn.early_muxer == "/yamux/1.0.0"


def test_an_option_that_is_accepted_has_its_effect() -> None:
    host = new_host(negotiate_timeout=3)
    assert host.get_network().config.negotiate_timeout == 3
    with pytest.raises(ValueError, match="enable_quic"):
        new_host(enable_quic=True)


async def test_what_has_ended_is_freed_without_a_garbage_collection() -> None:
    """A circle keeps what is unread until one, and many make it long: nothing else runs then."""
    rounds = 20
    async with running_host() as a, running_host() as b:
        b.set_stream_handler(ECHO, echo)

        async def use_once() -> None:
            await a.connect(info_of(b))
            stream = await a.new_stream(b.get_id(), [ECHO])
            assert await echoed(stream, b"hello") == b"hello"
            await stream.close()
            await (await a.new_stream(b.get_id(), [ECHO])).reset()
            await a.disconnect(b.get_id())
            while b.get_connected_peers():
                await trio.testing.wait_all_tasks_blocked()

        await use_once()
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):
                await use_once()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert gc.collect() < 25 * rounds  # 300 each, once
        finally:
            gc.enable()
