"""
A server of ``/routing/v1`` over any router, as an ASGI application.

https://specs.ipfs.tech/routing/http-routing-v1/. One machine of a company runs a DHT, or knows all
its peers, and the others ask it. The application needs no package; a web server that runs on trio
serves it, such as hypercorn (the extra ``gateway``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from libp2p.exceptions import BaseLibp2pError, RoutingError, ValidationError
from libp2p.peer.id import ID
from libp2p.records.ipns import IPNSValidator
from libp2p.records.ipns_record import MAX_RECORD_BYTES, decode_record
from libp2p.routing.adapters import finds_providers, peer_of, providers_of
from libp2p.routing.found import MAX_PEERS_FOUND, FoundPeer, FoundPeers
from libp2p.routing.http_records import peer_to_json
from libp2p.routing.http_request import (
    CORS,
    NDJSON,
    Kind,
    Question,
    Reply,
    no_record,
    peers_headers,
    read_request,
    record_reply,
    refusal,
)
from libp2p.utils import arguments
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.routing.values import RecordRules

Message: TypeAlias = "dict[str, Any]"
# ASGI's. Each web server has its own classes for its messages, and none takes another's.
Receive: TypeAlias = "Callable[[], Awaitable[Any]]"
Send: TypeAlias = "Callable[[Any], Awaitable[None]]"

#: Requests that are answered at once, of all clients; others are asked to come back (503). Each may
#: be a lookup in a DHT, with its streams.
MAX_REQUESTS: Final = 128
#: A search is ended after this time, and what it has found is the answer.
SEARCH_SECONDS: Final = 30.0
#: A client that does not take a piece of its answer in this time is left.
SEND_SECONDS: Final = 20.0
#: Peers in a JSON answer: the specification's number.
MAX_JSON_PEERS: Final = 100
#: When a busy server wants to be asked again.
RETRY_SECONDS: Final = 5


@dataclass(frozen=True)
class HttpServerConfig:
    """
    Limits of a `RoutingServer`.

    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    max_requests: int = MAX_REQUESTS
    """At once."""
    search_timeout: float = SEARCH_SECONDS
    send_timeout: float = SEND_SECONDS
    max_json_peers: int = MAX_JSON_PEERS
    max_stream_peers: int = MAX_PEERS_FOUND

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1)


class _ClientGone(BaseLibp2pError):
    """The client takes nothing any more; not an error of anybody's."""


class RoutingServer:
    """
    An ASGI application that answers ``/routing/v1`` with what a router knows.

    What the router cannot be asked is refused with 501. Run it on trio, such as with
    ``hypercorn --worker-class trio``.

    :param router: of one kind or several, such as a `ParallelRouter` or a DHT.
    :param validator: checks IPNS records that are put and got; by default as the specification
        says.
    """

    def __init__(
        self,
        router: object,
        *,
        validator: RecordRules | None = None,
        config: HttpServerConfig | None = None,
    ) -> None:
        self._router = router
        self._validator = validator or IPNSValidator()
        self._config = config or HttpServerConfig()
        self._active = 0
        self._requests = 0
        self._busy = 0
        self._by_status: dict[int, int] = {}
        self._faults = FaultLog()

    def counts(self) -> dict[str, int]:
        """Count the requests since the start, those under way, and those refused as too many."""
        return {"requests": self._requests, "active": self._active, "busy": self._busy}

    def statuses(self) -> dict[int, int]:
        """Count the answers by their HTTP status."""
        return dict(self._by_status)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one connection's request, as ASGI calls it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        out = _Answer(send, self._config.send_timeout, scope["method"] == "HEAD")
        self._requests += 1
        try:
            if self._active >= self._config.max_requests:
                self._busy += 1
                await out.send(
                    refusal(503, "too many requests", {"Retry-After": str(RETRY_SECONDS)})
                )
                return
            self._active += 1
            try:
                await self._answer(scope, receive, out)
            finally:
                self._active -= 1
        except _ClientGone:
            pass
        finally:
            self._by_status[out.status] = self._by_status.get(out.status, 0) + 1

    async def _answer(self, scope: Mapping[str, Any], receive: Receive, out: _Answer) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        question = read_request(
            scope["method"], path, scope["query_string"].decode("latin-1"), headers
        )
        if isinstance(question, Question) and not self._can(question):
            question = refusal(501, "the router of this server cannot be asked this")
        if isinstance(question, Reply):
            await out.send(question)
            return
        record = b""
        if question.is_put:
            body = await _body(receive, headers, self._config.send_timeout)
            if isinstance(body, Reply):
                await out.send(body)
                return
            record = body
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            with suppress(_ClientGone):  # else the nursery would wrap it
                await self._ask(question, record, out)
            nursery.cancel_scope.cancel()

    def _can(self, question: Question) -> bool:
        router = self._router
        if question.kind is Kind.PROVIDERS:
            return finds_providers(router)
        if question.kind is Kind.IPNS:
            return hasattr(router, "put_value" if question.is_put else "get_value")
        needed = "find_peer" if question.kind is Kind.PEER else "get_closest_peers"
        return hasattr(router, needed)

    async def _ask(self, question: Question, record: bytes, out: _Answer) -> None:
        try:
            if question.is_put:
                await out.send(await self._put(question, record))
            elif question.kind is Kind.IPNS:
                await out.send(await self._get(question))
            elif question.media_type == NDJSON:
                await self._stream(question, out)
            else:
                await self._send_json(question, out)
        except _ClientGone:
            raise
        except BaseLibp2pError as error:
            await out.fail(refusal(502, f"the router has failed: {error}"))
        except Exception as error:  # noqa: BLE001 - task's edge: a router of the user's
            self._faults.note("the router of the routing server", error)
            await out.fail(refusal(500, "the router has failed"))

    # -- peers --------------------------------------------------------------------------------

    async def _send_json(self, question: Question, out: _Answer) -> None:
        limit = self._config.max_json_peers
        found = FoundPeers(limit)
        with trio.move_on_after(self._config.search_timeout):
            async with aclosing(self._peers(question, limit)) as peers:
                async for peer in peers:
                    found.add(peer)
                    if len(found) >= limit:
                        break
        lines = []
        while (each := found.take()) is not None:
            lines.append(peer_to_json(each))
        body = b'{"%s":[%s]}' % (question.field.encode(), b",".join(lines))
        headers = peers_headers(question.media_type, bool(lines), time.time())
        await out.send(Reply(200, body, headers))

    async def _stream(self, question: Question, out: _Answer) -> None:
        """Send peers as they are found; the head of the answer waits for the first of them."""
        search = _Search(self._config.max_stream_peers)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect, question, search)
            with suppress(_ClientGone):  # else the nursery would wrap it
                async for peers in search:
                    if not out.has_begun:
                        await out.begin(200, peers_headers(NDJSON, True, time.time()))
                    await out.write(b"".join(peer_to_json(peer) + b"\n" for peer in peers))
                if search.error is None:
                    if not out.has_begun:
                        await out.begin(200, peers_headers(NDJSON, False, time.time()))
                    await out.end()
            nursery.cancel_scope.cancel()
        if search.error is not None:
            raise search.error

    async def _collect(self, question: Question, search: _Search) -> None:
        """Search; the time is the search's, a client that reads slowly has a time of its own."""
        try:
            with trio.move_on_after(self._config.search_timeout):
                async with aclosing(self._peers(question, 0)) as peers:
                    async for peer in peers:
                        search.add(peer)
                        if search.is_full:
                            break
        except Exception as error:  # noqa: BLE001 - task's edge: `_stream` raises it
            search.fail(error)
        finally:
            search.end()

    async def _peers(self, question: Question, limit: int) -> AsyncGenerator[FoundPeer, None]:
        """Return the peers that pass the question's filters."""
        if question.kind is Kind.PROVIDERS:
            count = 0 if question.filters.parameters() else limit
            async with aclosing(providers_of(self._router, question.key, count)) as infos:
                async for info in infos:
                    if (peer := _passing(question, info)) is not None:
                        yield peer
            return
        for info in await self._infos(question):
            if (peer := _passing(question, info)) is not None:
                yield peer

    async def _infos(self, question: Question) -> Iterable[PeerInfo]:
        if question.kind is Kind.PEER:
            info = await peer_of(self._router, ID.from_bytes(question.key))
            return [] if info is None else [info]
        closest: Iterable[PeerInfo] = await self._router.get_closest_peers(  # type: ignore[attr-defined]
            question.key
        )
        return closest

    # -- IPNS ---------------------------------------------------------------------------------

    async def _get(self, question: Question) -> Reply:
        with trio.move_on_after(self._config.search_timeout) as scope:
            record: bytes | None = await self._router.get_value(question.key)  # type: ignore[attr-defined]
        if scope.cancelled_caught:
            return refusal(504, "no record was found in time")
        if record is None:
            return no_record()
        self._validator.validate(question.key, record)
        decoded = decode_record(record)
        return record_reply(
            record, decoded.ttl, decoded.expires, time.time(), question.if_none_match
        )

    async def _put(self, question: Question, record: bytes) -> Reply:
        try:
            self._validator.validate(question.key, record)
        except ValidationError as error:
            return refusal(400, f"the record is invalid: {error}")
        with trio.move_on_after(self._config.search_timeout) as scope:
            await self._router.put_value(question.key, record)  # type: ignore[attr-defined]
        if scope.cancelled_caught:
            return refusal(504, "the record was not published in time")
        return Reply(200)


class _Search:
    """What a search has found and the client has not been sent; iterated over in batches."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found = FoundPeers(limit)
        self._is_done = False
        self._changed = trio.Event()
        self.error: Exception | None = None
        """What ended it before its time."""

    @property
    def is_full(self) -> bool:
        """True when so many peers are found as one answer may have."""
        return len(self._found) >= self._limit

    def add(self, peer: FoundPeer) -> None:
        """Note a peer."""
        if self._found.add(peer):
            self._changed.set()

    def fail(self, error: Exception) -> None:
        """Note that the search has failed."""
        self.error = error

    def end(self) -> None:
        """Note that there will be no more."""
        self._is_done = True
        self._changed.set()

    def __aiter__(self) -> _Search:
        return self

    async def __anext__(self) -> list[FoundPeer]:
        """Return the peers that have been found since the last time."""
        while True:
            await self._changed.wait()
            peers = []
            while (peer := self._found.take()) is not None:
                peers.append(peer)
            if peers:
                return peers
            if self._is_done:
                raise StopAsyncIteration
            self._changed = trio.Event()


class _Answer:
    """The answer to one request, on its way to the client."""

    def __init__(self, send: Send, timeout: float, is_head: bool) -> None:
        self._send = send
        self._timeout = timeout
        self._is_head = is_head
        self.status = 0
        """0 until an answer has begun."""

    @property
    def has_begun(self) -> bool:
        """True once the status is sent: it cannot be changed then."""
        return bool(self.status)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head."""
        self.status = status
        fields = [(n.lower().encode(), v.encode("latin-1")) for n, v in {**CORS, **headers}.items()]
        await self._pass_on({"type": "http.response.start", "status": status, "headers": fields})

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if not self._is_head:
            await self._pass_on({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        body = b"" if self._is_head else data
        await self._pass_on({"type": "http.response.body", "body": body})

    async def send(self, reply: Reply) -> None:
        """Send a whole answer."""
        size = {} if reply.status in (204, 304) else {"Content-Length": str(len(reply.body))}
        await self.begin(reply.status, {**reply.headers, **size})
        await self.end(reply.body)

    async def fail(self, reply: Reply) -> None:
        """Send an error; a stream that has begun ends: what has been found is good all the same."""
        await (self.end() if self.has_begun else self.send(reply))

    async def _pass_on(self, message: Message) -> None:
        with trio.move_on_after(self._timeout) as scope:
            await self._send(message)
        if scope.cancelled_caught:
            raise _ClientGone


def _passing(question: Question, info: PeerInfo) -> FoundPeer | None:
    peer = info if isinstance(info, FoundPeer) else FoundPeer(info.peer_id, info.addrs)
    return question.filters.apply(peer)


async def _body(receive: Receive, headers: Mapping[str, str], timeout: float) -> bytes | Reply:
    """Read the record that is put."""
    too_long = refusal(413, f"an IPNS record has at most {MAX_RECORD_BYTES} bytes")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length[:12]) > MAX_RECORD_BYTES:
        return too_long
    body = b""
    with trio.move_on_after(timeout) as scope:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            body += message.get("body", b"")
            if len(body) > MAX_RECORD_BYTES:
                return too_long
            if not message.get("more_body", False):
                break
    return refusal(408, "the record did not arrive in time") if scope.cancelled_caught else body


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """End the search of a client that has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _live(receive: Receive, send: Send) -> None:
    if not trio.lowlevel.in_trio_run():
        message = "the routing server runs on trio: use hypercorn with --worker-class trio"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": message})
        raise RoutingError(message)
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return
