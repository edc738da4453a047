"""The web server within a program, and clients that are not well."""

from __future__ import annotations

import socket

import httpx2
import pytest
import trio
from multiaddr import Multiaddr

from libp2p.exceptions import InvalidArgument, OpenConnectionError
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing import http_listener
from libp2p.routing.http_listener import listening
from libp2p.routing.http_server import RoutingServer
from libp2p.routing.static import StaticRouter
from tests.support.identities import peer_id_of

PATH = "/routing/v1/providers/bafkqaaa"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_it_answers_while_its_block_lasts() -> None:
    app = RoutingServer(StaticRouter())
    async with listening(app, "localhost:0") as url, httpx2.AsyncClient() as client:
        reply = await client.get(url + PATH)
        assert (reply.status_code, "server" in reply.headers) == (200, False)
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream("127.0.0.1", port_of(url))


@pytest.mark.parametrize("bind", ["taken", "192.0.2.1:1"])
async def test_an_address_that_cannot_be_listened_on(bind: str) -> None:
    app = RoutingServer(StaticRouter())
    async with listening(app, "127.0.0.1:0") as url:
        place = url.removeprefix("http://") if bind == "taken" else bind
        with pytest.raises(OpenConnectionError, match=place):
            async with listening(app, place):
                pass  # pragma: no cover


@pytest.mark.parametrize("bind", ["", "8080", "example.com:80", "127.0.0.1:99999", "[::1:80"])
async def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(InvalidArgument, match="no address"):
        async with listening(RoutingServer(StaticRouter()), bind):
            pass  # pragma: no cover


async def test_an_error_of_the_block_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        async with listening(RoutingServer(StaticRouter()), "127.0.0.1:0"):
            raise KeyError


async def test_a_request_that_comes_drop_by_drop_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_listener, "KEEP_ALIVE_SECONDS", 0.3)
    async with listening(RoutingServer(StaticRouter()), "127.0.0.1:0") as url:
        stream = await trio.open_tcp_stream("127.0.0.1", port_of(url))
        async with stream, trio.open_nursery() as nursery:

            async def drip() -> None:
                with trio.CancelScope():
                    for byte in b"GET /" + bytes(1000):
                        try:
                            await stream.send_all(bytes([byte or 120]))
                        except trio.BrokenResourceError:
                            return
                        await trio.sleep(0.05)

            nursery.start_soon(drip)
            with trio.fail_after(5):
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
            nursery.cancel_scope.cancel()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel cannot do it")
async def test_a_client_that_reads_nothing_does_not_hold_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_listener, "TAKE_SECONDS", 1.0)
    addrs = [Multiaddr(f"/ip4/192.0.2.1/tcp/{port}") for port in range(1, 61)]
    many = StaticRouter([PeerInfo(peer_id_of(f"{number}"), addrs) for number in range(1000)])
    app = RoutingServer(many)
    with trio.socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with trio.fail_after(20):
            async with listening(app, "127.0.0.1:0") as url:
                await client.connect(("127.0.0.1", port_of(url)))
                head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n"
                await client.send(head.encode())
                while not app.counts()["active"]:
                    await trio.testing.wait_all_tasks_blocked(0.01)
    assert app.counts()["active"] == 0
