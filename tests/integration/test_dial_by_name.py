"""A host is reached at ``/dnsaddr``, and a name costs bounded time and harms nobody."""

from __future__ import annotations

import pytest
import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import ConnectionFailure
from libp2p.network.named_addresses import MAX_NAMES_PER_DIAL
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from tests.support.hosts import LOOPBACK, info_of, running_host
from tests.support.name_server import Zone, name_server

OTHER = ID.from_pubkey(create_new_key_pair().public_key)


async def dial(zone: Zone, target: PeerInfo | str, **options: object) -> list[Multiaddr]:
    """Connect a new host; return where it is connected."""
    host = new_host(resolver=zone.resolver(query_timeout=0.5))
    async with host.run([LOOPBACK]):
        await host.connect(target, **options)  # type: ignore[arg-type]
        connections = host.get_network().get_connections()
        return [a for one in connections for a in one.get_transport_addresses()]


async def test_a_dnsaddr_is_dialled() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.dnsaddr("node.example", *peer.get_addrs())
        found = await dial(zone, f"/dnsaddr/node.example/p2p/{peer.get_id()}")
        assert found == peer.get_transport_addrs()


async def test_a_dnsaddr_that_leads_to_another_is_dialled() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.dnsaddr("boot.example", f"/dnsaddr/one.example/p2p/{peer.get_id()}")
        zone.dnsaddr("one.example", *peer.get_addrs(), f"/dnsaddr/boot.example/p2p/{peer.get_id()}")
        assert await dial(zone, f"/dnsaddr/boot.example/p2p/{peer.get_id()}")


async def test_addresses_of_other_peers_are_left_out() -> None:
    async with name_server() as zone, running_host() as peer, running_host() as other:
        zone.dnsaddr("node.example", *other.get_addrs(), *peer.get_addrs())
        assert await dial(zone, f"/dnsaddr/node.example/p2p/{peer.get_id()}")
        zone.dnsaddr("wrong.example", *other.get_addrs())
        with pytest.raises(
            ConnectionFailure, match=r"/dnsaddr/wrong\.example: it stands for other"
        ):
            await dial(zone, f"/dnsaddr/wrong.example/p2p/{peer.get_id()}")
        info = PeerInfo(peer.get_id(), [Multiaddr("/dnsaddr/wrong.example")])
        with pytest.raises(ConnectionFailure, match="other peers only"):
            await dial(zone, info)
        assert not other.get_connected_peers()


async def test_records_may_leave_out_the_peer() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.dnsaddr("node.example", *peer.get_transport_addrs())
        assert await dial(zone, f"/dnsaddr/node.example/p2p/{peer.get_id()}")


async def test_names_of_hosts_are_asked_for_at_the_configured_nameservers() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.records["host.example", "A"] = ["127.0.0.1"]
        port = str(peer.get_transport_addrs()[0]).rpartition("/")[2]
        assert await dial(zone, f"/dns4/host.example/tcp/{port}/p2p/{peer.get_id()}")


async def test_addresses_without_names_come_first() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.mute.add("_dnsaddr.mute.example")
        host = new_host(resolver=zone.resolver(query_timeout=30.0))
        async with host.run([LOOPBACK]):
            host.get_peerstore().add_addrs(
                peer.get_id(), [Multiaddr("/dnsaddr/mute.example"), *peer.get_transport_addrs()], 60
            )
            with trio.fail_after(5):
                await host.get_network().dial_peer(peer.get_id())
        assert not zone.asked


async def test_when_those_fail_names_are_looked_up() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.dnsaddr("node.example", *peer.get_addrs())
        refused = Multiaddr("/ip4/127.0.0.1/tcp/1")
        info = PeerInfo(peer.get_id(), [refused, Multiaddr("/dnsaddr/node.example")])
        assert await dial(zone, info)
        info = PeerInfo(OTHER, [refused, Multiaddr("/dnsaddr/node.example")])
        with pytest.raises(ConnectionFailure) as raised:
            await dial(zone, info)
        assert "refused" in str(raised.value)
        assert "/dnsaddr/node.example: it stands for other peers only" in str(raised.value)


async def test_a_mute_name_costs_bounded_time_and_is_named() -> None:
    async with name_server() as zone:
        zone.mute.add("_dnsaddr.mute.example")
        started_at = trio.current_time()
        with pytest.raises(ConnectionFailure, match=r"mute\.example cannot be looked up"):
            await dial(zone, f"/dnsaddr/mute.example/p2p/{OTHER}")
        assert trio.current_time() - started_at < 5


async def test_thousands_of_addresses_cost_bounded_time() -> None:
    async with name_server() as zone:
        names = [f"n{n}.example" for n in range(100)]
        zone.dnsaddr("x.example", *(f"/dnsaddr/{name}/p2p/{OTHER}" for name in names))
        for number, name in enumerate(names):
            addresses = [f"/ip4/127.0.{number}.1/tcp/{n}/p2p/{OTHER}" for n in range(1, 101)]
            zone.dnsaddr(name, *addresses)
        started_at = trio.current_time()
        with pytest.raises(ConnectionFailure, match="refused"):
            await dial(zone, f"/dnsaddr/x.example/p2p/{OTHER}")
        assert trio.current_time() - started_at < 30


async def test_a_strangers_name_does_not_lead_into_this_hosts_network() -> None:
    """Of a record that somebody else made, an answer in a private network is not dialled."""
    async with name_server() as zone, running_host() as peer:
        zone.dnsaddr("evil.example", f"/ip4/10.1.2.3/tcp/22/p2p/{OTHER}")
        info = PeerInfo(OTHER, [Multiaddr("/dnsaddr/evil.example")])
        with pytest.raises(ConnectionFailure, match="1 are of networks that this host is not in"):
            await dial(zone, info, hearsay=True)
        assert not peer.get_connected_peers()


async def test_many_names_of_one_peer_are_not_all_looked_up() -> None:
    async with name_server() as zone:
        info = PeerInfo(OTHER, [Multiaddr(f"/dnsaddr/n{n}.example") for n in range(50)])
        with pytest.raises(ConnectionFailure, match="only 4 names of a peer are looked up"):
            await dial(zone, info)
        assert len(zone.asked) <= MAX_NAMES_PER_DIAL


async def test_what_was_found_is_dialled_again_without_asking() -> None:
    async with name_server() as zone, running_host() as peer:
        zone.dnsaddr("node.example", *peer.get_addrs())
        host = new_host(resolver=zone.resolver())
        async with host.run([LOOPBACK]):
            for _ in range(3):
                await host.connect(f"/dnsaddr/node.example/p2p/{peer.get_id()}")
                await host.disconnect(peer.get_id())
        assert zone.asked["_dnsaddr.node.example"] == 1


async def test_connected_peers_need_no_names() -> None:
    async with name_server() as zone, running_host() as peer:
        host = new_host(resolver=zone.resolver())
        async with host.run([LOOPBACK]):
            await host.connect(info_of(peer))
            await host.connect(f"/dnsaddr/node.example/p2p/{peer.get_id()}")
        assert not zone.asked
