"""
Requests to ``/routing/v1``: what is asked for, or why it is refused (sans-I/O).

https://specs.ipfs.tech/routing/http-routing-v1/. Where the specification leaves a choice, this does
as boxo's server does, so that a client cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs

from libp2p.exceptions import InvalidArgument, InvalidPeerID, ParseError, ValidationError
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.routing.http_filters import Filters

PREFIX: Final = "/routing/v1/"

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
IPNS_RECORD: Final = "application/vnd.ipfs.ipns-record"

#: Characters of a path: a CID of a 128-byte hash has 230. Longer ones are not parsed.
MAX_PATH_CHARACTERS: Final = 1024
#: Characters of the query: 32 names for each of two filters have 4,200.
MAX_QUERY_CHARACTERS: Final = 8192
#: The text of an error that is sent.
MAX_ERROR_CHARACTERS: Final = 1024

#: How long answers may be taken from a cache: with peers in them, and without any.
FOUND_SECONDS: Final = 300
EMPTY_SECONDS: Final = 15
#: And for how long beyond that while a cache asks again, or while the server fails: a provider
#: record lives for 48 hours.
STALE_SECONDS: Final = 48 * 3600
#: An IPNS record that does not say how long it may be taken from a cache (the specification's).
NO_TTL_SECONDS: Final = 60

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

#: Every web page may ask (the specification wants it): answers are public.
CORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, HEAD, PUT, OPTIONS",
    }
)


class Kind(Enum):
    """What is asked for."""

    PROVIDERS = "providers"
    PEER = "peers"
    CLOSEST = "dht/closest/peers"
    IPNS = "ipns"


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is understood."""

    kind: Kind
    key: bytes
    """A binary CID, a peer id, a multihash, or the key of an IPNS record, by the kind."""
    media_type: str
    """Of the answer, or of what is put."""
    filters: Filters = field(default_factory=Filters)
    is_put: bool = False
    if_none_match: str = ""

    @property
    def field(self) -> str:
        """The name of the list in a JSON answer."""
        return "Providers" if self.kind is Kind.PROVIDERS else "Peers"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: of a few bytes, or a refusal."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, text: str, headers: Mapping[str, str] = _NO_HEADERS) -> Reply:
    """Return a refusal with its reason as plain text."""
    body = f"{text[:MAX_ERROR_CHARACTERS]}\n".encode(errors="replace")
    return Reply(status, body, {"Content-Type": "text/plain; charset=utf-8", **headers})


def read_request(
    method: str, path: str, query: str, headers: Mapping[str, str]
) -> Question | Reply:
    """
    Read a request.

    :param path: with escapes already decoded, as ASGI has it.
    :param headers: with names in lower case.
    """
    if not f"{path}/".startswith(PREFIX):
        return refusal(404, f"this server has {PREFIX} only")
    if method == "OPTIONS":
        return Reply(204, b"", _preflight(headers))
    if len(path) > MAX_PATH_CHARACTERS or len(query) > MAX_QUERY_CHARACTERS:
        return refusal(414, "the URL is too long")
    place, _, name = path.removeprefix(PREFIX).rpartition("/")
    kind = next((each for each in Kind if each.value == place), None)
    if kind is None or not name:
        return _unknown(method, path)
    if method == "PUT" and kind is Kind.IPNS:
        return _read_put(name, headers)
    if method not in ("GET", "HEAD"):
        allow = "GET, HEAD, PUT, OPTIONS" if kind is Kind.IPNS else "GET, HEAD, OPTIONS"
        return refusal(501, f"{method} is not supported here", {"Allow": allow})
    try:
        key = _read_key(kind, name)
    except (ParseError, ValidationError) as error:
        return refusal(400, f"{name[:100]!r} cannot be read: {error}")
    if kind is Kind.IPNS:
        if not _accepts(headers.get("accept", ""), IPNS_RECORD):
            return refusal(406, f"retry with Accept: {IPNS_RECORD}")
        return Question(kind, key, IPNS_RECORD, if_none_match=headers.get("if-none-match", ""))
    media_type = _wanted(headers.get("accept", ""))
    if media_type is None:
        return refusal(406, f"retry with Accept: {JSON} or {NDJSON}")
    if kind is Kind.CLOSEST:
        return Question(kind, key, media_type)
    values = parse_qs(query)
    try:
        filters = Filters.parse(*(",".join(values.get(f"filter-{n}", ())) for n in _FILTERS))
    except InvalidArgument as error:
        return refusal(422, str(error))
    return Question(kind, key, media_type, filters)


_FILTERS: Final = ("addrs", "protocols")


def _unknown(method: str, path: str) -> Reply:
    known = {PREFIX + kind.value for kind in Kind}
    if method == "PUT" and path.rstrip("/") in known:
        return refusal(501, "this server does not take announcements")
    return refusal(400, f"unknown path; there are {', '.join(sorted(known))}, each with a name")


def _read_put(name: str, headers: Mapping[str, str]) -> Question | Reply:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != IPNS_RECORD:
        return refusal(406, f"retry with Content-Type: {IPNS_RECORD}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        return refusal(415, "send the record as it is, without a Content-Encoding")
    try:
        return Question(Kind.IPNS, _read_key(Kind.IPNS, name), IPNS_RECORD, is_put=True)
    except (ParseError, ValidationError) as error:
        return refusal(400, f"{name[:100]!r} is no name of IPNS: {error}")


def _read_key(kind: Kind, name: str) -> bytes:
    if kind is Kind.PROVIDERS:
        return CID.parse(name).buffer
    if kind is Kind.CLOSEST:
        return _multihash(name)
    if kind is Kind.PEER:
        return ID.from_bytes(_multihash(name)).to_bytes()
    return b"/ipns/" + ID.from_string(name).to_bytes()


def _multihash(name: str) -> bytes:
    """Read a peer id, or the hash in any CID: people paste what they have."""
    try:
        return ID.from_string(name).to_bytes()
    except InvalidPeerID:
        return CID.parse(name).multihash


def _preflight(headers: Mapping[str, str]) -> dict[str, str]:
    allowed = headers.get("access-control-request-headers", "Accept, Content-Type")
    return {
        "Access-Control-Allow-Headers": "".join(filter(str.isprintable, allowed[:1000])),
        "Access-Control-Max-Age": "86400",
    }


def _ranges(accept: str) -> set[str]:
    """The media ranges of an Accept header, without those that it excludes (q=0)."""
    found = set()
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
        if name and quality.rstrip("0").rstrip(".") not in ("0", ""):
            found.add(name)
    return found


def _accepts(accept: str, media_type: str) -> bool:
    any_of_kind = media_type.partition("/")[0] + "/*"
    return not accept.strip() or not {media_type, any_of_kind, "*/*"}.isdisjoint(_ranges(accept))


def _wanted(accept: str) -> str | None:
    """Streams are for those who ask for them by name."""
    if NDJSON in _ranges(accept):
        return NDJSON
    return JSON if _accepts(accept, JSON) else None


# -- headers of answers ---------------------------------------------------------------------------


def peers_headers(media_type: str, found: bool, unix_now: float) -> dict[str, str]:
    """Return the headers of an answer with peers, or without any."""
    seconds = FOUND_SECONDS if found else EMPTY_SECONDS
    return {
        "Content-Type": media_type,
        "Cache-Control": f"public, max-age={seconds}, stale-while-revalidate={STALE_SECONDS}, "
        f"stale-if-error={STALE_SECONDS}",
        "Last-Modified": formatdate(unix_now, usegmt=True),
        "Vary": "Accept",
    }


def no_record() -> Reply:
    """Return the answer that there is no IPNS record: a text, not a record (IPIP-513)."""
    return refusal(
        200,
        "no record of this name was found",
        {"Cache-Control": f"public, max-age={EMPTY_SECONDS}", "Vary": "Accept"},
    )


def record_reply(
    record: bytes, ttl: float, expires: float, unix_now: float, if_none_match: str
) -> Reply:
    """
    Return the answer with an IPNS record; no cache may keep it until after it has expired.

    :param ttl: seconds for which the record says that it may be taken from a cache.
    :param expires: in seconds since 1970.
    """
    remaining = max(0, int(expires - unix_now))
    age = min(int(ttl) if ttl > 0 else NO_TTL_SECONDS, remaining)
    stale = remaining - age
    tag = f'"{sha256(record).hexdigest()[:32]}"'
    headers = {
        "Content-Type": IPNS_RECORD,
        "Cache-Control": f"public, max-age={age}, stale-while-revalidate={stale}, "
        f"stale-if-error={stale}",
        "Etag": tag,
        "Expires": formatdate(min(expires, _LAST_DATE), usegmt=True),
        "Last-Modified": formatdate(unix_now, usegmt=True),
        "Vary": "Accept",
    }
    if tag in if_none_match:
        return Reply(304, b"", headers)
    return Reply(200, record, headers)


#: The end of the year 9999, the last that an HTTP date can name.
_LAST_DATE: Final = 253402300799.0
