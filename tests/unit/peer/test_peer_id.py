"""Peer ids in bytes and in text."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.crypto import ed25519
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.encoding_config import (
    encoding_override,
    get_default_encoding,
    list_supported_encodings,
    set_default_encoding,
)
from libp2p.exceptions import InvalidMultibase, InvalidPeerID
from libp2p.kad_dht.utils import bytes_to_multibase
from libp2p.peer.id import ID, MAX_TEXT_LENGTH, sha256_digest

DATA = Path(__file__).parents[2] / "data" / "libp2p_spec_vectors.json"
VECTORS = json.loads(DATA.read_text())
KEYS = VECTORS["keys_protobuf_hex"]

# Known pairs of a key of the vectors and its id in other implementations
IDS_OF_KEYS = {
    "ed25519": "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
    "secp256k1": "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
    "ecdsa": "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk",
    "rsa": "QmaeANgBs1DTSxWSrPPtobgQuxW8XTfsS4ydbK4rCHzqxG",
}
#: The same id in all forms of the specification's section on text.
TEXTS = {
    "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N": (
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
    ),
}

multihashes = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda digest: b"\x12\x20" + digest),
    st.binary(min_size=1, max_size=42).map(lambda key: bytes((0, len(key))) + key),
)


@pytest.mark.parametrize("kind", IDS_OF_KEYS)
def test_ids_of_the_specifications_keys(kind: str) -> None:
    serialized = bytes.fromhex(KEYS[f"{kind} public key"])
    key = deserialize_public_key(serialized)
    peer_id = ID.from_pubkey(key)
    assert str(peer_id) == IDS_OF_KEYS[kind]
    if len(serialized) <= 42:
        assert peer_id.to_bytes() == bytes((0, len(serialized))) + serialized
        assert peer_id.extract_public_key() == key
    else:
        assert peer_id.to_bytes() == b"\x12\x20" + hashlib.sha256(serialized).digest()
        assert peer_id.extract_public_key() is None


@pytest.mark.parametrize(
    "text", [c["peer_id"] for c in VECTORS["tls_certificates"] if c["peer_id"]]
)
def test_ids_of_the_specifications_certificates(text: str) -> None:
    assert str(ID.from_string(text)) == text


@pytest.mark.parametrize(("base58", "cid"), TEXTS.items())
def test_the_specifications_text_forms(base58: str, cid: str) -> None:
    peer_id = ID.from_string(base58)
    assert peer_id == ID.from_string(cid)
    assert str(peer_id) == peer_id.pretty() == peer_id.to_string() == peer_id.to_base58() == base58
    assert peer_id.to_multibase("base32") == cid
    assert peer_id.to_multibase("base36").startswith("k2k4r8")
    assert ID.from_string(peer_id.to_multibase("base36")) == peer_id


def test_ed25519_ids_as_ipns_writes_them() -> None:
    peer_id = ID.from_pubkey(ed25519.create_new_key_pair(bytes(32)).public_key)
    assert peer_id.to_base58().startswith("12D3KooW")
    assert peer_id.to_multibase("base36").startswith("k51qzi5uqu5d")


@given(multihashes)
def test_every_text_form_leads_back(multihash: bytes) -> None:
    peer_id = ID(multihash)
    assert bytes(peer_id) == peer_id.to_bytes() == multihash
    assert ID.from_base58(peer_id.to_base58()) == peer_id
    for base in ("base32", "base36", "base58btc"):
        text = peer_id.to_multibase(base)
        assert ID.from_multibase(text) == ID.from_string(text) == peer_id
    assert ID.from_string(str(peer_id)) == peer_id


@given(multihashes, multihashes)
def test_comparison_is_that_of_the_bytes(first: bytes, second: bytes) -> None:
    one, other = ID(first), ID(second)
    assert (one == other) is (first == second)
    assert (one < other) is (first < second)
    assert sorted([one, other]) == [ID(raw) for raw in sorted([first, second])]
    assert hash(one) == hash(ID(bytearray(first)))
    assert one == first
    assert one == str(one)
    assert one != 5


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "00",
        "0000",
        "12",
        "1220" + "00" * 31,
        "1220" + "00" * 33,
        "121f" + "00" * 31,
        "002b" + "00" * 43,
        "0080" + "01" + "00" * 128,
        "1320" + "00" * 32,
        "0172" + "1220" + "00" * 32,
        b"peer".hex(),
    ],
)
def test_what_is_no_hash_of_a_key_is_no_peer_id(encoded: str) -> None:
    with pytest.raises(InvalidPeerID):
        ID.from_bytes(bytes.fromhex(encoded))
    assert ID(bytes.fromhex(encoded)).to_bytes() == bytes.fromhex(encoded)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "1",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx0N",
        "12D3KooW",
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqx",
        # a CID of a file
        "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "k51",
        "kétaient",
        "Qm" + "a" * MAX_TEXT_LENGTH,
        "k" + "5" * MAX_TEXT_LENGTH,
    ],
)
def test_what_is_no_peer_id_in_text(text: str) -> None:
    with pytest.raises(InvalidPeerID):
        ID.from_string(text)


def test_py_libp2ps_readers_take_any_bytes_as_the_constructor_does() -> None:
    made_up = ID(b"peer")
    assert ID.from_base58(made_up.to_base58()) == made_up
    assert ID.from_multibase(made_up.to_multibase("base32")) == made_up
    for text in ("?", "k" + "5" * MAX_TEXT_LENGTH):
        with pytest.raises(InvalidPeerID):
            ID.from_base58(text)
        with pytest.raises(InvalidPeerID):
            ID.from_multibase(text)


def test_the_base_of_texts_can_be_chosen() -> None:
    peer_id = ID(b"\0\1a")
    assert peer_id.to_multibase()[0] == bytes_to_multibase(b"a")[0] == "z"
    with encoding_override("base32"):
        assert peer_id.to_multibase() == peer_id.to_multibase("base32")
    set_default_encoding("base16")
    try:
        assert bytes_to_multibase(b"a") == "f61"
    finally:
        set_default_encoding("base58btc")
    assert get_default_encoding() in list_supported_encodings()
    with pytest.raises(InvalidMultibase, match="base7"):
        set_default_encoding("base7")


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(InvalidMultibase):
        ID(b"\0\1a").to_multibase("base7")


def test_an_id_that_embeds_no_key_has_none() -> None:
    assert ID(b"\0\3abc").extract_public_key() is None


def test_place_in_the_dht() -> None:
    peer_id = ID(b"\0\3abc")
    expected = int(hashlib.sha256(b"\0\3abc").hexdigest(), 16)
    assert (peer_id.xor_id, peer_id.xor_id) == (expected, expected)
    assert sha256_digest(b"abc") == sha256_digest("abc") == hashlib.sha256(b"abc").digest()


def test_ids_can_be_copied_and_shown() -> None:
    peer_id = ID(b"\0\3abc")
    assert peer_id.__reduce__() == (ID, (peer_id.to_bytes(),))  # no hash of this process
    assert copy.deepcopy(peer_id) == pickle.loads(pickle.dumps(peer_id)) == peer_id
    assert str(peer_id) in repr(peer_id)
