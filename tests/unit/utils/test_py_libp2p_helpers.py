"""py-libp2p's functions over paths and addresses, as its examples use them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from multiaddr import Multiaddr

from libp2p.peer.addresses import AddressScope, scope_of
from libp2p.utils import address_validation, paths


def test_paths(tmp_path: Path) -> None:
    assert paths.join_paths(tmp_path, "a", "b") == tmp_path / "a" / "b"
    assert paths.get_script_dir(__file__) == Path(__file__).parent
    made = paths.ensure_dir_exists(tmp_path / "a" / "b")
    assert made.is_dir()
    assert paths.ensure_dir_exists(str(made)) == made


def test_addresses_of_interfaces() -> None:
    found = address_validation.get_available_interfaces(4001)
    assert Multiaddr("/ip4/127.0.0.1/tcp/4001") in found
    assert all("0.0.0.0" not in str(address) for address in found)
    best = address_validation.get_optimal_binding_address(4001)
    assert best in found
    has_far = any(scope_of(address) > AddressScope.LOOPBACK for address in found)
    assert (scope_of(best) > AddressScope.LOOPBACK) is has_far


def test_wildcards() -> None:
    any_4 = address_validation.get_wildcard_address(4001)
    assert str(any_4) == "/ip4/0.0.0.0/tcp/4001"
    assert str(address_validation.get_wildcard_address(1, "udp", 6)) == "/ip6/::/udp/1"
    assert Multiaddr("/ip4/127.0.0.1/tcp/9") in address_validation.expand_wildcard_address(any_4, 9)
    one = Multiaddr("/ip4/127.0.0.1/tcp/4001")
    assert address_validation.expand_wildcard_address(one) == [one]


@pytest.mark.parametrize("version", [4, 6] if socket.has_ipv6 else [4])
def test_a_free_port(version: int) -> None:
    assert 0 < address_validation.find_free_port(version) < 65536
