"""
A router behind HTTP: the client of ``/routing/v1``; needs the extra ``http``.

https://specs.ipfs.tech/routing/http-routing-v1/. It asks Kubo's gateway, someguy, an indexer, or
the server in `libp2p.routing.http_server`. The server is not trusted: what it sends has limits, its
IPNS records are verified, and it may only name peers, whose addresses are hearsay.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx2
import trio

from libp2p.exceptions import (
    BadRouterAnswer,
    BaseLibp2pError,
    InvalidArgument,
    InvalidPeerID,
    RouterRefused,
    RouterUnavailable,
    RoutingError,
)
from libp2p.hostile_input import refused_as
from libp2p.ipld import multibase
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.peer.id import ID
from libp2p.records.ipns import IPNSValidator
from libp2p.records.ipns_record import MAX_RECORD_BYTES
from libp2p.routing.back_off import BackOff, retry_after_of
from libp2p.routing.found import FoundPeers
from libp2p.routing.http_filters import Filters
from libp2p.routing.http_records import JsonPeers, NdjsonPeers
from libp2p.routing.http_request import IPNS_RECORD, JSON, NDJSON
from libp2p.utils import arguments
from libp2p.utils.shown import shown
from libp2p.utils.version import get_agent_version

if TYPE_CHECKING:
    import ssl

    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.routing.found import FoundPeer
    from libp2p.routing.values import RecordRules

#: An answer that has not ended after this time is taken as it is; boxo's server stops then, too.
ANSWER_SECONDS: Final = 30.0
#: Without a connection, or a byte, for this time the server counts as gone.
CONNECT_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 20.0

#: Requests to one server at once; the others wait for their turn. Over HTTP/2 they share one
#: connection.
MAX_REQUESTS: Final = 16

#: Internal errors (500) of a server in a row until it is left alone.
TOLERATED_FAILURES: Final = 2

#: Bytes of a refusal that are read: it becomes the text of an error.
MAX_REFUSAL_BYTES: Final = 512

#: What boxo's clients ask for: peers that speak bitswap, and those of which nothing is known.
BITSWAP_PEERS: Final = Filters(protocols=("unknown", "transport-bitswap"))

_IPNS: Final = b"/ipns/"


@dataclass(frozen=True)
class HttpRouterConfig:
    """
    Times and limits of an `HttpRouter`.

    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    timeout: float = ANSWER_SECONDS
    """Seconds for a whole answer."""
    connect_timeout: float = CONNECT_SECONDS
    idle_timeout: float = IDLE_SECONDS
    """Seconds between two pieces of an answer."""
    max_requests: int = MAX_REQUESTS
    """At once; the others wait."""

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1)


class HttpRouter:
    """
    Asks a server of ``/routing/v1``: a `ContentRouter`, `PeerRouter` and `ValueRouter`.

    It finds and does not announce: the API has no such call, so `provide` returns False. A server
    that fails, or asks for patience (429, 503), is left alone for a while: calls raise
    `RouterUnavailable` at once.

    Use it within ``async with router.run()``, which keeps its connections for all questions.

    :param url: of the server, with or without ``/routing/v1`` at its end.
    :param filters: which providers are wanted; by default those that may speak bitswap.
    :param headers: sent with each request, such as ``{"Authorization": "Bearer …"}``.
    :param validator: checks IPNS records; by default their signature and that they are not expired.
    :param ssl_context: for a server whose certificate this machine does not trust by itself: of a
        company's own authority, say.
    :param transport: for tests: how requests travel, in place of sockets.
    """

    def __init__(
        self,
        url: str,
        *,
        filters: Filters = BITSWAP_PEERS,
        headers: Mapping[str, str] | None = None,
        validator: RecordRules | None = None,
        config: HttpRouterConfig | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._base, self.name = _server(url)
        self._filters = filters
        self._headers = {"User-Agent": get_agent_version(), **(headers or {})}
        self._validator = validator or IPNSValidator()
        self._config = config or HttpRouterConfig()
        self._ssl = ssl_context
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None
        self._turns = trio.CapacityLimiter(self._config.max_requests)
        self._back_off = BackOff()
        self._last_failure = ""

    def __repr__(self) -> str:
        return shown(self, lambda: self.name)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[HttpRouter]:
        """
        Keep connections for the length of the block; they are closed when it ends.

        :raises RoutingError: if it runs already.
        """
        if self._client is not None:
            raise RoutingError(f"{self.name} runs already")
        config = self._config
        async with httpx2.AsyncClient(
            http2=True,
            # Without TLS the system's certificates are not read: that takes a while.
            verify=self._ssl or self._base.startswith("https:"),
            headers={**self._headers, "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(config.idle_timeout, connect=config.connect_timeout),
            limits=httpx2.Limits(
                max_connections=config.max_requests, max_keepalive_connections=config.max_requests
            ),
            transport=self._transport,
        ) as client:
            self._client = client
            try:
                yield self
            finally:
                self._client = None

    # -- content ------------------------------------------------------------------------------

    async def find_provider_iter(
        self, cid: bytes, count: int = 0
    ) -> AsyncGenerator[FoundPeer, None]:
        """
        Return the providers that the server names, as they come.

        :raises RoutingError: if it could not be asked; see the class.
        """
        found = FoundPeers(count)
        path = f"providers/{CID.of(cid).to_v1()}"
        async with aclosing(self._peers(path, "Providers", self._filters)) as peers:
            async for peer in peers:
                found.add(peer)
                while (each := found.take()) is not None:
                    yield each
                if found.is_complete:
                    return

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        """Return False: a server of this API is asked, not told."""
        return False

    # -- peers --------------------------------------------------------------------------------

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """
        Return the addresses of a peer.

        :raises RoutingError: if the server could not be asked; see the class.
        """
        found = FoundPeers()
        path = f"peers/{peer_id.to_multibase('base36')}"
        async with aclosing(self._peers(path, "Peers", Filters(self._filters.addrs))) as peers:
            async for peer in peers:
                if peer.peer_id == peer_id and (peer.addrs or peer.urls):
                    found.add(peer)
        return found.take()

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """
        Return the peers of the server's DHT that are closest to a key (IPIP-476).

        :param key: a multihash: that of a block, or a peer id.
        :raises RoutingError: if the server could not be asked; see the class.
        """
        path = f"dht/closest/peers/{multibase.encode('base32', RAW_CID_START + key)}"
        async with aclosing(self._peers(path, "Peers", Filters())) as peers:
            return [peer async for peer in peers]

    # -- values -------------------------------------------------------------------------------

    async def get_value(self, key: bytes) -> bytes | None:
        """
        Return the IPNS record of a name, verified; None for keys that are none of IPNS.

        :param key: ``/ipns/`` and the multihash of the name.
        :raises BadRouterAnswer: if the record is not the name's, or has expired.
        :raises RoutingError: if the server could not be asked; see the class.
        """
        path = _ipns_path(key)
        if path is None:
            return None
        deadline = trio.current_time() + self._config.timeout
        async with self._asked("GET", path, {"Accept": IPNS_RECORD}, deadline) as response:
            if response is None or _media_type(response) != IPNS_RECORD:
                return None  # since IPIP-513 a text says that there is none
            record = bytearray()
            async with aclosing(self._pieces(response, deadline)) as pieces:
                async for piece in pieces:
                    record += piece
                    if len(record) > MAX_RECORD_BYTES:
                        raise BadRouterAnswer(f"{self.name} sent an IPNS record that is too long")
        try:
            self._validator.validate(key, bytes(record))
        except BaseLibp2pError as error:
            raise BadRouterAnswer(f"{self.name} sent an invalid IPNS record: {error}") from error
        return bytes(record)

    async def search_value(self, key: bytes) -> AsyncGenerator[bytes, None]:
        """
        Return the IPNS record of a name, as `get_value` does.

        :raises RoutingError: see there.
        """
        value = await self.get_value(key)
        if value is not None:
            yield value

    async def put_value(self, key: bytes, value: bytes) -> None:
        """
        Publish an IPNS record through the server.

        :raises RoutingError: if it did not take it, or the key is none of IPNS.
        :raises InvalidRecord: if the record is not the name's.
        """
        path = _ipns_path(key)
        if path is None:
            raise RouterRefused(f"{self.name} takes IPNS records only")
        self._validator.validate(key, value)
        deadline = trio.current_time() + self._config.timeout
        headers = {"Content-Type": IPNS_RECORD}
        async with self._asked("PUT", path, headers, deadline, content=value) as response:
            if response is None:
                raise RouterRefused(f"{self.name} takes no IPNS records (404)", 404)

    # -- asking -------------------------------------------------------------------------------

    async def _peers(
        self, path: str, field: str, filters: Filters
    ) -> AsyncGenerator[FoundPeer, None]:
        """Return the peers of an answer as they come; when the time is over, those so far."""
        deadline = trio.current_time() + self._config.timeout
        headers = {"Accept": f"{NDJSON}, {JSON}"}
        async with self._asked(
            "GET", path, headers, deadline, parameters=filters.parameters()
        ) as response:
            if response is None:
                return
            media_type = _media_type(response)
            if media_type not in (NDJSON, JSON):
                raise BadRouterAnswer(f"{self.name} answered with {media_type!r:.80}")
            is_stream = media_type == NDJSON
            reader = NdjsonPeers() if is_stream else JsonPeers(field)
            async with aclosing(self._pieces(response, deadline, whole=not is_stream)) as pieces:
                async for piece in pieces:
                    for peer in filter(None, map(filters.apply, reader.receive(piece))):
                        yield peer
                    if reader.is_full:
                        break
            for peer in filter(None, map(filters.apply, reader.end())):
                yield peer

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        deadline: float,
        *,
        parameters: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncIterator[httpx2.Response | None]:
        """Send a request; yield the response, its body not read; None if there is nothing (404)."""
        client = self._client
        if client is None:
            raise RoutingError(f"{self.name} does not run: use it within `async with router.run()`")
        self._raise_while_left_alone()
        query = "&".join(f"{name}={value}" for name, value in (parameters or {}).items())
        url = f"{self._base}/routing/v1/{path}" + (f"?{query}" if query else "")
        turn = object()
        with trio.move_on_at(deadline):
            await self._turns.acquire_on_behalf_of(turn)
        if turn not in self._turns.statistics().borrowers:
            raise RouterUnavailable(f"{self.name} is still busy with earlier questions")
        try:
            self._raise_while_left_alone()
            with self._translated(f"{self.name} cannot be asked"), self._time(deadline):
                request = client.build_request(method, url, headers=headers, content=content)
                response = await client.send(request, stream=True)
            _ClosedWithStream.put_into(response)
            try:
                yield await self._checked(response, deadline)
            finally:
                await response.aclose()
        finally:
            self._turns.release_on_behalf_of(turn)

    def _raise_while_left_alone(self) -> None:
        wait = self._back_off.wait(trio.current_time())
        if wait > 0:
            raise RouterUnavailable(
                f"{self.name} is left alone for {wait:.0f} s: {self._last_failure}", wait
            )

    def _failed(
        self, reason: str, retry_after: float | None = None, tolerated: int = 0
    ) -> RouterUnavailable:
        """Note that the server has failed; return the error."""
        self._last_failure = reason
        wait = self._back_off.failed(trio.current_time(), retry_after, tolerated=tolerated)
        return RouterUnavailable(reason, wait)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Raise whatever the HTTP library raises as one of our errors."""
        try:
            yield
        except BaseLibp2pError:
            raise
        except Exception as error:  # task's edge: of httpx2, anyio, h2, the system
            raise self._failed(f"{what}: {_reason(error)}") from error

    @contextmanager
    def _time(self, deadline: float) -> Iterator[None]:
        with trio.move_on_at(deadline) as scope:
            yield
        if scope.cancelled_caught:
            raise self._failed(f"{self.name} has not answered in {self._config.timeout:g} s")

    async def _checked(self, response: httpx2.Response, deadline: float) -> httpx2.Response | None:
        """Return a response that has a body to read; None if the server knows nothing."""
        status = response.status_code
        if status == 429 or (status >= 500 and status != 501):
            patience = retry_after_of(response.headers.get("Retry-After"), time.time())
            text = await self._refusal(response, deadline)
            # boxo's server says 500 when its router cannot answer one question.
            tolerated = TOLERATED_FAILURES if status == 500 else 0
            raise self._failed(f"{self.name} answered {status}: {text!r}", patience, tolerated)
        self._back_off.succeeded()
        if status == 404:
            return None
        if 300 <= status < 400:
            place = response.headers.get("Location", "nowhere")
            raise RouterRefused(f"{self.name} has moved to {place!r:.200}", status)
        if status != 200:
            text = await self._refusal(response, deadline)
            raise RouterRefused(f"{self.name} answered {status}: {text!r}", status)
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":  # a few bytes could be a gigabyte
            raise BadRouterAnswer(f"{self.name} answered in {encoding!r:.40}, which was not asked")
        return response

    async def _refusal(self, response: httpx2.Response, deadline: float) -> str:
        text = b""
        async with aclosing(self._pieces(response, deadline)) as pieces:
            async for piece in pieces:
                text += piece[:MAX_REFUSAL_BYTES]
                if len(text) >= MAX_REFUSAL_BYTES:
                    break
        return text[:MAX_REFUSAL_BYTES].decode(errors="replace").strip()

    async def _pieces(
        self, response: httpx2.Response, deadline: float, *, whole: bool = True
    ) -> AsyncGenerator[bytes, None]:
        """
        Return the body as it comes, until it ends or the time is over.

        :param whole: a part of it is of no use.
        """
        async with aclosing(response.aiter_raw()) as pieces:
            while True:
                with trio.move_on_at(deadline) as scope:
                    with self._translated(f"{self.name} did not end its answer"):
                        piece = await anext(pieces, b"")
                if scope.cancelled_caught and whole:
                    raise RouterUnavailable(
                        f"{self.name} has not ended its answer in {self._config.timeout:g} s"
                    )
                if scope.cancelled_caught or not piece:
                    return
                yield piece


class _ClosedWithStream:
    """
    A response's stream that closes its iterator when it is closed.

    httpx2 (2.16) leaves the iterator of an answer that is not read to its end to the garbage
    collector, and trio warns of it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._iterator: Any = None

    @classmethod
    def put_into(cls, response: httpx2.Response) -> None:
        """Put it around the stream of a response, if that is where httpx2 has it."""
        inner: Any = getattr(response.stream, "_stream", None)
        if hasattr(inner, "_httpcore_stream"):
            inner._httpcore_stream = cls(inner._httpcore_stream)

    def __aiter__(self) -> Any:
        self._iterator = self._stream.__aiter__()
        return self._iterator

    async def aclose(self) -> None:
        if hasattr(self._iterator, "aclose"):
            await self._iterator.aclose()
        await self._stream.aclose()


def _reason(error: BaseException) -> str:
    """Say why: the errors that httpx2 raises often have no text, and those under them have."""
    at: BaseException | None = error
    while at is not None and not str(at):
        at = at.__cause__ or at.__context__
    return f"{type(at or error).__name__}: {at or ''}"[:MAX_REFUSAL_BYTES]


def _server(url: str) -> tuple[str, str]:
    """Return the URL that paths are put behind, and what to call the server: without a password."""
    if not isinstance(url, str):
        raise arguments.wrong_type("url", url, "the URL of a server, such as https://example.com")
    with refused_as(InvalidArgument, f"{url!r:.100} is no URL"):
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InvalidArgument(f"{url!r:.100} is no URL of a server, such as https://example.com")
    path = parts.path.rstrip("/").removesuffix("/routing/v1").rstrip("/")
    shown_host = f"[{host}]" if ":" in host else host
    place = shown_host + (f":{port}" if port else "")
    base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return base, urlunsplit((parts.scheme, place, path, "", ""))


def _media_type(response: httpx2.Response) -> str:
    value: str = response.headers.get("Content-Type", "")
    return value.partition(";")[0].strip().lower()


def _ipns_path(key: bytes) -> str | None:
    if not key.startswith(_IPNS):
        return None
    try:
        return f"ipns/{ID.from_bytes(key[len(_IPNS) :]).to_multibase('base36')}"
    except InvalidPeerID as error:
        raise InvalidArgument(f"not a key of IPNS: {error}") from error
