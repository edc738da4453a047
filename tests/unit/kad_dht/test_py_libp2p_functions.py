"""py-libp2p's functions over keys and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from libp2p.exceptions import InvalidMultibase
from libp2p.kad_dht import common, utils
from tests.support.identities import peer_id_of


def test_keys() -> None:
    assert utils.create_key_from_binary(b"x") == sha256(b"x").digest()
    assert utils.xor_distance(b"\x05", b"\x01") == 4
    with pytest.raises(TypeError):
        utils.xor_distance("5", b"\x01")  # type: ignore[arg-type]
    assert utils.shared_prefix_len(b"\xff\x00", b"\xff\x01") == 15
    assert utils.shared_prefix_len(b"\xff", b"\xff\x01") == 8
    assert utils.shared_prefix_len(b"\x80", b"\x00") == 0
    assert utils.shared_prefix_len(b"", b"\x00") == 0


def test_text() -> None:
    assert utils.bytes_to_base58(b"hello") == "Cn8eVZg"
    assert utils.bytes_to_multibase(b"hello") == "zCn8eVZg"
    assert utils.bytes_to_multibase(b"hello", "base16") == "f68656c6c6f"
    assert utils.multibase_to_bytes("zCn8eVZg") == b"hello"
    with pytest.raises(InvalidMultibase):
        utils.multibase_to_bytes("!")


def test_peers_by_distance() -> None:
    peers = [peer_id_of(name) for name in "abcdef"]
    target = int.from_bytes(sha256(b"key").digest(), "big")
    expected = sorted(peers, key=lambda peer: peer.xor_id ^ target)
    assert utils.sort_peer_ids_by_distance(b"key", peers) == expected


def test_times_of_records() -> None:
    moment = datetime(2026, 11, 29, 1, 2, 3, 456, UTC)
    text = "2026-11-29T01:02:03.000456000Z"
    assert common.format_time_rfc3339(moment) == text
    assert common.format_time_rfc3339(moment.replace(tzinfo=None)) == text
    east = moment.astimezone(timezone(timedelta(hours=2)))
    assert common.format_time_rfc3339(east) == text
    assert common.parse_time_received(text) == moment.timestamp()
    assert common.parse_time_received("2026-11-29T01:02:03") == int(moment.timestamp())
    assert common.parse_time_received("1700000000.5") == 1_700_000_000.5
    assert common.parse_time_received("yesterday") is None
    assert common.parse_time_received("") is None
    assert common.parse_time_received(common.format_time_rfc3339()) is not None
