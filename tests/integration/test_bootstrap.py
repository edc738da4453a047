"""A host meets its first peers, keeps them, and says once when there are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import BasicHost, MemoryTransport, new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.datastore import SqliteDatastore
from libp2p.discovery.bootstrap import Bootstrap, BootstrapConfig, BootstrapDiscovery
from libp2p.discovery.bootstrap.utils import (
    parse_bootstrap_peer_info,
    validate_bootstrap_addresses,
)
from libp2p.discovery.events.peerDiscovery import PeerDiscovery, peerDiscovery
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.persistent import PersistentPeerStore
from tests.support.hosts import LOOPBACK, running_host
from tests.support.name_server import name_server

NOBODY = ID.from_pubkey(create_new_key_pair().public_key)
DEAD = f"/ip4/127.0.0.1/tcp/1/p2p/{NOBODY}"
QUICK = BootstrapConfig(retry=0.2, max_retry=0.4, connect_timeout=2.0, head_start=0.05)


@asynccontextmanager
async def kept(bootstrap: Bootstrap) -> AsyncIterator[Bootstrap]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bootstrap.run)
        yield bootstrap
        nursery.cancel_scope.cancel()


async def until(condition: object) -> None:
    assert callable(condition)
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - whatever the condition is, no event says it
            await trio.sleep(0.01)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= 30]


async def test_a_host_connects_to_the_peers_that_are_given(tmp_path: Path) -> None:
    async with running_host() as one, running_host() as two, running_host() as three:
        file = tmp_path / "peers.txt"
        file.write_text(str(two.get_addrs()[0]))
        async with name_server() as zone:
            zone.dnsaddr("boot.example", *three.get_addrs())
            host = new_host(resolver=zone.resolver())
            given = [one.get_addrs()[0], file, "/dnsaddr/boot.example"]
            async with host.run([LOOPBACK]), kept(Bootstrap(host, given)) as bootstrap:
                await bootstrap.until_met()
                outcomes = await bootstrap.outcomes(10)
                assert set(host.get_connected_peers()) == {h.get_id() for h in (one, two, three)}
                assert {outcome.error for outcome in outcomes} == {None}


async def test_the_option_of_new_host_is_enough() -> None:
    found: list[PeerInfo] = []
    peerDiscovery.register_peer_discovered_handler(found.append)
    try:
        async with running_host() as peer:
            host = new_host(bootstrap=[str(peer.get_addrs()[0])])
            async with host.run([LOOPBACK]):
                await until(lambda: host.is_peer_connected(peer.get_id()))
        assert [info.peer_id for info in found] == [peer.get_id()]
    finally:
        peerDiscovery.unregister_peer_discovered_handler(found.append)


async def test_an_empty_list_means_nobody_at_all() -> None:
    async with running_host() as peer:
        host = new_host(bootstrap=[])
        host.get_peerstore().note_connection(peer.get_id(), peer.get_transport_addrs())
        bootstrap = Bootstrap(host, [], QUICK)
        async with host.run([LOOPBACK]):
            with trio.fail_after(5):
                await bootstrap.run()
            assert await bootstrap.outcomes() == []
        assert not peer.get_connected_peers()


async def test_peers_seen_before_come_first_the_latest_first(tmp_path: Path) -> None:
    pair = create_new_key_pair()
    async with (
        running_host() as old,
        running_host() as new,
        SqliteDatastore(tmp_path / "d") as store,
    ):
        first = new_host(key_pair=pair, peerstore_opt=PersistentPeerStore(store))
        async with first.run([LOOPBACK]):
            for peer in (old, new):
                await first.connect(peer.get_addrs()[0])
                await first.disconnect(peer.get_id())
        second = new_host(key_pair=pair, peerstore_opt=PersistentPeerStore(store))
        config = BootstrapConfig(min_peers=1, head_start=5.0)
        async with second.run([LOOPBACK]):
            async with kept(Bootstrap(second, None, config)) as bootstrap:
                await bootstrap.outcomes(10)
                assert second.get_connected_peers() == [new.get_id()]
            async with kept(Bootstrap(second, [DEAD], BootstrapConfig(min_peers=2))) as bootstrap:
                await bootstrap.outcomes(10)
                assert set(second.get_connected_peers()) == {new.get_id(), old.get_id()}


async def test_seen_peers_that_are_mute_do_not_keep_the_others_waiting() -> None:
    mute = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = mute[0].socket.getsockname()[1]
    async with running_host() as peer:
        host = new_host()
        for number in range(40):
            peer_id = ID(b"\x12\x20" + number.to_bytes(32, "big"))
            address = Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")
            host.get_peerstore().note_connection(peer_id, [address])
        config = BootstrapConfig(head_start=0.01, connect_timeout=1.0, min_peers=1)
        bootstrap = Bootstrap(host, [peer.get_addrs()[0]], config)
        async with host.run([LOOPBACK]), kept(bootstrap):
            with trio.fail_after(20):
                await bootstrap.until_met()
            assert host.get_connected_peers() == [peer.get_id()]
    await mute[0].aclose()


async def test_a_peer_that_is_lost_is_dialled_again() -> None:
    async with running_host() as peer:
        host = new_host()
        async with host.run([LOOPBACK]), kept(Bootstrap(host, [peer.get_addrs()[0]], QUICK)):
            for _ in range(3):
                await until(lambda: host.is_peer_connected(peer.get_id()))
                await host.disconnect(peer.get_id())
                await until(lambda: not host.is_peer_connected(peer.get_id()))
            await until(lambda: host.is_peer_connected(peer.get_id()))


async def test_one_that_comes_later_is_met_and_it_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pair = create_new_key_pair()
    peer_id = ID.from_pubkey(pair.public_key)
    place = Multiaddr("/memory/7001")
    host = new_host(transports=[MemoryTransport()])
    bootstrap = Bootstrap(host, [f"{place}/p2p/{peer_id}"], QUICK)
    async with host.run(), kept(bootstrap):
        (outcome,) = await bootstrap.outcomes(10)
        assert outcome.error is not None
        assert str(peer_id) in outcome.name
        await trio.sleep(1.0)
        (text,) = warnings(caplog)
        assert "none of 1 bootstrap peers can be reached" in text
        assert str(place) in text
        later = new_host(key_pair=pair, transports=[MemoryTransport()])
        async with later.run([place]):
            await until(lambda: host.is_peer_connected(peer_id))
        await until(lambda: len(warnings(caplog)) == 2)


async def test_no_list_is_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    host = new_host()
    async with host.run([LOOPBACK]), kept(Bootstrap(host, None, QUICK)) as bootstrap:
        assert await bootstrap.outcomes(5) == []
    assert warnings(caplog) == []


async def test_sources_that_fail_are_told_and_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "peers.txt"
    async with running_host() as peer:
        host = new_host()
        async with host.run([LOOPBACK]), kept(Bootstrap(host, [file], QUICK)) as bootstrap:
            (outcome,) = await bootstrap.outcomes(5)
            assert "cannot be read" in (outcome.error or "")
            (text,) = warnings(caplog)
            assert "peers.txt cannot be read" in text
            file.write_text(str(peer.get_addrs()[0]))
            await until(lambda: host.is_peer_connected(peer.get_id()) and bootstrap._outcomes)
            (outcome,) = await bootstrap.outcomes()
            assert outcome.error is None


async def test_with_enough_connections_nobody_is_dialled() -> None:
    async with running_host() as friend, running_host() as other:
        host = new_host()
        async with host.run([LOOPBACK]):
            await host.connect(friend.get_addrs()[0])
            config = BootstrapConfig(min_peers=1)
            async with kept(Bootstrap(host, [other.get_addrs()[0]], config)) as bootstrap:
                with trio.fail_after(1):
                    await bootstrap.until_met()
                assert await bootstrap.outcomes(5) == []
                await host.disconnect(friend.get_id())
                await until(host.get_connected_peers)


async def test_dials_are_few_at_a_time_and_retries_rare(autojump_clock: object) -> None:
    """A host without any network, for a day: some hundred dials, not one in each second."""
    host = new_host(transports=[MemoryTransport()])
    peers = [f"/memory/{9000 + n}/p2p/{ID(bytes([0x12, 0x20, n]) + bytes(31))}" for n in range(5)]
    dials = 0
    running = most = 0
    network = host.get_network()
    dial_peer = network.dial_peer

    async def counted(peer_id: ID) -> object:
        nonlocal dials, running, most
        dials += 1
        running += 1
        most = max(most, running)
        try:
            return await dial_peer(peer_id)
        finally:
            running -= 1

    network.dial_peer = counted  # type: ignore[method-assign, assignment]
    async with host.run(), kept(Bootstrap(host, peers)):
        await trio.sleep(24 * 3600)
    assert 5 * 24 <= dials <= 5 * 40
    assert most <= 16


async def test_names_of_the_user_may_lead_into_private_networks() -> None:
    async with name_server() as zone:
        zone.dnsaddr("corp.example", f"/ip4/10.255.255.1/tcp/1/p2p/{NOBODY}")
        host = new_host(resolver=zone.resolver())
        config = BootstrapConfig(connect_timeout=0.5)
        async with (
            host.run([LOOPBACK]),
            kept(Bootstrap(host, f"/dnsaddr/corp.example/p2p/{NOBODY}", config)) as kept_,
        ):
            (outcome,) = await kept_.outcomes(10)
            known = host.get_peerstore().addrs(NOBODY)
    assert Multiaddr("/ip4/10.255.255.1/tcp/1") in known
    assert "this host is not in" not in (outcome.error or "")


def test_lists_that_cannot_be_are_refused_when_the_host_is_made() -> None:
    with pytest.raises(ValueError, match="multiaddr"):
        new_host(bootstrap=["nonsense"])
    with pytest.raises(TypeError, match="bootstrap"):
        new_host(bootstrap=5)  # type: ignore[arg-type]


# -- py-libp2p's names -----------------------------------------------------------------------------


async def start(host: BasicHost, addresses: list[str]) -> BootstrapDiscovery:
    discovery = BootstrapDiscovery(host.get_network(), addresses, reconnect_interval=0.2)
    await discovery.start()
    return discovery


async def test_py_libp2ps_discovery_connects_and_reconnects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found: list[PeerInfo] = []
    peerDiscovery.register_peer_discovered_handler(found.append)
    try:
        async with running_host() as peer, running_host() as host:
            address = str(peer.get_addrs()[0])
            discovery = await start(host, [address, "nonsense", str(host.get_addrs()[0])])
            assert host.get_connected_peers() == [peer.get_id()]
            assert discovery.discovered_peers == {str(peer.get_id())}
            await host.disconnect(peer.get_id())
            await until(lambda: host.is_peer_connected(peer.get_id()))
            discovery.stop()
            await host.disconnect(peer.get_id())
            await trio.sleep(0.5)
            assert not host.get_connected_peers()
    finally:
        peerDiscovery.unregister_peer_discovered_handler(found.append)
    assert [info.peer_id for info in found] == [peer.get_id()]
    assert len([text for text in warnings(caplog) if "is left out" in text]) == 1


async def test_a_host_has_what_keeps_it_connected() -> None:
    assert new_host().bootstrap is None
    async with running_host() as peer:
        address = str(peer.get_addrs()[0])
        host = new_host(bootstrap=[address])
        assert host.bootstrap is not None
        assert host.bootstrap.bootstrap_addrs == [address]
        host.bootstrap.stop()
        async with host.run():
            await trio.sleep(0.3)  # it would be connected by then
            assert not host.get_connected_peers()
        async with host.run():
            await until(lambda: host.is_peer_connected(peer.get_id()))
            host.bootstrap.stop()
            await host.disconnect(peer.get_id())
            await trio.testing.wait_all_tasks_blocked()
            assert not host.get_connected_peers()


async def test_a_handler_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    discovery = PeerDiscovery()
    found: list[PeerInfo] = []

    def fail(info: PeerInfo) -> None:
        raise RuntimeError("broken")

    discovery.register_peer_discovered_handler(fail)
    discovery.register_peer_discovered_handler(found.append)
    discovery.emit_peer_discovered(PeerInfo(NOBODY, []))
    discovery.unregister_peer_discovered_handler(fail)
    discovery.unregister_peer_discovered_handler(fail)
    assert len(found) == 1
    assert "a handler of discovered peers failed" in caplog.text


def test_py_libp2ps_functions_read_lists() -> None:
    assert validate_bootstrap_addresses([DEAD, "nonsense", "/ip4/127.0.0.1/tcp/1"]) == [DEAD]
    info = parse_bootstrap_peer_info(DEAD)
    assert info is not None
    assert info.peer_id == NOBODY
    assert parse_bootstrap_peer_info("nonsense") is None
