"""py-libp2p's CID functions give what they gave there."""

from __future__ import annotations

import cid as py_cid
import pytest
from multicodec import Code

from libp2p.bitswap import cid as names

DATA = b"Hello, Bitswap!"


def test_version_0_is_the_default_and_ignores_the_codec() -> None:
    assert names.compute_cid(DATA) == names.compute_cid_v0(DATA)
    assert names.compute_cid(DATA)[:2] == b"\x12\x20"
    assert names.compute_cid_obj(DATA) == names.compute_cid_v0_obj(DATA)
    assert isinstance(names.compute_cid_v0_obj(DATA), py_cid.CIDv0)


@pytest.mark.parametrize("codec", ["dag-pb", 0x70, Code.from_string("dag-pb")])
def test_codecs_are_named_numbered_or_objects(codec: str | int | Code) -> None:
    assert names.compute_cid_v1(DATA, codec)[:4] == b"\x01\x70\x12\x20"
    assert names.compute_cid(DATA, 1, codec) == names.compute_cid_v1(DATA, codec)
    assert names.compute_cid_v1_obj(DATA, codec).codec == "dag-pb"


@pytest.mark.parametrize("codec", ["blake2b-8", 0xB201, Code(0xB201)])
def test_codecs_may_be_any_of_the_long_table(codec: str | int | Code) -> None:
    assert names.compute_cid_v1(DATA, codec)[:4] == b"\x01\x81\xe4\x02"


@pytest.mark.parametrize("codec", ["no-codec", -1, 0xFFFF_FFFF, 2**64])
def test_other_codecs_are_refused(codec: str | int) -> None:
    with pytest.raises(ValueError, match=str(codec)):
        names.compute_cid_v1(DATA, codec)


def test_what_is_no_cid_is_shown_as_it_is_and_has_no_prefix() -> None:
    assert names.format_cid_for_display(b"\x01") == "01"
    assert names.format_cid_for_display("no CID", 2) == "no..."
    assert names.get_cid_prefix(b"\x01") == b""


@pytest.mark.parametrize("version", [0, 1])
def test_cids_go_from_form_to_form(version: int) -> None:
    raw = names.compute_cid(DATA, version)
    text = names.cid_to_text(raw)
    assert names.cid_to_bytes(text) == names.cid_to_bytes(names.parse_cid(text)) == raw
    assert names.cid_to_bytes(raw.hex()) == names.cid_to_bytes(f"/ipfs/{text}") == raw
    assert names.parse_cid(raw).version == version
    assert names.format_cid_for_display(raw) == text
    assert names.format_cid_for_display(raw, 8) == text[:8] + "..."
    assert names.verify_cid(raw, DATA)
    assert not names.verify_cid(raw, DATA + b"?")
    assert names.parse_cid_codec(raw) == ("raw" if version else "dag-pb")
    prefix = names.get_cid_prefix(raw)
    assert prefix == (raw[:4] if version else b"")
    assert names.reconstruct_cid_from_prefix_and_data(prefix, DATA) == raw


def test_what_cannot_be_verified_is_not() -> None:
    assert not names.verify_cid(b"no CID", DATA)
    assert not names.verify_cid(bytes.fromhex("0155990120") + bytes(32), DATA)
