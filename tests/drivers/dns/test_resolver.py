"""Names that are looked up at a nameserver on loopback, and by the system."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.dns import DnsConfig, DnsError, Nameserver, Resolver
from libp2p.dns import resolver as resolver_module
from libp2p.dns.config import MAX_TEXTS, MIN_TTL_SECONDS, NEGATIVE_TTL_SECONDS
from libp2p.exceptions import InvalidAddrError
from libp2p.peer.id import ID
from tests.support.name_server import name_server

A = ID(b"\x12\x20" + b"\1" * 32)


async def test_texts_are_joined_and_have_a_ttl() -> None:
    async with name_server() as zone:
        zone.txt("_dnslink.example.org", "dnslink=/ipns/k51", "x" * 700, "")
        zone.ttl = 120
        texts, ttl = await zone.resolver().txt("_dnslink.example.org")
        assert sorted(texts) == ["", "dnslink=/ipns/k51", "x" * 700]
        assert 110 < ttl <= 120


async def test_a_name_without_texts_has_none() -> None:
    async with name_server() as zone:
        zone.records["example.org", "A"] = ["192.0.2.1"]
        for name in ("example.org", "nobody.example.org"):
            texts, ttl = await zone.resolver().txt(name)
            assert texts == []
            assert 0 < ttl <= NEGATIVE_TTL_SECONDS


async def test_answers_are_remembered_and_names_asked_once() -> None:
    async with name_server() as zone:
        zone.txt("a.org", "1")
        resolver = zone.resolver()
        async with trio.open_nursery() as nursery:
            for name in ("a.org", "A.org", "a.org."):
                nursery.start_soon(resolver.txt, name)
        await resolver.txt("a.org")
        assert zone.asked["a.org"] == 1
        assert not resolver._under_way


async def test_a_ttl_of_nothing_and_one_of_years_are_bounded() -> None:
    async with name_server() as zone:
        zone.txt("a.org", "1")
        zone.ttl = 0
        _, ttl = await zone.resolver().txt("a.org")
        assert ttl == pytest.approx(MIN_TTL_SECONDS, abs=0.5)
        zone.ttl = 2**31 - 1
        _, ttl = await zone.resolver(max_ttl=100.0).txt("a.org")
        assert ttl == pytest.approx(100.0, abs=0.5)


async def test_many_texts_come_by_tcp_and_are_cut() -> None:
    async with name_server() as zone:
        zone.txt("many.org", *(f"text {n}" for n in range(2000)))
        texts, _ = await zone.resolver().txt("many.org")
        assert len(texts) == MAX_TEXTS


async def test_a_server_that_fails_is_an_error_that_names_the_name() -> None:
    async with name_server() as zone:
        zone.failing.add("bad.org")
        resolver = zone.resolver(query_timeout=2.0)
        for _ in range(2):
            with pytest.raises(DnsError, match=r"bad\.org cannot be looked up: .*SERVFAIL"):
                await resolver.txt("bad.org")
        assert zone.asked["bad.org"] < 10, "the second time it is remembered"


async def test_a_mute_server_costs_bounded_time() -> None:
    async with name_server() as zone:
        zone.mute.add("mute.org")
        started_at = trio.current_time()
        with pytest.raises(DnsError, match=r"mute\.org cannot be looked up: no nameserver answers"):
            await zone.resolver(query_timeout=0.3).txt("mute.org")
        assert trio.current_time() - started_at < 1.5


@pytest.mark.parametrize("answer", [b"", b"\0", b"garbage", b"\xff" * 4000, bytes(12)])
async def test_a_server_that_answers_garbage_costs_bounded_time(answer: bytes) -> None:
    udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await udp.bind(("127.0.0.1", 0))

    async def serve() -> None:
        while True:
            query, address = await udp.recvfrom(65_535)
            for reply in (answer, query[:2] + answer, query, query[:2] + b"\x84\0" + query[4:14]):
                await udp.sendto(reply, address)

    server = Nameserver("127.0.0.1", udp.getsockname()[1])
    resolver = Resolver(DnsConfig(nameservers=(server,), query_timeout=0.5))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.fail_after(5), pytest.raises(DnsError, match=r"a\.org cannot be looked up"):
            await resolver.txt("a.org")
        nursery.cancel_scope.cancel()
    udp.close()


async def test_nobody_at_the_nameservers_port(unused_port: int) -> None:
    server = Nameserver("127.0.0.1", unused_port)
    with pytest.raises(DnsError, match=r"a\.org cannot be looked up"):
        await Resolver(DnsConfig(nameservers=(server,), query_timeout=0.5)).txt("a.org")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "a b", "-", "a." * 150])
async def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(DnsError, match="is no host name"):
        await Resolver(DnsConfig(nameservers=("127.0.0.1",))).txt(name)


async def test_without_a_nameserver_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from dns import asyncresolver, resolver

    def without(*args: object, **kwargs: object) -> None:
        raise resolver.NoResolverConfiguration

    monkeypatch.setattr(asyncresolver, "Resolver", without)
    with pytest.raises(DnsError, match="there is no nameserver to ask"):
        await Resolver().txt("a.org")


async def test_queries_at_the_same_time_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0

    async def query(self: Resolver, name: str, record_type: str) -> tuple[list[str], float]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(0.01)
        running -= 1
        return [name], 60.0

    monkeypatch.setattr(Resolver, "_query", query)
    resolver = Resolver(DnsConfig(max_queries=3))
    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(resolver.txt, f"{n}.org")
    assert most == 3


# -- addresses -------------------------------------------------------------------------------------


async def test_dnsaddr_stands_for_what_its_chain_ends_in() -> None:
    async with name_server() as zone:
        zone.dnsaddr("x.org", f"/dnsaddr/y.org/p2p/{A}", "/ip4/192.0.2.9/tcp/1")
        zone.dnsaddr("y.org", f"/ip4/192.0.2.1/tcp/1/p2p/{A}", f"/dns4/h.org/tcp/2/p2p/{A}")
        zone.records["h.org", "A"] = ["192.0.2.2", "192.0.2.3"]
        resolver = zone.resolver()
        found = await resolver.resolve_dnsaddr(f"/dnsaddr/x.org/p2p/{A}")
        assert sorted(str(one) for one in found) == [
            f"/dns4/h.org/tcp/2/p2p/{A}",
            f"/ip4/192.0.2.1/tcp/1/p2p/{A}",
        ]
        found = await resolver.resolve(f"/dnsaddr/x.org/p2p/{A}")
        assert sorted(str(one) for one in found) == [
            f"/ip4/192.0.2.{n}/tcp/{min(n, 2)}/p2p/{A}" for n in (1, 2, 3)
        ]


async def test_host_names_have_addresses_of_their_kind() -> None:
    async with name_server() as zone:
        zone.records["h.org", "A"] = ["192.0.2.1"]
        zone.records["h.org", "AAAA"] = ["2001:db8::1"]
        resolver = zone.resolver()
        for protocol, expected in (
            ("dns4", ["/ip4/192.0.2.1/tcp/1"]),
            ("dns6", ["/ip6/2001:db8::1/tcp/1"]),
            ("dns", ["/ip6/2001:db8::1/tcp/1", "/ip4/192.0.2.1/tcp/1"]),
        ):
            found = await resolver.resolve(f"/{protocol}/h.org/tcp/1")
            assert [str(one) for one in found] == expected


async def test_the_system_knows_what_the_nameservers_do_not() -> None:
    async with name_server() as zone:
        for resolver in (zone.resolver(), Resolver()):
            found = await resolver.resolve("/dns4/localhost/tcp/1")
            assert Multiaddr("/ip4/127.0.0.1/tcp/1") in found


async def test_an_address_without_a_name_stands_for_itself() -> None:
    address = Multiaddr("/ip4/192.0.2.1/udp/1/quic-v1")
    assert await Resolver().resolve(address) == [address]


async def test_what_stands_for_nothing_is_an_error_that_says_why() -> None:
    async with name_server() as zone:
        zone.dnsaddr("x.org", "/dnsaddr/mute.org", "/dnsaddr/bad.org", "/dnsaddr/none.org")
        zone.mute.add("_dnsaddr.mute.org")
        zone.failing.add("_dnsaddr.bad.org")
        resolver = zone.resolver(query_timeout=0.3)
        with pytest.raises(DnsError) as raised:
            await resolver.resolve("/dnsaddr/x.org")
        for part in ("/dnsaddr/x.org stands for no address", "mute.org cannot", "bad.org cannot",
                     "_dnsaddr.none.org has no dnsaddr= record"):  # fmt: skip
            assert part in str(raised.value)
        with pytest.raises(DnsError, match=r"/dns4/no\.invalid/tcp/1 stands for no address"):
            await resolver.resolve("/dns4/no.invalid/tcp/1")


async def test_what_was_found_in_time_is_used() -> None:
    async with name_server() as zone:
        zone.dnsaddr("x.org", "/ip4/192.0.2.1/tcp/1", "/dnsaddr/mute.org")
        zone.mute.add("_dnsaddr.mute.org")
        resolver = zone.resolver(query_timeout=30.0, resolve_timeout=0.4)
        started_at = trio.current_time()
        for resolve in (resolver.resolve, resolver.resolve_dnsaddr):
            assert await resolve("/dnsaddr/x.org") == [Multiaddr("/ip4/192.0.2.1/tcp/1")]
        with pytest.raises(DnsError, match=r"mute\.org stands for no address: no answer within"):
            await resolver.resolve("/dnsaddr/mute.org")
        assert trio.current_time() - started_at < 5


async def test_addresses_that_cannot_be_read_are_refused() -> None:
    for resolve in (Resolver().resolve, Resolver().resolve_dnsaddr):
        with pytest.raises(InvalidAddrError):
            await resolve("/no/address")
    with pytest.raises(InvalidAddrError, match="is no /dnsaddr"):
        await Resolver().resolve_dnsaddr("/ip4/192.0.2.1/tcp/1")


def test_dnspython_is_loaded_when_it_is_used() -> None:
    code = "import sys, libp2p; libp2p.new_host(); assert 'dns.asyncresolver' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_systems_nameservers_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with name_server() as zone:
        zone.txt("a.org", "1")
        resolver = zone.resolver()
        await resolver.txt("a.org")
        first = resolver._system
        monkeypatch.setattr(resolver_module, "RESOLV_CONF_SECONDS", 0.0)
        resolver._system_until = 0.0
        await resolver.txt("b.org")
        assert resolver._system is not first
