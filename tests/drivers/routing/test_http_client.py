"""The client of ``/routing/v1``: beside our server, and beside servers that do what they want."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from multiaddr import Multiaddr

from libp2p.exceptions import (
    BadRouterAnswer,
    InvalidArgument,
    InvalidRecord,
    RouterRefused,
    RouterUnavailable,
    RoutingError,
)
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.ipns_record import make_record, routing_key
from libp2p.routing.abc import ContentRouter, PeerRouter, ValueRouter
from libp2p.routing.back_off import BACK_OFF_SECONDS
from libp2p.routing.found import FoundPeer
from libp2p.routing.http_client import HttpRouter, HttpRouterConfig
from libp2p.routing.http_filters import Filters
from libp2p.routing.http_listener import listening
from libp2p.routing.http_records import MAX_JSON_BYTES
from libp2p.routing.http_server import RoutingServer
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.routers import ScriptedRouter
from tests.support.web import RawServer, answer, open_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOOPBACK = "127.0.0.1:0"
BLOCK = CID.for_block(b"a block")
HERE, QUIC = Multiaddr("/ip4/192.0.2.1/tcp/1"), Multiaddr("/ip4/192.0.2.1/udp/1/quic-v1")
ANN, BOB = PeerInfo(peer_id_of("ann"), [HERE, QUIC]), PeerInfo(peer_id_of("bob"), [])
OWNER = ed25519_pair("owner")
NAME = ID.from_pubkey(OWNER.public_key)
KEY = routing_key(NAME)
NO_FILTERS = Filters()
NDJSON = "application/x-ndjson"
IPNS_RECORD = "application/vnd.ipfs.ipns-record"


def record(lifetime: float = 3600.0) -> bytes:
    expires = time.time() + lifetime
    return make_record(OWNER.private_key, f"/ipfs/{BLOCK}", sequence=1, expires=expires).encoded


def line(peer: PeerInfo = ANN, **fields: object) -> bytes:
    addrs = list(map(str, peer.addrs))
    shown = {"Schema": "peer", "ID": str(peer.peer_id), "Addrs": addrs, **fields}
    return json.dumps(shown).encode() + b"\n"


async def providers(router: HttpRouter, count: int = 0) -> list[PeerInfo]:
    return [info async for info in router.find_provider_iter(BLOCK.buffer, count)]


@asynccontextmanager
async def asking(
    *answers: bytes, filters: Filters = NO_FILTERS, config: HttpRouterConfig | None = None
) -> AsyncIterator[tuple[HttpRouter, RawServer]]:
    """A router at a server that gives these answers."""
    server = RawServer()
    server.answers = list(answers)
    async with (
        server.run(),
        HttpRouter(server.url, filters=filters, config=config).run() as router,
    ):
        yield router, server


def test_it_is_a_router_of_every_kind() -> None:
    router = HttpRouter("https://router.example")
    assert isinstance(router, ContentRouter)
    assert isinstance(router, PeerRouter)
    assert isinstance(router, ValueRouter)


# -- beside our server ----------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False])
async def test_all_questions_are_answered(in_memory: bool) -> None:
    signed = record()
    web = FoundPeer(peer_id_of("web"), [], ["transport-bitswap"], ["https://gateway.example"])
    router = ScriptedRouter(ANN, BOB, web)
    app = RoutingServer(router)
    if in_memory:
        transport = httpx2.ASGITransport(app)
        async with HttpRouter("http://router", transport=transport).run() as client:
            await ask_all(client, router, web, signed)
    else:
        async with (
            listening(app, LOOPBACK) as url,
            HttpRouter(f"{url}/routing/v1/").run() as client,
        ):
            await ask_all(client, router, web, signed)


async def ask_all(
    client: HttpRouter, router: ScriptedRouter, web: FoundPeer, signed: bytes
) -> None:
    found = await providers(client)
    assert found == [ANN, BOB, web]
    assert isinstance(found[2], FoundPeer)
    assert (found[2].urls, found[2].protocols) == (web.urls, web.protocols)
    assert await providers(client, 1) == [ANN]
    assert await client.find_peer(ANN.peer_id) == ANN
    assert await client.find_peer(BOB.peer_id) is None
    assert await client.find_peer(NAME) is None
    assert await client.get_closest_peers(BLOCK.multihash) == [ANN, BOB, web]
    assert await client.get_value(KEY) is None
    await client.put_value(KEY, signed)
    assert router.values == {KEY: [signed]}
    assert await client.get_value(KEY) == signed
    assert [value async for value in client.search_value(KEY)] == [signed]
    assert not await client.provide(BLOCK.buffer)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of loopback, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "router")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False
        )
        .sign(key, SHA256())
    )
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def test_over_tls_all_questions_share_one_connection(
    certificate: tuple[Path, Path],
) -> None:
    opened: set[tuple[str, object]] = set()
    app = RoutingServer(ScriptedRouter(ANN, seconds=0.05))

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            opened.add((scope["http_version"], tuple(scope["client"])))
        await app(scope, receive, send)

    context = ssl.create_default_context(cafile=certificate[0])
    async with listening(counting, LOOPBACK, certificate=certificate[0], key=certificate[1]) as url:
        assert url.startswith("https://")
        async with HttpRouter(url, ssl_context=context).run() as router:
            assert await router.find_peer(ANN.peer_id) == ANN
            async with trio.open_nursery() as nursery:
                for _ in range(12):
                    nursery.start_soon(providers, router)
            assert {version for version, _ in opened} == {"2"}
            assert len(opened) == 1
            async with aclosing(router.find_provider_iter(BLOCK.buffer)) as found:
                assert await anext(found) == ANN
            assert await router.find_peer(ANN.peer_id) == ANN
            assert len(opened) == 1
        async with HttpRouter(url).run() as distrustful:
            with pytest.raises(RouterUnavailable, match="certificate"):
                await providers(distrustful)


async def test_providers_come_as_they_are_found() -> None:
    release = trio.Event()

    class Slow:
        async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
            yield ANN
            await release.wait()
            yield BOB

    async with (
        listening(RoutingServer(Slow()), LOOPBACK) as url,
        HttpRouter(url).run() as router,
        aclosing(router.find_provider_iter(BLOCK.buffer)) as found,
    ):
        assert await anext(found) == ANN
        release.set()
        assert [info async for info in found] == [BOB]


async def test_closing_the_iterator_ends_the_search_at_the_server() -> None:
    app = RoutingServer(ScriptedRouter(ANN, between=1e6))
    async with listening(app, LOOPBACK) as url, HttpRouter(url).run() as router:
        async with aclosing(router.find_provider_iter(BLOCK.buffer)) as found:
            assert await anext(found) == ANN
        with trio.fail_after(5):
            while app.counts()["active"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await router.find_peer(ANN.peer_id)) == ANN


async def test_connections_are_used_again_and_closed_at_the_end() -> None:
    async with asking(answer(b'{"Providers":[]}')) as (router, server):
        for _ in range(5):
            assert await providers(router) == []
        assert (server.connections, len(server.requests)) == (1, 5)
    server = RawServer()
    server.answers = [answer(b"{}")]
    async with server.run():
        async with HttpRouter(server.url).run() as router:
            assert await providers(router) == []
        with trio.fail_after(5):
            while not server.ended:
                await trio.testing.wait_all_tasks_blocked(0.01)


# -- what is asked --------------------------------------------------------------------------------


async def test_the_request_says_what_is_wanted() -> None:
    headers = {"Authorization": "Bearer token"}
    server = RawServer()
    server.answers = [answer(b"{}")]
    filters = Filters(addrs=("tcp", "!ip6"), protocols=("unknown", "transport-bitswap"))
    async with (
        server.run(),
        HttpRouter(server.url + "/base/", filters=filters, headers=headers).run() as router,
    ):
        await providers(router)
        await router.find_peer(ANN.peer_id)
        await router.get_closest_peers(ANN.peer_id.to_bytes())
    first, second, third = server.requests
    assert first.startswith(
        f"GET /base/routing/v1/providers/{BLOCK}"
        "?filter-addrs=!ip6,tcp&filter-protocols=transport-bitswap,unknown HTTP/1.1\r\n"
    )
    assert "accept: application/x-ndjson, application/json" in first.lower()
    assert "accept-encoding: identity" in first.lower()
    assert "user-agent: py-libp2p/" in first.lower()
    assert "authorization: bearer token" in first.lower()
    assert f"/peers/{ANN.peer_id.to_multibase('base36')}?filter-addrs=!ip6,tcp HTTP" in second
    closest = CID.decode(b"\x01\x55" + ANN.peer_id.to_bytes())
    assert f"/dht/closest/peers/{closest} HTTP" in third


async def test_a_cid_is_asked_for_in_one_form() -> None:
    old = CID.parse("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    async with asking(answer(b"{}")) as (router, server):
        _ = [info async for info in router.find_provider_iter(old.buffer)]
    assert f"/providers/{old.to_v1()} HTTP" in server.requests[0]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://router.example", "https://router.example"),
        (" http://router.example:8080/routing/v1/ ", "http://router.example:8080"),
        ("http://[::1]:80/base", "http://[::1]:80/base"),
        ("https://user:secret@router.example", "https://router.example"),
    ],
)
def test_a_server_has_a_name_without_its_password(url: str, name: str) -> None:
    assert HttpRouter(url).name == name
    assert repr(HttpRouter(url)) == f"<HttpRouter {name}>"


@pytest.mark.parametrize(
    "url",
    ["", "router.example", "ftp://x", "http://", "http://x:99999", "http://x?y=z", "http://["],
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        HttpRouter(url)
    with pytest.raises(TypeError):
        HttpRouter(7)  # type: ignore[arg-type]  # is tested


async def test_it_must_run_and_once_only() -> None:
    router = HttpRouter("http://127.0.0.1:9")
    with pytest.raises(RoutingError, match="does not run"):
        await router.find_peer(ANN.peer_id)
    async with router.run():
        with pytest.raises(RoutingError, match="runs already"):
            async with router.run():
                pass  # pragma: no cover


# -- answers of all kinds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "empty",
    [
        answer(b"{}"),
        answer(b'{"Providers":null}'),
        answer(b"", NDJSON),
        answer(b"not found", "text/plain", "404 Not Found"),
    ],
)
async def test_none_in_all_its_forms(empty: bytes) -> None:
    async with asking(empty) as (router, _):
        assert await providers(router) == []
        assert await providers(router) == []


async def test_what_is_not_known_is_ignored_and_filters_are_applied_here_too() -> None:
    generic = {"Schema": "generic", "ID": "x", "Addrs": ["https://a.example"]}
    stream = (
        json.dumps(generic).encode()
        + b"\n\nrubbish\n"
        + line(Protocols=["transport-graphsync-filecoinv1"])
        + line(BOB, Protocols=["transport-bitswap"], New={"a": 1})
    )
    filters = Filters(protocols=("unknown", "transport-bitswap"))
    async with asking(answer(stream, NDJSON + "; charset=utf-8"), filters=filters) as (router, _):
        assert await providers(router) == [BOB]


async def test_records_of_one_peer_are_united() -> None:
    more = PeerInfo(BOB.peer_id, [HERE])
    async with asking(answer(line(BOB) + line(more) + line(more), NDJSON)) as (router, _):
        assert await providers(router) == [BOB, more]
    peers = b'{"Peers":[' + line(more) + b"," + line(PeerInfo(BOB.peer_id, [QUIC])) + b"]}"
    async with asking(answer(peers)) as (router, _):
        assert await router.find_peer(BOB.peer_id) == PeerInfo(BOB.peer_id, [HERE, QUIC])
        assert await router.find_peer(ANN.peer_id) is None  # it was not asked for bob


@pytest.mark.parametrize(
    "bad",
    [
        answer(b"<html>", "text/html"),
        answer(b"<html>"),
        answer(b"[]"),
        answer(b"[" * 100_000),
        answer(bytes(MAX_JSON_BYTES + 1)),
        open_answer(b"x" * 1_000_000),
        answer(b"{}", headers="Content-Encoding: gzip\r\n"),
        answer(b"{}", ""),
    ],
)
async def test_a_bad_answer_is_an_error_and_no_reason_to_stay_away(bad: bytes) -> None:
    async with asking(bad, answer(b"{}")) as (router, _):
        with pytest.raises(BadRouterAnswer):
            await providers(router)
        assert await providers(router) == []


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (answer(b"no such CID\n", "text/plain", "422 Unprocessable Entity"), "no such CID"),
        (answer(b"x" * 100_000, "text/plain", "400 Bad Request"), "answered 400: 'xxx"),
        (answer(b"", status="501 Not Implemented"), "answered 501"),
        (answer(b"", status="302 Found", headers="Location: http://10.0.0.1/\r\n"), "moved to"),
    ],
)
async def test_a_refusal_is_an_error_with_its_text(refused: bytes, text: str) -> None:
    async with asking(refused, answer(b"{}")) as (router, server):
        with pytest.raises(RouterRefused, match=text) as caught:
            await providers(router)
        assert caught.value.status >= 300
        assert await providers(router) == []
        assert len(server.requests) == 2  # nobody followed


# -- servers that are not well --------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        answer(b"", status="502 Bad Gateway"),
        answer(b"", status="503 Service Unavailable"),
        answer(b"", status="429 Too Many Requests"),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: 100\r\n\r\n{",
    ],
)
async def test_a_server_that_fails_is_left_alone_for_a_while(failure: bytes) -> None:
    async with asking(failure, answer(b"{}")) as (router, server):
        with pytest.raises(RouterUnavailable) as caught:
            await providers(router)
        assert not caught.value.retry_after or caught.value.retry_after <= BACK_OFF_SECONDS
        with pytest.raises(RouterUnavailable, match="left alone"):
            await router.find_peer(ANN.peer_id)
        assert len(server.requests) == 1
        await trio.sleep(BACK_OFF_SECONDS)
        assert await providers(router) == []


async def test_one_question_that_the_server_fails_at_is_no_reason_to_leave_it() -> None:
    broken = answer(b"delegate error: no peers", "text/plain", "500 Internal Server Error")
    async with asking(broken, answer(b"{}"), *[broken] * 3) as (router, server):
        with pytest.raises(RouterUnavailable, match="delegate error: no peers"):
            await providers(router)
        assert await providers(router) == []
        for _ in range(3):
            with pytest.raises(RouterUnavailable, match="delegate error"):
                await providers(router)
        with pytest.raises(RouterUnavailable, match="left alone"):
            await providers(router)
        assert len(server.requests) == 5


async def test_what_the_server_asks_for_is_done() -> None:
    busy = answer(b"", status="429 Too Many Requests", headers="Retry-After: 77\r\n")
    async with asking(busy) as (router, _):
        with pytest.raises(RouterUnavailable, match="answered 429") as caught:
            await providers(router)
        assert caught.value.retry_after == pytest.approx(77, abs=1)


async def test_a_server_that_is_not_there() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        async with HttpRouter(f"http://127.0.0.1:{unused.getsockname()[1]}").run() as router:
            with pytest.raises(RouterUnavailable, match="cannot be asked"):
                await providers(router)


async def test_a_mute_server_costs_its_time_only() -> None:
    config = HttpRouterConfig(timeout=1)
    async with asking(b"HTTP/1.1 200 OK\r\n", config=config) as (router, server):
        server.hold = True
        begin = trio.current_time()
        with pytest.raises(RouterUnavailable, match="has not answered in 1 s"):
            await providers(router)
        assert trio.current_time() - begin < 3


async def test_what_a_stream_has_given_in_its_time_counts() -> None:
    config = HttpRouterConfig(timeout=1)
    async with asking(open_answer(line() + b'{"half'), config=config) as (router, server):
        server.hold = True
        assert await providers(router) == [ANN]
        assert await providers(router) == [ANN]  # it is no reason to stay away


async def test_half_a_json_answer_is_of_no_use() -> None:
    config = HttpRouterConfig(timeout=1)
    half = open_answer(b'{"Providers":[', "application/json")
    async with asking(half, config=config) as (router, server):
        server.hold = True
        with pytest.raises(RouterUnavailable, match="not ended its answer in 1 s"):
            await providers(router)


async def test_an_endless_stream_ends() -> None:
    async with asking(open_answer(line() * 100_000)) as (router, _):
        assert await providers(router) == [ANN]
    async with asking(open_answer(b"\n" * 5_000_000)) as (router, _):
        with pytest.raises(BadRouterAnswer, match="longer than"):
            await providers(router)


async def test_questions_at_once_have_a_limit() -> None:
    config = HttpRouterConfig(max_requests=3)
    slow = ScriptedRouter(ANN, seconds=0.05)
    async with (
        listening(RoutingServer(slow), LOOPBACK) as url,
        HttpRouter(url, config=config).run() as router,
        trio.open_nursery() as nursery,
    ):
        for _ in range(10):
            nursery.start_soon(router.find_peer, ANN.peer_id)
    assert (slow.most, len(slow.asked)) == (3, 10)


async def test_who_waits_too_long_for_its_turn_is_told() -> None:
    config = HttpRouterConfig(max_requests=1, timeout=1)
    async with asking(open_answer(line()), config=config) as (router, server):
        server.hold = True
        async with aclosing(router.find_provider_iter(BLOCK.buffer)) as first:
            assert await anext(first) == ANN
            with pytest.raises(RouterUnavailable, match="busy"):
                await router.find_peer(ANN.peer_id)


# -- IPNS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["", "garbage", "x" * 100_000, "expired", "another's"], ids=lambda bad: bad[:9]
)
async def test_only_good_records_of_the_name_are_returned(bad: str) -> None:
    key = KEY
    if bad == "another's":
        key, body = routing_key(ANN.peer_id), record()
    else:
        body = record(-9) if bad == "expired" else bad.encode()
    async with asking(answer(body, IPNS_RECORD)) as (router, _):
        with pytest.raises(BadRouterAnswer):
            await router.get_value(key)


@pytest.mark.parametrize(
    "none",
    [answer(b"none", "text/plain; charset=utf-8"), answer(b"", "text/plain", "404 Not Found")],
)
async def test_that_there_is_no_record(none: bytes) -> None:
    async with asking(none) as (router, _):
        assert await router.get_value(KEY) is None
        assert [value async for value in router.search_value(KEY)] == []


async def test_only_records_of_ipns_travel() -> None:
    async with asking(answer(b"")) as (router, server):
        assert await router.get_value(b"/pk/x") is None
        with pytest.raises(RouterRefused, match="IPNS"):
            await router.put_value(b"/pk/x", b"v")
        with pytest.raises(InvalidArgument, match="not a key"):
            await router.get_value(b"/ipns/x")
        with pytest.raises(InvalidRecord):
            await router.put_value(KEY, b"garbage")
        assert server.requests == []


async def test_a_server_that_takes_no_record() -> None:
    refused = [
        answer(b"not here", "text/plain", "404 Not Found"),
        answer(b"bad record", "text/plain", "400 Bad Request"),
    ]
    async with asking(*refused) as (router, server):
        for text in ("404", "bad record"):
            with pytest.raises(RouterRefused, match=text):
                await router.put_value(KEY, record())
        assert server.requests[0].startswith(
            f"PUT /routing/v1/ipns/{NAME.to_multibase('base36')} HTTP"
        )
        assert f"content-type: {IPNS_RECORD}" in server.requests[0].lower()
