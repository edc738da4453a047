"""IP groups: which addresses count as one owner's, and how many peers of one may enter."""

from __future__ import annotations

import pytest
from hypothesis import given
from multiaddr import Multiaddr

from libp2p.kad_dht.diversity import (
    MAX_GROUPS_PER_PEER,
    GroupCounts,
    ip_group,
    ip_groups,
    is_public,
    without_crowds,
)
from libp2p.kad_dht.messages import PeerEntry
from tests.support.identities import peer_id_of
from tests.support.strategies import octets


def binary(text: str) -> bytes:
    return bytes(Multiaddr(text).to_bytes())


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("/ip4/8.8.4.4/tcp/1", b"\x08\x08"),
        ("/ip4/8.8.200.1/udp/1/quic-v1", b"\x08\x08"),
        ("/ip4/8.8.4.4", b"\x08\x08"),
        ("/ip4/17.1.2.3/tcp/1", b"\x11"),  # all of 17.0.0.0/8 is one company's
        ("/ip6/2a00:1450:4001::1/tcp/1", b"\x2a\x00\x14\x50"),
        ("/ip6/::ffff:8.8.4.4/tcp/1", b"\x08\x08"),
        ("/ip4/10.0.0.1/tcp/1", None),
        ("/ip4/192.168.1.1/tcp/1", None),
        ("/ip4/127.0.0.1/tcp/1", None),
        ("/ip6/::1/tcp/1", None),
        ("/ip6/fe80::1/tcp/1", None),
        ("/dns4/a.example/tcp/1", None),
        ("/memory/1", None),
    ],
)
def test_groups(text: str, group: bytes | None) -> None:
    assert ip_group(binary(text)) == group
    assert is_public(binary(text)) is (group is not None or text.startswith("/dns4"))


@given(octets(40))
def test_any_bytes_have_a_group_or_none(data: bytes) -> None:
    assert len(ip_group(data) or b"") <= 4
    is_public(data)


@pytest.mark.parametrize("data", [b"", b"\x04\x08\x08\x04", b"\x29" + bytes(15), b"\xff\xff"])
def test_what_is_cut_off_has_no_group(data: bytes) -> None:
    assert ip_group(data) is None
    assert not is_public(data)


def test_a_peer_counts_for_few_groups() -> None:
    announced = [binary(f"/ip4/8.{number}.0.1/tcp/1") for number in range(100)]
    assert len(ip_groups(announced)) == MAX_GROUPS_PER_PEER
    assert ip_groups([*announced[:2], binary("/ip4/10.0.0.1/tcp/1"), announced[0]]) == {
        b"\x08\x00",
        b"\x08\x01",
    }


def test_a_crowd_of_one_network_is_left_out_of_an_answer() -> None:
    crowd = [PeerEntry(peer_id_of(f"crowd {n}"), (binary(f"/ip4/8.8.{n}.1"),)) for n in range(4)]
    others = [PeerEntry(peer_id_of(f"other {n}"), (binary(f"/ip4/9.{n}.0.1"),)) for n in range(4)]
    local = [PeerEntry(peer_id_of(f"local {n}"), (binary("/ip4/10.0.0.1"),)) for n in range(9)]
    assert without_crowds([*crowd, *others, *local], 3) == [*others, *local]
    assert without_crowds([*crowd[:3], *others], 3) == [*crowd[:3], *others]


def test_counts_limit_the_table_and_its_buckets() -> None:
    counts = GroupCounts(most=3, most_in_bucket=2)
    for _ in range(2):
        assert counts.allows(0, [b"a"])
        counts.add(0, [b"a"])
    assert not counts.allows(0, [b"a"])
    assert counts.allows(0, [b"b"])
    assert counts.allows(1, [b"a"])
    counts.add(1, [b"a"])
    assert not counts.allows(2, [b"b", b"a"])
    counts.remove(0, [b"a"])
    assert counts.allows(2, [b"b", b"a"])
    assert counts.allows(0, [b"a"])
    assert counts.allows(0, [])
    for prefix_length in (0, 1):
        counts.remove(prefix_length, [b"a"])
    assert not counts._in_table
    assert not counts._in_bucket


def test_zero_is_no_limit() -> None:
    counts = GroupCounts(most=0, most_in_bucket=0)
    for _ in range(50):
        counts.add(0, [b"a"])
    assert counts.allows(0, [b"a"])
