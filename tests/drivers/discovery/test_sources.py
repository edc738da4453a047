"""Lists of first peers: addresses, files, names, a document at a URL."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from multiaddr import Multiaddr

from libp2p.discovery.bootstrap import autoconf, read_sources
from libp2p.discovery.bootstrap.config import MAX_PEERS
from libp2p.discovery.bootstrap.sources import MAX_FILE_BYTES, PUBLIC_PEERS
from libp2p.dns import Resolver
from libp2p.exceptions import BaseLibp2pError, BootstrapError, InvalidAddrError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from tests.support.name_server import name_server

A = ID(b"\x12\x20" + b"\1" * 32)
B = ID(b"\x12\x20" + b"\2" * 32)
ADDRESS = f"/ip4/192.0.2.1/tcp/4001/p2p/{A}"
INFO = PeerInfo(A, [Multiaddr("/ip4/192.0.2.1/tcp/4001")])


async def peers(entry: object, resolver: Resolver | None = None) -> list[PeerInfo]:
    (source,) = read_sources(entry)
    return await source.peers(resolver or Resolver())


@pytest.mark.parametrize("entry", [ADDRESS, Multiaddr(ADDRESS), INFO, [ADDRESS], f" {ADDRESS} "])
async def test_addresses_are_peers(entry: object) -> None:
    assert await peers(entry) == [INFO]


async def test_a_peer_may_have_no_address() -> None:
    assert await peers(f"/p2p/{A}") == [PeerInfo(A, [])]


async def test_a_name_is_looked_up() -> None:
    async with name_server() as zone:
        zone.dnsaddr(
            "boot.example", ADDRESS, f"/ip4/192.0.2.2/tcp/1/p2p/{B}", "/ip4/192.0.2.3/tcp/1"
        )
        found = await peers("/dnsaddr/boot.example", zone.resolver())
        assert sorted(str(info.peer_id) for info in found) == sorted(map(str, (A, B)))
        zone.dnsaddr("nobody.example", "/ip4/192.0.2.3/tcp/1")
        with pytest.raises(BootstrapError, match=r"no address of /dnsaddr/nobody\.example ends in"):
            await peers("/dnsaddr/nobody.example", zone.resolver())
        with pytest.raises(BaseLibp2pError, match=r"none\.example"):
            await peers("/dnsaddr/none.example", zone.resolver())


async def test_a_name_with_a_peer_is_kept_as_an_address() -> None:
    assert await peers(f"/dnsaddr/boot.example/p2p/{A}") == [
        PeerInfo(A, [Multiaddr("/dnsaddr/boot.example")])
    ]


async def test_a_file_has_a_peer_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "peers.txt"
    path.write_text(f"# ours\n\n{ADDRESS}  # the first\nnonsense\n/ip4/192.0.2.9/tcp/1\n/p2p/{B}\n")
    for entry in (path, str(path)):
        assert await peers(entry) == [INFO, PeerInfo(B, [])]


async def test_a_file_that_is_of_no_use_says_why(tmp_path: Path) -> None:
    for name, content, reason in (
        ("missing", None, "cannot be read"),
        ("empty", b"# nothing\n", "has no address of a peer"),
        ("large", b"\n" * (MAX_FILE_BYTES + 1), "more than"),
        ("binary", b"\xff\xfe", "cannot be read"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BootstrapError, match=f"{name}.*{reason}"):
            await peers(path)


async def test_the_public_list_is_there_and_has_a_date() -> None:
    found = await peers("public")
    assert len(found) == 5
    assert all(info.addrs for info in found)
    assert "Taken on 20" in PUBLIC_PEERS.read_text()


@pytest.mark.parametrize(
    "entry", ["", "nonsense", "/ip4/192.0.2.1/tcp/4001", "/ip4/x/tcp/1",
              f"/dns4/a..b/tcp/1/p2p/{A}", "/ip4/192.0.2.1/tcp/1/p2p/xyz", "/dnsaddr/"],
)  # fmt: skip
def test_what_is_no_peer_is_refused_at_once(entry: str) -> None:
    with pytest.raises(InvalidAddrError):
        read_sources([entry])


def test_wrong_kinds_are_refused_at_once() -> None:
    for entries in (5, [5], [None], [b"x"]):
        with pytest.raises(TypeError):
            read_sources(entries)
    with pytest.raises(ValueError, match="1024 or less"):
        read_sources([ADDRESS] * (MAX_PEERS + 1))


# -- a document at a URL ---------------------------------------------------------------------------


class Site:
    """What an HTTP server answers, and how often it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.body = b""
        self.status = "200 OK"
        self.asked = 0
        self.pause = 0.0


@asynccontextmanager
async def http_server() -> AsyncIterator[Site]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    site = Site(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/autoconf.json")

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65_536)
            site.asked += 1
            await trio.sleep(site.pause)
            head = f"HTTP/1.1 {site.status}\r\nContent-Length: {len(site.body)}\r\n"
            try:
                await stream.send_all(f"{head}Connection: close\r\n\r\n".encode() + site.body)
            except trio.BrokenResourceError:
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield site
        nursery.cancel_scope.cancel()


def document(*addresses: str) -> bytes:
    registry = {"AminoDHT": {"NativeConfig": {"Bootstrap": addresses}}}
    return json.dumps({"AutoConfSchema": 1, "SystemRegistry": registry}).encode()


async def test_a_document_is_fetched_and_kept_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_server() as site:
        site.body = document(ADDRESS, "nonsense", f"/p2p/{B}")
        (source,) = read_sources([site.url])
        assert site.asked == 0
        for _ in range(3):
            assert await source.peers(Resolver()) == [INFO, PeerInfo(B, [])]
        assert site.asked == 1


async def test_when_it_cannot_be_had_again_the_last_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(autoconf, "MIN_TTL_SECONDS", 0.0)
    async with http_server() as site:
        site.body = document(ADDRESS)
        (source,) = read_sources(site.url)
        assert await source.peers(Resolver()) == [INFO]
        site.status = "503 Service Unavailable"
        assert await source.peers(Resolver()) == [INFO]
        assert site.asked == 2


async def test_a_document_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_server() as site:
        site.status = "404 Not Found"
        with pytest.raises(BootstrapError, match=r"autoconf\.json: .*404"):
            await peers(site.url)
        site.status, site.body = "200 OK", b"<html>"
        with pytest.raises(BootstrapError, match="is no autoconf JSON"):
            await peers(site.url)
        site.body = document()
        with pytest.raises(BootstrapError, match="has no address of a peer"):
            await peers(site.url)
        monkeypatch.setattr(autoconf, "MAX_DOCUMENT_BYTES", 1000)
        site.body = b" " * 5000
        with pytest.raises(BootstrapError, match="more than 1000 bytes"):
            await peers(site.url)
        monkeypatch.setattr(autoconf, "FETCH_TIMEOUT", 0.2)
        site.pause = 5.0
        with pytest.raises(BootstrapError, match=r"no answer within 0\.2 s"):
            await peers(site.url)
    with pytest.raises(BootstrapError, match="no answer"):
        await peers(site.url)


async def test_without_httpx2_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(BootstrapError, match=r"libp2p\[http\]"):
        await peers("https://conf.invalid/autoconf.json")
