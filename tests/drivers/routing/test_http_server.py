"""The server of ``/routing/v1``: the application alone, and behind a real web server."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import trio
from multiaddr import Multiaddr

from libp2p.exceptions import RoutingError
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.ipns_record import MAX_RECORD_BYTES, make_record, routing_key
from libp2p.routing.found import FoundPeer
from libp2p.routing.http_listener import listening
from libp2p.routing.http_server import HttpServerConfig, RoutingServer
from libp2p.routing.own_blocks import OwnBlocks
from libp2p.routing.static import StaticRouter
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.routers import ScriptedRouter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libp2p.routing.http_server import Message

LOOPBACK = "127.0.0.1:0"
BLOCK = CID.for_block(b"a block")
PROVIDERS = f"/routing/v1/providers/{BLOCK}"
HERE, QUIC = Multiaddr("/ip4/192.0.2.1/tcp/1"), Multiaddr("/ip4/192.0.2.1/udp/1/quic-v1")
ANN, BOB = PeerInfo(peer_id_of("ann"), [HERE, QUIC]), PeerInfo(peer_id_of("bob"), [])
OWNER = ed25519_pair("owner")
NAME = ID.from_pubkey(OWNER.public_key)
RECORD_TYPE = {"Content-Type": "application/vnd.ipfs.ipns-record"}
NDJSON = {"Accept": "application/x-ndjson"}
IPNS = f"/routing/v1/ipns/{NAME.to_multibase('base36')}"


def record(sequence: int = 0, lifetime: float = 3600.0) -> bytes:
    return make_record(
        OWNER.private_key,
        f"/ipfs/{BLOCK}",
        sequence=sequence,
        expires=time.time() + lifetime,
        ttl=120,
    ).encoded


@asynccontextmanager
async def asking(
    router: object, config: HttpServerConfig | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application, without sockets."""
    transport = httpx2.ASGITransport(RoutingServer(router, config=config))
    async with httpx2.AsyncClient(transport=transport, base_url="http://router") as client:
        yield client


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def shown(peer: PeerInfo) -> dict[str, Any]:
    return {"Schema": "peer", "ID": str(peer.peer_id), "Addrs": list(map(str, peer.addrs))}


# -- providers ------------------------------------------------------------------------------------


async def test_providers_as_json() -> None:
    async with asking(StaticRouter([ANN, BOB])) as client:
        reply = await client.get(PROVIDERS)
    assert reply.status_code == 200
    assert reply.json() == {"Providers": [shown(ANN), shown(BOB)]}
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"].startswith("public, max-age=300,")
    assert reply.headers["Vary"] == "Accept"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "GMT" in reply.headers["Last-Modified"]


async def test_providers_as_a_stream() -> None:
    async with asking(StaticRouter([ANN, BOB])) as client:
        reply = await client.get(PROVIDERS, headers=NDJSON)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.headers["Cache-Control"].startswith("public, max-age=300,")
    assert lines(reply.text) == [shown(ANN), shown(BOB)]


@pytest.mark.parametrize(("headers", "body"), [({}, '{"Providers":[]}'), (NDJSON, "")])
async def test_that_there_are_none_is_no_error(headers: dict[str, str], body: str) -> None:
    async with asking(StaticRouter()) as client:
        reply = await client.get(PROVIDERS, headers=headers)
    assert (reply.status_code, reply.text) == (200, body)
    assert reply.headers["Cache-Control"].startswith("public, max-age=15,")


async def test_filters_are_applied() -> None:
    web = FoundPeer(peer_id_of("web"), [], ["transport-ipfs-gateway-http"], ["https://a.example"])
    async with asking(StaticRouter([ANN, BOB, web])) as client:
        for query, expected in {
            "filter-addrs=tcp": [{**shown(ANN), "Addrs": [str(HERE)]}],
            "filter-addrs=unknown": [shown(BOB)],
            "filter-protocols=transport-ipfs-gateway-http": [
                {
                    **shown(web),
                    "Addrs": ["https://a.example"],
                    "Protocols": ["transport-ipfs-gateway-http"],
                }
            ],
            "filter-protocols=unknown": [shown(ANN), shown(BOB)],
        }.items():
            assert (await client.get(f"{PROVIDERS}?{query}")).json() == {"Providers": expected}
            reply = await client.get(f"{PROVIDERS}?{query}", headers=NDJSON)
            assert lines(reply.text) == expected


async def test_answers_have_limits() -> None:
    many = [PeerInfo(peer_id_of(f"{number}"), [HERE]) for number in range(250)]
    async with asking(StaticRouter(many)) as client:
        assert len((await client.get(PROVIDERS)).json()["Providers"]) == 100
        reply = await client.get(f"{PROVIDERS}?filter-addrs=tcp")
        assert len(reply.json()["Providers"]) == 100
        assert len(lines((await client.get(PROVIDERS, headers=NDJSON)).text)) == 250
    async with asking(StaticRouter(many), HttpServerConfig(max_stream_peers=120)) as client:
        assert len(lines((await client.get(PROVIDERS, headers=NDJSON)).text)) == 120


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_a_search_is_ended_in_time_and_what_it_found_is_the_answer(
    headers: dict[str, str], autojump_clock: object
) -> None:
    router = ScriptedRouter(ANN, BOB, between=1e6)
    begin = trio.current_time()
    async with asking(router, HttpServerConfig(search_timeout=7)) as client:
        reply = await client.get(PROVIDERS, headers=headers)
    assert (reply.status_code, reply.text.count("12D3Koo")) == (200, 1)
    assert trio.current_time() - begin == 7


@pytest.mark.parametrize("headers", [{}, NDJSON])
async def test_that_the_router_has_failed_is_said(
    headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(ScriptedRouter(error=RoutingError("no peers known"))) as client:
        reply = await client.get(PROVIDERS, headers=headers)
        assert (reply.status_code, "no peers known" in reply.text) == (502, True)
    assert not caplog.records
    async with asking(ScriptedRouter(error=KeyError("secret"))) as client:
        for _ in range(2):
            reply = await client.get(PROVIDERS, headers=headers)
            assert (reply.status_code, "secret" in reply.text) == (500, False)
    assert len(caplog.records) == 1


async def test_what_a_stream_has_given_stays_when_the_router_fails() -> None:
    async with asking(ScriptedRouter(ANN, error=RoutingError("half way"))) as client:
        reply = await client.get(PROVIDERS, headers=NDJSON)
    assert (reply.status_code, lines(reply.text)) == (200, [shown(ANN)])


# -- peers ----------------------------------------------------------------------------------------


async def test_addresses_of_a_peer() -> None:
    async with asking(StaticRouter([ANN, BOB])) as client:
        for text in (
            str(ANN.peer_id),
            ANN.peer_id.to_multibase("base36"),
            ANN.peer_id.to_multibase("base32"),
        ):
            reply = await client.get(f"/routing/v1/peers/{text}")
            assert reply.json() == {"Peers": [shown(ANN)]}
        reply = await client.get(
            f"/routing/v1/peers/{ANN.peer_id}?filter-addrs=!udp", headers=NDJSON
        )
        assert lines(reply.text) == [{**shown(ANN), "Addrs": [str(HERE)]}]
        assert (await client.get(f"/routing/v1/peers/{BOB.peer_id}")).json() == {"Peers": []}


async def test_the_closest_peers() -> None:
    router = ScriptedRouter(ANN, BOB)
    async with asking(router) as client:
        path = "/routing/v1/dht/closest/peers/"
        assert (await client.get(path + str(BLOCK))).json() == {"Peers": [shown(ANN), shown(BOB)]}
        reply = await client.get(path + str(ANN.peer_id), headers=NDJSON)
        assert lines(reply.text) == [shown(ANN), shown(BOB)]
    assert router.asked == [BLOCK.multihash, ANN.peer_id.to_bytes()]


# -- IPNS -----------------------------------------------------------------------------------------


async def test_a_record_is_put_and_got() -> None:
    router, signed = ScriptedRouter(), record()
    async with asking(router) as client:
        reply = await client.get(IPNS)
        assert (reply.status_code, reply.headers["Content-Type"][:10]) == (200, "text/plain")
        reply = await client.put(IPNS, content=signed, headers=RECORD_TYPE)
        assert reply.status_code == 200
        assert router.values == {routing_key(NAME): [signed]}
        reply = await client.get(IPNS)
        assert reply.content == signed
        assert reply.headers["Content-Type"] == "application/vnd.ipfs.ipns-record"
        assert reply.headers["Cache-Control"].startswith("public, max-age=120, stale-while")
        tag = reply.headers["Etag"]
        reply = await client.get(IPNS, headers={"If-None-Match": tag})
        assert (reply.status_code, reply.content) == (304, b"")


async def test_what_is_no_record_of_the_name_is_refused() -> None:
    router = ScriptedRouter()
    other = f"/routing/v1/ipns/{ANN.peer_id.to_multibase('base36')}"
    async with asking(router) as client:
        for path, content, status in (
            (IPNS, b"", 400),
            (IPNS, b"garbage", 400),
            (IPNS, record(lifetime=-5), 400),
            (other, record(), 400),
            (IPNS, bytes(MAX_RECORD_BYTES), 400),
            (IPNS, bytes(MAX_RECORD_BYTES + 1), 413),
        ):
            reply = await client.put(path, content=content, headers=RECORD_TYPE)
            assert reply.status_code == status, content[:20]
    assert router.asked == []


async def test_no_false_record_is_passed_on() -> None:
    async with asking(ScriptedRouter(values={routing_key(NAME): [b"garbage"]})) as client:
        assert (await client.get(IPNS)).status_code == 502


async def test_a_record_that_does_not_come_in_time(autojump_clock: object) -> None:
    async with asking(ScriptedRouter(seconds=1e6)) as client:
        assert (await client.get(IPNS)).status_code == 504
        reply = await client.put(IPNS, content=record(), headers=RECORD_TYPE)
        assert reply.status_code == 504


async def test_a_record_of_unknown_length_has_a_limit_too() -> None:
    endless = Connection("PUT", IPNS, content_type=RECORD_TYPE["Content-Type"])
    piece: Message = {"type": "http.request", "body": bytes(1000), "more_body": True}
    endless.messages = [piece] * 20
    await RoutingServer(ScriptedRouter())(endless.scope, endless.receive, endless.send)
    assert endless.sent[0]["status"] == 413
    assert len(endless.messages) == 9


# -- the rest of HTTP -----------------------------------------------------------------------------


async def test_what_the_router_cannot_be_asked_is_not_implemented() -> None:
    async with asking(object()) as client:
        for path in (PROVIDERS, f"/routing/v1/peers/{NAME}", IPNS):
            assert (await client.get(path)).status_code == 501
        assert (await client.get(f"/routing/v1/dht/closest/peers/{NAME}")).status_code == 501
        reply = await client.put(IPNS, content=record(), headers=RECORD_TYPE)
        assert reply.status_code == 501


async def test_refusals_go_out() -> None:
    async with asking(StaticRouter([ANN])) as client:
        for method, path, headers, status in (
            ("GET", "/elsewhere", {}, 404),
            ("GET", "/routing/v1/providers/x", {}, 400),
            ("GET", PROVIDERS, {"Accept": "text/html"}, 406),
            ("PUT", IPNS, {"Content-Type": "text/plain"}, 501),
            ("POST", PROVIDERS, {}, 501),
            ("GET", PROVIDERS + "?filter-addrs=" + "x" * 100, {}, 422),
            ("OPTIONS", PROVIDERS, {}, 204),
        ):
            reply = await client.request(method, path, headers=headers)
            expected = 406 if path == IPNS else status
            assert reply.status_code == expected, path
            assert reply.headers["Access-Control-Allow-Methods"] == "GET, HEAD, PUT, OPTIONS"


async def test_head_is_get_without_a_body() -> None:
    async with asking(ScriptedRouter(ANN, values={routing_key(NAME): [record()]})) as client:
        for path, headers in ((PROVIDERS, {}), (PROVIDERS, NDJSON), (IPNS, {})):
            head = await client.head(path, headers=headers)
            reply = await client.get(path, headers=headers)
            assert head.content == b""
            for name in ("Content-Type", "Cache-Control", "Content-Length", "Etag"):
                assert head.headers.get(name) == reply.headers.get(name)


async def test_a_mounted_application_knows_its_paths() -> None:
    app = RoutingServer(StaticRouter([ANN]))
    transport = httpx2.ASGITransport(app, root_path="/routers")
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/routers" + PROVIDERS)).status_code == 200


async def test_requests_at_once_have_a_limit(autojump_clock: object) -> None:
    app = RoutingServer(ScriptedRouter(ANN, seconds=5), config=HttpServerConfig(max_requests=2))
    statuses: list[int] = []

    async def ask(client: httpx2.AsyncClient) -> None:
        reply = await client.get(PROVIDERS)
        statuses.append(reply.status_code)
        if reply.status_code == 503:
            assert reply.headers["Retry-After"] == "5"

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, client)
        await ask(client)
    assert statuses == [503, 503, 503, 200, 200, 200]
    assert app.counts() == {"requests": 6, "active": 0, "busy": 3}
    assert app.statuses() == {503: 3, 200: 3}


class Connection:
    """The other side of ASGI, which does what a test wants."""

    def __init__(self, method: str = "GET", path: str = PROVIDERS, **headers: str) -> None:
        fields = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": fields,
        }
        self.messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent: list[Message] = []
        self.gone = trio.Event()
        self.takes = True

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self.takes:
            await trio.sleep_forever()
        self.sent.append(message)


async def test_the_search_of_a_client_that_has_gone_ends(autojump_clock: object) -> None:
    router, connection = ScriptedRouter(seconds=1e6), Connection()
    app = RoutingServer(router)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, connection.scope, connection.receive, connection.send)
        await trio.testing.wait_all_tasks_blocked()
        connection.gone.set()
    assert router.cancelled == 1
    assert connection.sent == []
    assert app.counts()["active"] == 0


async def test_a_client_that_takes_nothing_is_left(autojump_clock: object) -> None:
    connection = Connection(accept="application/x-ndjson")
    connection.takes = False
    app = RoutingServer(StaticRouter([ANN]), config=HttpServerConfig(send_timeout=9))
    begin = trio.current_time()
    await app(connection.scope, connection.receive, connection.send)
    assert trio.current_time() - begin == 9


async def test_a_body_that_never_ends_is_not_waited_for(autojump_clock: object) -> None:
    app = RoutingServer(ScriptedRouter())
    headers = {"content_type": "application/vnd.ipfs.ipns-record"}
    slow = Connection("PUT", IPNS, **headers)
    slow.messages[0]["more_body"] = True
    await app(slow.scope, slow.receive, slow.send)
    assert slow.sent[0]["status"] == 408
    gone = Connection("PUT", IPNS, **headers)
    gone.messages = []
    gone.gone.set()
    await app(gone.scope, gone.receive, gone.send)
    assert gone.sent == []
    lying = Connection("PUT", IPNS, **headers, content_length="-1")
    await app(lying.scope, lying.receive, lying.send)
    assert lying.sent[0]["status"] == 413


async def test_it_starts_and_ends_with_its_web_server() -> None:
    sent: list[str] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await RoutingServer(StaticRouter())({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    await RoutingServer(StaticRouter())({"type": "websocket"}, receive, send)
    assert len(sent) == 2


def test_without_trio_it_says_what_it_needs() -> None:
    import asyncio

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(RoutingError, match="--worker-class trio"):
        asyncio.run(RoutingServer(StaticRouter())({"type": "lifespan"}, receive, send))
    assert sent[0]["type"] == "lifespan.startup.failed"


# -- own blocks -----------------------------------------------------------------------------------


async def test_this_host_is_named_for_what_it_has() -> None:
    async def has(cid: CID) -> bool:
        return cid == BLOCK

    router = OwnBlocks(lambda: ANN, has)
    async with asking(router) as client:
        assert (await client.get(PROVIDERS)).json() == {"Providers": [shown(ANN)]}
        other = CID.for_block(b"another")
        reply = await client.get(f"/routing/v1/providers/{other}")
        assert reply.json() == {"Providers": []}
        reply = await client.get(f"/routing/v1/peers/{ANN.peer_id}")
        assert reply.json() == {"Peers": [shown(ANN)]}
        reply = await client.get(f"/routing/v1/peers/{BOB.peer_id}")
        assert reply.json() == {"Peers": []}
    assert not await router.provide(BLOCK.buffer)


# -- a real socket --------------------------------------------------------------------------------


@pytest.mark.parametrize("http2", [False, True])
async def test_a_stream_comes_as_it_is_found(http2: bool) -> None:
    release = trio.Event()

    class Slow:
        async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
            yield ANN
            await release.wait()
            yield BOB

    async with (
        listening(RoutingServer(Slow()), LOOPBACK) as url,
        httpx2.AsyncClient(http1=not http2, http2=http2) as client,
        client.stream("GET", url + PROVIDERS, headers=NDJSON) as reply,
    ):
        received = reply.aiter_lines()
        assert json.loads(await anext(received)) == shown(ANN)
        release.set()
        assert [json.loads(line) async for line in received] == [shown(BOB)]


async def test_who_hangs_up_ends_the_search() -> None:
    router = ScriptedRouter(ANN, between=1e6)
    app = RoutingServer(router)
    async with listening(app, LOOPBACK) as url:
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
        async with stream:
            head = f"GET {PROVIDERS} HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n"
            await stream.send_all(head.encode())
            while b"peer" not in await stream.receive_some():
                pass
            assert app.counts()["active"] == 1
        with trio.fail_after(5):
            while app.counts()["active"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
