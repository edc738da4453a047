"""What requests to ``/routing/v1`` ask for, and what is refused."""

from __future__ import annotations

import pytest

from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.routing.http_filters import MAX_FILTER_NAMES
from libp2p.routing.http_request import (
    EMPTY_SECONDS,
    FOUND_SECONDS,
    IPNS_RECORD,
    JSON,
    MAX_PATH_CHARACTERS,
    MAX_QUERY_CHARACTERS,
    NDJSON,
    NO_TTL_SECONDS,
    Kind,
    Question,
    Reply,
    no_record,
    peers_headers,
    read_request,
    record_reply,
)

BLOCK = CID.for_block(b"x")
PEER = ID.from_string("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")
RSA = ID.from_string("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")


def asked(path: str, query: str = "", method: str = "GET", **headers: str) -> Question:
    found = read_request(
        method, path, query, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    assert isinstance(found, Question), found
    return found


def refused(path: str, query: str = "", method: str = "GET", **headers: str) -> Reply:
    found = read_request(
        method, path, query, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    assert isinstance(found, Reply), found
    return found


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [str(BLOCK), BLOCK.encode("base36"), BLOCK.encode("base58btc")])
def test_providers_of_a_block(text: str) -> None:
    question = asked(f"/routing/v1/providers/{text}")
    assert (question.kind, question.key, question.field) == (
        Kind.PROVIDERS,
        BLOCK.buffer,
        "Providers",
    )


@pytest.mark.parametrize("peer", [PEER, RSA])
@pytest.mark.parametrize("form", ["base58", "base32", "base36", "other codec"])
def test_addresses_of_a_peer_in_whatever_form_its_id_is(peer: ID, form: str) -> None:
    text = {
        "base58": str(peer),
        "other codec": str(CID.decode(b"\x01\x55" + peer.to_bytes())),
    }.get(form) or peer.to_multibase(form)
    question = asked(f"/routing/v1/peers/{text}")
    assert (question.kind, question.key, question.field) == (Kind.PEER, peer.to_bytes(), "Peers")


@pytest.mark.parametrize(
    ("text", "multihash"), [(str(BLOCK), BLOCK.multihash), (str(PEER), PEER.to_bytes())]
)
def test_the_closest_peers_of_a_block_or_a_peer(text: str, multihash: bytes) -> None:
    question = asked(f"/routing/v1/dht/closest/peers/{text}", "filter-addrs=tcp")
    assert (question.kind, question.key, question.field) == (Kind.CLOSEST, multihash, "Peers")
    assert not question.filters.addrs  # this call has no filters


def test_a_name_of_ipns() -> None:
    question = asked(f"/routing/v1/ipns/{PEER.to_multibase('base36')}", if_none_match='"x"')
    assert (question.kind, question.key) == (Kind.IPNS, b"/ipns/" + PEER.to_bytes())
    assert (question.media_type, question.if_none_match) == (IPNS_RECORD, '"x"')
    put = asked(f"/routing/v1/ipns/{PEER}", method="PUT", content_type=f"{IPNS_RECORD}; x=y")
    assert put.is_put


@pytest.mark.parametrize(
    "path",
    [
        "providers/not-a-cid",
        "providers/" + "b" * 900,
        "peers/xyz",
        "peers/" + str(CID.decode(b"\x01\x55\x00\x00")),
        "ipns/example.com",
        f"ipns/{BLOCK.encode('base58btc')}x",
        "dht/closest/peers/no",
    ],
)
def test_what_is_no_key_is_refused(path: str) -> None:
    reply = refused(f"/routing/v1/{path}")
    assert reply.status == 400
    assert b"cannot be read" in reply.body


# -- paths and methods ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/ipfs/x", 404),
        ("/routing/v2/providers/x", 404),
        ("/routing/v1", 400),
        ("/routing/v1/", 400),
        ("/routing/v1/providers", 400),
        ("/routing/v1/providers/", 400),
        ("/routing/v1/providers/x/y", 400),
        ("/routing/v1/unknown/x", 400),
        ("/routing/v1/dht/closest/x", 400),
        ("/routing/v1/providers/" + "b" * MAX_PATH_CHARACTERS, 414),
    ],
)
def test_unknown_paths(path: str, status: int) -> None:
    assert refused(path).status == status


def test_a_query_has_a_limit() -> None:
    query = "x" * (MAX_QUERY_CHARACTERS + 1)
    assert refused(f"/routing/v1/providers/{BLOCK}", query).status == 414


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_methods_that_there_are_not(method: str) -> None:
    reply = refused(f"/routing/v1/providers/{BLOCK}", method=method)
    assert (reply.status, reply.headers["Allow"]) == (501, "GET, HEAD, OPTIONS")


def test_ipns_can_be_put_and_nothing_else() -> None:
    reply = refused(f"/routing/v1/ipns/{PEER}", method="POST")
    assert (reply.status, reply.headers["Allow"]) == (501, "GET, HEAD, PUT, OPTIONS")
    for path in ("/routing/v1/providers", "/routing/v1/providers/", "/routing/v1/peers"):
        assert refused(path, method="PUT").status == 501
    assert refused("/routing/v1/x", method="PUT").status == 400


def test_browsers_are_told_that_they_may_ask() -> None:
    reply = refused(
        f"/routing/v1/providers/{BLOCK}",
        method="OPTIONS",
        access_control_request_headers="x-a\r\nSet-Cookie: b",
    )
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Headers"] == "x-aSet-Cookie: b"
    assert (
        "Accept"
        in refused("/routing/v1/x", method="OPTIONS").headers["Access-Control-Allow-Headers"]
    )


# -- what is accepted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (NDJSON, NDJSON),
        (f"{NDJSON},{JSON}", NDJSON),
        (f"{JSON}, {NDJSON.upper()};q=0.5", NDJSON),
        (f"{NDJSON};q=0, {JSON}", JSON),
        (f"{NDJSON};q=0.000, */*; q=0.1", JSON),
        ("text/html, */*;q=0.8", JSON),
    ],
)
def test_streams_are_for_those_who_ask_for_them(accept: str, media_type: str) -> None:
    assert asked(f"/routing/v1/providers/{BLOCK}", accept=accept).media_type == media_type


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0", ", ;", "application/xml"])
def test_what_nobody_can_give_is_not_acceptable(accept: str) -> None:
    reply = refused(f"/routing/v1/providers/{BLOCK}", accept=accept)
    assert reply.status == 406
    assert b"retry with Accept" in reply.body


def test_an_ipns_record_has_one_type() -> None:
    path = f"/routing/v1/ipns/{PEER}"
    for accept in ("", "*/*", "application/*", IPNS_RECORD):
        assert asked(path, accept=accept).media_type == IPNS_RECORD
    assert refused(path, accept=JSON).status == 406
    for content_type in ("", JSON):
        reply = refused(path, method="PUT", content_type=content_type)
        assert (reply.status, IPNS_RECORD.encode() in reply.body) == (406, True)
    headers = {"content_type": IPNS_RECORD}
    assert refused(path, method="PUT", **headers, content_encoding="gzip").status == 415
    assert refused("/routing/v1/ipns/x", method="PUT", **headers).status == 400


def test_filters_are_read() -> None:
    question = asked(
        f"/routing/v1/providers/{BLOCK}",
        "filter-addrs=tcp%2C!quic-v1&filter-protocols=unknown,Transport-Bitswap&x=1&filter-addrs=ws",
    )
    assert question.filters.addrs == ("!quic-v1", "tcp", "ws")
    assert question.filters.protocols == ("transport-bitswap", "unknown")
    many = ",".join(f"p{n}" for n in range(MAX_FILTER_NAMES + 1))
    assert refused(f"/routing/v1/peers/{PEER}", f"filter-addrs={many}").status == 422


# -- answers --------------------------------------------------------------------------------------


def test_answers_with_peers_are_cached_longer_than_empty_ones() -> None:
    full, empty = peers_headers(JSON, True, 0), peers_headers(NDJSON, False, 0)
    assert f"max-age={FOUND_SECONDS}," in full["Cache-Control"]
    assert f"max-age={EMPTY_SECONDS}," in empty["Cache-Control"]
    assert (full["Content-Type"], empty["Content-Type"]) == (JSON, NDJSON)
    assert full["Last-Modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert full["Vary"] == "Accept"


@pytest.mark.parametrize(
    ("ttl", "expires", "age", "stale"),
    [(60, 1000, 60, 840), (0, 1000, NO_TTL_SECONDS, 840), (5000, 1000, 900, 0), (60, 50, 0, 0)],
)
def test_a_record_is_in_no_cache_after_it_has_expired(
    ttl: float, expires: float, age: int, stale: int
) -> None:
    reply = record_reply(b"record", ttl, expires, 100.0, "")
    assert reply.status == 200
    assert reply.body == b"record"
    assert reply.headers["Cache-Control"] == (
        f"public, max-age={age}, stale-while-revalidate={stale}, stale-if-error={stale}"
    )


def test_a_record_that_the_client_has_is_not_sent_again() -> None:
    tag = record_reply(b"record", 60, 1000, 0, "").headers["Etag"]
    reply = record_reply(b"record", 60, 1000, 0, f'"other", {tag}')
    assert (reply.status, reply.body) == (304, b"")
    assert record_reply(b"other", 60, 1000, 0, tag).status == 200


def test_a_record_may_expire_after_the_last_date_of_http() -> None:
    assert "9999" in record_reply(b"record", 60, 1e12, 0, "").headers["Expires"]


def test_that_there_is_no_record_is_a_text() -> None:
    reply = no_record()
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
