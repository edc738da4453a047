"""Keys as programs give them."""

from __future__ import annotations

import pytest

from libp2p.exceptions import InvalidArgument
from libp2p.ipld.cid import CID
from libp2p.kad_dht.keys import provider_key, value_key

BLOCK = CID.for_block(b"a block")
MULTIHASH = bytes(BLOCK.multihash)


@pytest.mark.parametrize(
    "key",
    [BLOCK, str(BLOCK), bytes(BLOCK), MULTIHASH, MULTIHASH.hex(), BLOCK.to_py_cid()],
    ids=["CID", "text", "bytes", "multihash", "hex", "py-cid"],
)
def test_every_form_of_a_cid_is_its_multihash(key: object) -> None:
    assert provider_key(key) == MULTIHASH  # type: ignore[arg-type]


def test_the_version_does_not_count() -> None:
    version_0 = CID.for_block(b"a block", codec="dag-pb", version=0)
    assert provider_key(version_0) == provider_key(version_0.to_v1()) == MULTIHASH


def test_other_text_and_bytes_are_the_key() -> None:
    assert provider_key("interop-test-key-1") == b"interop-test-key-1"
    assert provider_key("cafe") == b"\xca\xfe"
    assert provider_key(b"\x01\x02") == b"\x01\x02"
    assert provider_key(bytearray(b"\x01\x02")) == b"\x01\x02"


@pytest.mark.parametrize("key", ["", b"", "x" * 81, bytes(81)])
def test_keys_that_no_peer_accepts(key: str | bytes) -> None:
    with pytest.raises(InvalidArgument):
        provider_key(key)


def test_what_cannot_be_a_key() -> None:
    with pytest.raises(TypeError):
        provider_key(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        value_key(5)  # type: ignore[arg-type]


def test_keys_of_values() -> None:
    assert value_key("/example/ä") == "/example/ä".encode()
    assert value_key(b"/ipns/\xff") == b"/ipns/\xff"
