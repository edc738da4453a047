from __future__ import annotations

import contextlib
import copy
import hashlib
import pickle
import re
from typing import TYPE_CHECKING, Any, cast

import cid as py_cid
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.exceptions import BlockHashMismatch
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID, HashNotSupported, InvalidCID, cid_inputs, cid_maker
from tests.support.strategies import octets

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.ipld.cid import CIDInput

HELLO = b"hello world"
V0_TEXT = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
V1_TEXT = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
V0 = CID.parse(V0_TEXT)
V1 = CID.parse(V1_TEXT)
BASES = (
    "base2", "base10", "base16", "base16upper", "base32", "base32upper", "base32pad",
    "base32padupper", "base32hex", "base32hexupper", "base32hexpad", "base32hexpadupper", "base32z",
    "base36", "base36upper", "base58btc", "base58flickr", "base64", "base64pad", "base64url",
    "base64urlpad", "base256emoji", "identity",
)  # fmt: skip
SHA256 = hashlib.sha256(HELLO).digest()

multihashes = st.tuples(st.integers(0, 2**63 - 1), octets(128))


def uvarint(value: int) -> bytes:
    encoded = b""
    while value >= 0x80:
        encoded += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return encoded + bytes((value,))


def v1(codec: int, hash_code: int, digest: bytes) -> bytes:
    return b"\x01" + uvarint(codec) + uvarint(hash_code) + uvarint(len(digest)) + digest


# -- parts -----------------------------------------------------------------------------------------


def test_the_parts_of_version_1() -> None:
    assert (V1.version, V1.codec, V1.codec_code) == (1, "raw", 0x55)
    assert (V1.hash_code, V1.hash_name, V1.digest) == (0x12, "sha2-256", SHA256)
    assert V1.multihash == b"\x12\x20" + SHA256
    assert V1.buffer == bytes(V1) == b"\x01\x55\x12\x20" + SHA256
    assert V1.prefix == b"\x01\x55\x12\x20"
    assert not V1.is_identity


def test_the_parts_of_version_0() -> None:
    assert (V0.version, V0.codec, V0.codec_code) == (0, "dag-pb", 0x70)
    assert (V0.hash_code, V0.hash_name, len(V0.digest)) == (0x12, "sha2-256", 32)
    assert V0.multihash == V0.buffer == b"\x12\x20" + V0.digest
    assert V0.prefix == b"\x00\x70\x12\x20"


def test_a_codec_and_a_hash_that_nobody_knows_are_carried() -> None:
    unknown = CID.decode(v1(0x300000, 0x3F4242, b"digest"))
    assert unknown.codec == "0x300000"
    assert unknown.hash_name == "0x3f4242"
    assert unknown.digest == b"digest"
    assert unknown.prefix == v1(0x300000, 0x3F4242, b"digest")[:-6]
    assert CID.parse(str(unknown)) == unknown


def test_the_empty_identity() -> None:
    empty = CID.parse("bafkqaaa")
    assert empty.is_identity
    assert empty.digest == b""
    assert empty == CID.for_block(b"", hash="identity")
    assert str(empty) == "bafkqaaa"


@given(st.integers(0, 2**63 - 1), multihashes)
def test_any_version_1_is_read_and_written(codec: int, multihash: tuple[int, bytes]) -> None:
    cid = CID.decode(v1(codec, *multihash))
    assert cid.buffer == v1(codec, *multihash)
    assert (cid.codec_code, cid.hash_code, cid.digest) == (codec, *multihash)
    for base in (*BASES, None):
        assert CID.parse(cid.encode(base)) == cid


# -- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
def test_every_base_is_read(base: str) -> None:
    assert CID.parse(V1.encode(base)) == V1


def test_the_text_of_each_base() -> None:
    v1_of_v0 = V0.to_v1()
    assert v1_of_v0.encode("base32") == str(v1_of_v0)
    assert V1.encode("base32upper") == V1_TEXT.upper()
    assert V1.encode("base58btc").startswith("zb2rh")
    assert v1_of_v0.encode("base58btc").startswith("zdj7W")
    assert V1.encode("base36").startswith("k2cwue")
    assert V0.encode() == V0.encode("base58btc") == str(V0) == V0_TEXT
    assert repr(V0) == f"CID('{V0_TEXT}')"


def test_version_0_has_one_base() -> None:
    with pytest.raises(InvalidCID, match="version 1 first"):
        V0.encode("base32")


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(InvalidCID, match="base99"):
        V1.encode("base99")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "Qm",
        V0_TEXT[:-1],
        V0_TEXT + "1",
        V0_TEXT[:-1] + "0",
        "z" + V0_TEXT,
        V1_TEXT[:-1],
        V1_TEXT + "a",
        V1_TEXT + "=",
        V1_TEXT[1:],
        V1_TEXT[:20] + "\u017f" + V1_TEXT[21:],
        " " + V1_TEXT,
        V1_TEXT + "\n",
        "/ipfs/" + V1_TEXT,
        "k" * 321,
        "0" * 1201,
        "m" + "A" * 40,
    ],
)
def test_text_that_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(InvalidCID):
        CID.parse(text)


# -- bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\x55",
        b"\x01\x55\x12",
        b"\x01\x55\x12\x20",
        V1.buffer[:-1],
        V1.buffer + b"\0",
        V0.buffer[:-1],
        V0.buffer + b"\0",
        b"\x00" + V1.buffer[1:],  # versions that do not exist in this form
        b"\x02" + V1.buffer[1:],
        b"\x03" + V1.buffer[1:],
        b"\x81\x00" + V1.buffer[1:],  # varints that are not in their shortest form
        b"\x01\xd5\x00\x12\x20" + SHA256,
        b"\x01\x55\x92\x00\x20" + SHA256,
        b"\x01\x55\x12\xa0\x00" + SHA256,
        b"\x01" + b"\x80" * 9 + b"\x01\x12\x20" + SHA256,  # and too long
        v1(0x55, 0x00, bytes(129)),
        v1(0x55, 0x1E, bytes(129)),
        V1_TEXT.encode(),  # bytes are never text
        V0_TEXT.encode(),
    ],
)
def test_bytes_that_are_no_cid_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidCID):
        CID.decode(data)


@given(octets(40))
def test_any_bytes_give_a_cid_of_the_same_bytes_or_a_typed_error(data: bytes) -> None:
    with contextlib.suppress(InvalidCID):
        assert CID.decode(data).buffer == data


# -- a value ---------------------------------------------------------------------------------------


def test_a_cid_is_a_value() -> None:
    same = CID.decode(bytearray(V1.buffer))
    assert same == V1
    assert hash(same) == hash(V1)
    assert V1.buffer != V1
    assert V1 != V0
    assert len({V1, same, V0}) == 2
    assert sorted([V0, V1]) == [V1, V0]
    with pytest.raises(TypeError):
        sorted([V0, cast("CID", b"bytes")])


def test_a_cid_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        V1.buffer = b""
    with pytest.raises(AttributeError):
        del V1.buffer
    with pytest.raises(AttributeError):
        V1.note = 1


def test_a_cid_survives_copy_and_pickle() -> None:
    assert copy.deepcopy(V1) == V1
    assert pickle.loads(pickle.dumps(V0)) == V0


@pytest.mark.parametrize("expected", [V0, V1])
def test_a_cid_is_taken_in_any_form(expected: CID) -> None:
    forms: list[CIDInput] = [
        expected,
        expected.buffer,
        bytearray(expected.buffer),
        memoryview(b"x" + expected.buffer)[1:],
        str(expected),
        f"/ipfs/{expected}",
        f" \t{expected}\r\n",
        f"/ipfs/{expected}/",
        f"ipfs/{expected}",
        f"dweb:/ipfs/{expected}",
        f"ipfs://{expected}",
        f"IPFS://{expected}/",
        f"ipfs://ipfs/{expected}",
        f"https://example.org/ipfs/{expected}",
        f"http://127.0.0.1:8080/ipfs/{expected}/\n",
        f"https://example.org/below/ipfs/{expected}",
        f"example.org/ipfs/{expected}",
        f"https://{expected}.ipfs.dweb.link",
        f"http://{expected}.ipfs.localhost:8080/",
        expected.buffer.hex(),
        "0x" + expected.buffer.hex(),
        expected.to_py_cid(),
    ]
    for form in forms:
        assert CID.of(form) == CID(form) == expected


@pytest.mark.parametrize("text", ["", "Qm", "0155", "0x", "/ipfs/", "/ipfs/Qm", "01" * 1000])
def test_other_text_is_no_cid(text: str) -> None:
    with pytest.raises(InvalidCID):
        CID.of(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"/ipfs/{V1_TEXT}/a/b.txt", "'/a/b.txt' below"),
        (f"{V1_TEXT}/a", "'/a' below"),
        (f"ipfs://{V1_TEXT}/a?b#c", "'/a' below"),
        (f"https://example.org/ipfs/{V1_TEXT}/a/path?a=query", "'/a/path' below"),
        (f"https://{V1_TEXT}.ipfs.dweb.link/a", "'/a' below"),
        (f"/ipfs/{V1_TEXT}/ipfs/{V0_TEXT}", "below"),
        (f"https://example.org/ipfs/{V1_TEXT}?filename=a", "leave it out"),
        (f"ipfs://{V1_TEXT}#top", "leave it out"),
        (f"/ipfs/{V1_TEXT}/?a", "leave it out"),
        (f"/ipfs/{V1_TEXT}%2Fa", "not base32"),
        (f"/ipfs/%62{V1_TEXT[1:]}", "not a CID"),
        (f"/ipfs/{V1_TEXT} a", "not base32"),
        (f"/ip4/127.0.0.1/tcp/4001/ipfs/{V0_TEXT}", "not a CID"),
        ("/ipns/k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8", "IPNS"),
        ("ipns://docs.ipfs.tech/a", "IPNS"),
        ("https://example.org/ipns/docs.ipfs.tech", "IPNS"),
        ("https://docs-ipfs-tech.ipns.dweb.link/", "IPNS"),
        ("/ipfs/" + "a" * 1_000_000, "too long"),
        ("/ipfs/" + "z" * 4000, "too long"),
        ("https://" + "a/ipfs" * 1000, "not a CID"),
    ],
)
def test_what_is_more_than_a_cid_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidCID, match=re.escape(said)) as caught:
        CID.of(text)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("read", [CID.parse, CID.decode])
@pytest.mark.parametrize("value", [None, 3, 10**30, [1, 0x55], object()])
def test_the_two_forms_are_not_mistaken(read: Callable[[object], CID], value: object) -> None:
    with pytest.raises(InvalidCID, match=type(value).__name__):
        read(value)


@pytest.mark.parametrize("value", [None, 1, 1.5, ["Qm"], object()])
def test_anything_else_is_no_cid(value: object) -> None:
    with pytest.raises(InvalidCID, match=type(value).__name__):
        CID.of(cast("CIDInput", value))


def test_py_cid_objects_are_made() -> None:
    version_0 = V0.to_py_cid()
    assert isinstance(version_0, py_cid.CIDv0)
    assert version_0.buffer == V0.buffer
    version_1 = V1.to_py_cid()
    assert isinstance(version_1, py_cid.CIDv1)
    assert (version_1.codec, version_1.buffer) == ("raw", V1.buffer)


# -- making ----------------------------------------------------------------------------------------


def test_a_block_gets_its_cid() -> None:
    assert CID.for_block(HELLO) == V1
    assert CID.for_block(memoryview(HELLO)) == V1
    assert CID.for_block(HELLO, 0x55, hash=0x12) == V1
    assert CID.for_block(HELLO, "DAG-PB", 0).buffer == b"\x12\x20" + SHA256
    assert CID.for_block(HELLO, hash="sha1").digest == hashlib.sha1(HELLO).digest()
    assert CID.for_block(b"ab", "dag-cbor", hash="identity").buffer == b"\x01\x71\x00\x02ab"


def test_a_digest_gets_its_cid() -> None:
    assert CID.from_digest(SHA256) == V1
    assert CID.from_digest(memoryview(SHA256), "dag-pb", 0).version == 0
    assert CID.from_digest(b"ab", hash="identity").is_identity


@pytest.mark.parametrize(
    ("codec", "version", "hash_name"),
    [
        ("raw", 0, "sha2-256"),
        ("dag-pb", 0, "sha2-512"),
        ("dag-pb", 2, "sha2-256"),
        ("dag-xyz", 1, "sha2-256"),
        (-1, 1, "sha2-256"),
        (2**63, 1, "sha2-256"),
    ],
)
def test_what_no_cid_can_say_is_refused(codec: str | int, version: int, hash_name: str) -> None:
    with pytest.raises(InvalidCID):
        CID.for_block(HELLO, codec, version, hash_name)


@pytest.mark.parametrize("wrong", [[], {}, None, True, 1j])
@pytest.mark.parametrize("name", ["codec", "hash", "version"])
def test_choices_of_a_wrong_kind_are_refused(name: str, wrong: Any) -> None:
    if (name, wrong) == ("version", True):
        return
    with pytest.raises((InvalidCID, HashNotSupported)):
        CID.for_block(HELLO, **{name: wrong})


def test_versions_are_converted() -> None:
    assert V0.to_v1().buffer == b"\x01\x70" + V0.buffer
    assert V0.to_v1().to_v0() == V0
    assert V0.to_v0() is V0
    assert V1.to_v1() is V1
    with pytest.raises(InvalidCID, match="raw"):
        V1.to_v0()


# -- a block against its name ----------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["sha2-256", "sha1", "blake3", "identity", "shake-256"])
def test_a_block_matches_its_cid_alone(hash_name: str) -> None:
    cid = CID.for_block(HELLO, hash=hash_name)
    assert cid.matches(HELLO)
    assert cid.matches(memoryview(HELLO))
    assert not cid.matches(HELLO + b"!")


def test_a_truncated_digest_matches_if_it_is_long_enough() -> None:
    assert CID.from_digest(SHA256[:20]).matches(HELLO)
    with pytest.raises(HashNotSupported):
        CID.from_digest(SHA256[:19]).matches(HELLO)


def test_a_hash_that_nobody_knows_matches_nothing() -> None:
    with pytest.raises(HashNotSupported):
        CID.decode(v1(0x55, 0x3F4242, bytes(32))).matches(HELLO)


@pytest.mark.parametrize("hash_name", ["sha2-256", "sha1", "sha2-512", "identity", "blake2b-256"])
@pytest.mark.parametrize("codec", ["raw", "dag-pb"])
def test_the_empty_block_is_known_by_its_name(hash_name: str, codec: str) -> None:
    assert CID.for_block(b"", codec, hash=hash_name).is_empty_block
    assert not CID.for_block(b"\x00", codec, hash=hash_name).is_empty_block


def test_the_empty_block_is_known_in_version_0_and_by_a_truncated_digest() -> None:
    assert CID.for_block(b"", "dag-pb", 0).is_empty_block
    assert CID.from_digest(hashlib.sha256(b"").digest()[:20]).is_empty_block
    assert not CID.from_digest(SHA256[:20]).is_empty_block


@pytest.mark.parametrize("code", [0x3F4242, 0x20, 0x18])
def test_a_hash_that_cannot_tell_names_no_empty_block(code: int) -> None:
    digest = hashlib.sha384(b"").digest() if code == 0x20 else hashlib.shake_128(b"").digest(32)
    assert not CID.decode(v1(0x55, code, digest)).is_empty_block


def test_a_block_verifies_itself() -> None:
    block = Block(V1, HELLO)
    assert block.verify() is block
    with pytest.raises(BlockHashMismatch, match=V1_TEXT):
        Block(V1, b"other").verify()


# -- bitswap's prefixes ----------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [b"\x00\x70\x12\x20", b"\x12\x20", b""])
def test_the_prefixes_of_version_0(prefix: bytes) -> None:
    assert CID.from_prefix_and_data(prefix, HELLO) == CID.for_block(HELLO, "dag-pb", 0)


@pytest.mark.parametrize(
    "cid",
    [
        V1,
        CID.for_block(HELLO, "dag-cbor", hash="blake2b-256"),
        CID.for_block(HELLO, 0x300000, hash="sha2-512"),
        CID.for_block(HELLO, hash="identity"),
        cid_maker("raw", 1, "blake3", 128)(HELLO),
        cid_maker("raw", 1, "sha2-256", 20)(HELLO),
    ],
)
def test_prefix_and_data_give_the_cid_back(cid: CID) -> None:
    assert CID.from_prefix_and_data(memoryview(cid.prefix), memoryview(HELLO)) == cid


@pytest.mark.parametrize(
    "prefix",
    [
        b"\x00",
        b"\x01",
        b"\x01\x55\x12",
        b"\x00\x55\x12\x20",
        b"\x02\x55\x12\x20",
        b"\x01\x55\x12\x20\x00",
        b"\x12\x20\x00",
        b"\x01\x55\x12" + b"\xff" * 8 + b"\x7f",
    ],
)
def test_a_malformed_prefix_is_refused(prefix: bytes) -> None:
    with pytest.raises(InvalidCID):
        CID.from_prefix_and_data(prefix, HELLO)


@pytest.mark.parametrize(
    "prefix",
    [b"\x01\x55\x12\x00", b"\x01\x55\x12\x21", b"\x01\x55\xd5\x01\x10", b"\x01\x55\x12\x13"],
)
def test_a_prefix_whose_hash_cannot_vouch_is_refused(prefix: bytes) -> None:
    with pytest.raises(HashNotSupported):
        CID.from_prefix_and_data(prefix, HELLO)


def test_one_cid_may_stand_for_several() -> None:
    cid = CID.for_block(b"a block")
    for one in (cid, str(cid), cid.buffer, bytearray(cid.buffer), memoryview(cid.buffer)):
        assert list(cid_inputs(one)) == [one]
    several: list[CID | str] = [cid, str(cid)]
    assert cid_inputs(several) is several
    with pytest.raises(TypeError, match="cids must be a list of CIDs, not int"):
        cid_inputs(5)  # type: ignore[arg-type]
