"""Names, paths and DNSLinks: what is read, what is refused, what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.rsa import RSAPrivateKey
from libp2p.exceptions import DNSLinkError, InvalidName, InvalidPath
from libp2p.ipld.cid import CID
from libp2p.ipns.cache import NameCache
from libp2p.ipns.config import PublisherConfig, ResolverConfig
from libp2p.ipns.dnslink import dnslink_of, record_name
from libp2p.ipns.name import Name
from libp2p.ipns.path import MAX_PATH_CHARACTERS, ContentPath, is_domain
from libp2p.peer.id import ID

KEY = Ed25519PrivateKey.new(bytes(32))
NAME = Name.of(KEY)
RSA_NAME = Name.of(RSAPrivateKey.new(2048))
FILE = CID.for_block(b"file")


def test_a_name_as_others_write_it() -> None:
    # The first name of the conformance vectors, and the peer id that Kubo shows for it.
    text = "k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f"
    name = Name.of(text)
    assert str(name) == text
    assert name.cid.codec == "libp2p-key"
    assert name.cid.encode("base36") == text
    assert name.path == f"/ipns/{text}"
    assert name.routing_key == b"/ipns/" + name.peer_id.to_bytes()
    assert str(name.peer_id).startswith("12D3Koo")
    assert str(RSA_NAME).startswith("k2k4r8")
    assert str(RSA_NAME.peer_id).startswith("Qm")


@pytest.mark.parametrize("name", [NAME, RSA_NAME], ids=["ed25519", "rsa"])
def test_every_form_of_a_name(name: Name) -> None:
    forms: list[Any] = [
        name,
        name.peer_id,
        str(name),
        str(name.peer_id),
        name.cid,
        name.cid.encode("base32"),
        name.cid.encode("base58btc"),
        name.path,
        name.path + "/",
        f"ipns://{name}",
        f"/ipns/{name.peer_id}",
        name.peer_id.to_bytes(),
        memoryview(name.peer_id.to_bytes()),
    ]
    assert {Name.of(form) for form in forms} == {name}
    assert Name.of(KEY.get_public_key()) == Name.of(ID.from_pubkey(KEY.get_public_key())) == NAME


@pytest.mark.parametrize(
    "value",
    ["", "/ipns/", "example.com", "k51", str(FILE), f"/ipfs/{FILE}", f"/ipns/{NAME}/a", b"x", FILE],
)
def test_what_is_no_name(value: Any) -> None:
    with pytest.raises(InvalidName, match="not a name of IPNS"):
        Name.of(value)


def test_a_name_is_given_as_something() -> None:
    with pytest.raises(TypeError, match="name must be"):
        Name.of(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "as_written"),
    [
        (f"/ipfs/{FILE}", None),
        (f"/ipfs/{FILE}/a/b", None),
        (f"/ipfs/{FILE}/a/b/", None),
        (f"/ipfs/{FILE}/", f"/ipfs/{FILE}"),
        (f"/ipfs/{FILE}//a/./b", f"/ipfs/{FILE}/a/b"),
        (f"{FILE}", f"/ipfs/{FILE}"),
        (f"{FILE}/a", f"/ipfs/{FILE}/a"),
        (f"ipfs://{FILE}/a", f"/ipfs/{FILE}/a"),
        (f"IPFS://{FILE}", f"/ipfs/{FILE}"),
        (f"/ipld/{FILE}", None),
        (f"/ipns/{NAME}/a", None),
        (f"ipns://{NAME.peer_id}", f"/ipns/{NAME.peer_id}"),
        ("/ipns/docs.ipfs.tech", None),
        ("/ipns/Example.COM./a", None),
        (f"/ipfs/{FILE}/ä b%20", None),
    ],
)
def test_paths(text: str, as_written: str | None) -> None:
    path = ContentPath.of(text)
    assert str(path) == (as_written or text)
    assert ContentPath.of(path) is path
    assert ContentPath.parse(str(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/ipfs",
        "/ipfs/",
        "/ipfs/a",
        "/ipns/a",
        "/ipns/localhost",
        f"/ipns/{FILE}",
        "/ipfs/example.com",
        f"/http/{FILE}",
        f"/ipfs/../ipns/{NAME}",
        f"/ipfs/{FILE}/../a",
        "example.com",
        "http://example.com",
        f"/ipfs/{FILE}/" + "a" * MAX_PATH_CHARACTERS,
    ],
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(InvalidPath):
        ContentPath.parse(text)


def test_a_path_is_given_as_something() -> None:
    with pytest.raises(TypeError, match="path must be"):
        ContentPath.of(7)  # type: ignore[arg-type]


def test_what_a_path_begins_with() -> None:
    file, name = ContentPath.of(FILE), ContentPath.of(NAME).joined("/a")
    assert (file.cid, file.name, file.is_mutable) == (FILE, None, False)
    assert (name.name, name.is_mutable, str(name.base)) == (NAME, True, NAME.path)
    assert ContentPath.parse("/ipns/example.com").name is None
    with pytest.raises(InvalidPath, match="resolve it first"):
        _ = name.cid


def test_paths_are_joined() -> None:
    folder = ContentPath.parse(f"/ipfs/{FILE}/a/")
    assert folder.joined("") is folder
    assert str(folder.joined("/b")) == f"/ipfs/{FILE}/a/b"
    with pytest.raises(InvalidPath, match="more than"):
        folder.joined("/" + "b" * MAX_PATH_CHARACTERS)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (f"/ipfs/{FILE}/a".encode(), f"/ipfs/{FILE}/a"),
        (FILE.buffer, f"/ipfs/{FILE}"),
        (b"", "/ipfs/bafkqaaa"),
    ],
)
def test_values_of_records(value: bytes, path: str) -> None:
    assert str(ContentPath.of_record(value)) == path


@pytest.mark.parametrize("value", [b"/ipfs/\xff", b"/ipfs/x", b"x", str(FILE).encode()])
def test_values_that_are_no_path(value: bytes) -> None:
    with pytest.raises(InvalidPath):
        ContentPath.of_record(value)


@pytest.mark.parametrize("text", ["a.b", "docs.ipfs.tech.", "_x.example.com", "xn--bcher-kva.ch"])
def test_domains(text: str) -> None:
    assert is_domain(text)


@pytest.mark.parametrize(
    "text", ["", "a", "a..b", ".a.b", "-a.b", "a-.b", "a b.c", "a.b/c", "ä.b", "a." * 130 + "b"]
)
def test_what_is_no_domain(text: str) -> None:
    assert not is_domain(text)


@given(st.text(max_size=80))
def test_texts_are_paths_or_refused(text: str) -> None:
    for given_text in (text, f"/ipfs/{FILE}/{text}", f"/ipns/{text}", f"ipns://{NAME}{text}"):
        try:
            path = ContentPath.parse(given_text)
        except InvalidPath:
            continue
        assert ContentPath.parse(str(path)) == path


@pytest.mark.parametrize(
    "texts",
    [
        [f"dnslink=/ipfs/{FILE}"],
        [f"/ipfs/{FILE}"],
        [f"dnslink={FILE}"],
        [str(FILE)],
        ["v=spf1 -all", "", f"dnslink=/ipfs/{FILE}", "dnslink=/ipfs/nothing", f"/ipld/{FILE}"],
        [f"dnslink=/ipfs/{FILE}", f"dnslink={FILE}"],
    ],
)
def test_dnslinks(texts: list[str]) -> None:
    assert dnslink_of("example.com", texts) == ContentPath.of(FILE)


def test_dnslinks_that_are_none() -> None:
    assert record_name("example.com.") == "_dnslink.example.com"
    with pytest.raises(DNSLinkError, match="has no DNSLink"):
        dnslink_of("example.com", ["v=spf1", "dnslink=x", "DNSLINK=/ipfs/bafkqaaa"])
    with pytest.raises(DNSLinkError, match="has 2 DNSLinks"):
        dnslink_of("example.com", ["dnslink=/ipfs/bafkqaaa", "dnslink=/ipns/example.org"])


def test_the_cache_keeps_as_long_as_it_may() -> None:
    cache = NameCache(2)
    one, two, three = (ContentPath("ipns", f"{n}.example") for n in (1, 2, 3))
    target = ContentPath.of(FILE)
    cache.put(one, target, 10, now=100)
    assert cache.get(one, 104) == (target, 6)
    assert cache.get(one, 110) is None
    assert len(cache) == 0
    for name in (one, two, three):
        cache.put(name, target, 10, now=100)
        cache.get(one, 100)
    assert cache.get(two, 100) is None
    assert cache.get(one, 100) is not None
    cache.put(one, target, 0, now=100)
    assert cache.get(one, 100) is None
    cache.forget(three)
    cache.forget(three)
    assert repr(cache) == "<NameCache 0 names>"
    nothing = NameCache(0)
    nothing.put(one, target, 10, now=100)
    assert nothing.get(one, 100) is None


def test_configurations_are_checked() -> None:
    assert PublisherConfig(lifetime=60).lifetime == 60.0
    with pytest.raises(ValueError, match="republish_interval"):
        PublisherConfig(republish_interval=0)
    with pytest.raises(ValueError, match="max_depth"):
        ResolverConfig(max_depth=0)
