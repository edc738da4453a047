"""py-libp2p's functions over paths and addresses, as its examples use them."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from multiaddr import Multiaddr

from libp2p.exceptions import RawConnError, StreamEOF
from libp2p.peer.addresses import AddressScope, scope_of
from libp2p.peer.own_addresses import Interface
from libp2p.utils import address_validation, connection_shutdown, multiaddr_utils, paths
from tests.support.identities import peer_id_of


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


def test_whether_there_is_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_interfaces(*addresses: str) -> tuple[bool, bool]:
        interfaces = [Interface.of(address, None) for address in addresses]
        monkeypatch.setattr(address_validation, "local_interfaces", lambda: interfaces)
        return address_validation.is_ipv6_available(), address_validation.has_public_ipv6()

    assert with_interfaces("127.0.0.1", "1.1.1.1") == (False, False)
    assert with_interfaces("1.1.1.1", "::1", "fd00::2") == (True, False)
    assert with_interfaces("::1", "2606:4700::1111") == (True, True)


@pytest.mark.parametrize(
    ("text", "is_public_6", "is_relay"),
    [
        ("/ip6/2606:4700::1111/tcp/1", True, False),
        ("/dns6/host.example/tcp/1", True, False),
        ("/dns6/localhost/tcp/1", False, False),
        ("/ip6/fd00::2/tcp/1", False, False),
        ("/ip4/1.1.1.1/tcp/1", False, False),
        (f"/ip4/1.1.1.1/tcp/1/p2p/{peer_id_of('relay')}/p2p-circuit", False, True),
    ],
)
def test_where_addresses_lead(text: str, is_public_6: bool, is_relay: bool) -> None:
    address = Multiaddr(text)
    assert address_validation.is_public_ipv6_address(address) is is_public_6
    assert address_validation.is_relay_address(address) is is_relay


@pytest.mark.parametrize("version", [4, 6] if socket.has_ipv6 else [4])
def test_a_free_port(version: int) -> None:
    assert 0 < address_validation.find_free_port(version) < 65536


def test_addresses_are_taken_apart_and_put_together() -> None:
    maddr = Multiaddr("/ip6/::1/tcp/1")
    assert multiaddr_utils.extract_ip_from_multiaddr(maddr) == "::1"
    assert multiaddr_utils.get_ip_protocol_from_multiaddr(maddr) == "ip6"
    assert list(map(str, multiaddr_utils.get_protocol_layers(maddr))) == ["/ip6/::1", "/tcp/1"]
    name = Multiaddr("/dns4/host.example/tcp/1")
    assert multiaddr_utils.extract_host_from_multiaddr(name) == "host.example"
    assert multiaddr_utils.extract_ip_from_multiaddr(name) is None
    assert multiaddr_utils.get_ip_protocol_from_multiaddr(name) is None
    assert multiaddr_utils.join_multiaddrs("/ip4/1.2.3.4", Multiaddr("/tcp/1")) == Multiaddr(
        "/ip4/1.2.3.4/tcp/1"
    )
    assert multiaddr_utils.join_multiaddrs() == Multiaddr("/")
    assert multiaddr_utils.format_host_for_url("::1") == "[::1]"
    assert multiaddr_utils.format_host_for_url("a.example") == "a.example"


@pytest.mark.parametrize(
    ("family", "ip"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_the_address_of_a_socket(family: socket.AddressFamily, ip: str) -> None:
    with socket.socket(family) as sock:
        sock.bind((ip, 0))
        port = sock.getsockname()[1]
        name = "ip4" if family == socket.AF_INET else "ip6"
        assert str(multiaddr_utils.multiaddr_from_socket(sock)) == f"/{name}/{ip}/tcp/{port}"


def test_ends_of_connections_are_told_from_faults(caplog: pytest.LogCaptureFixture) -> None:
    is_end = connection_shutdown.is_expected_connection_shutdown
    assert is_end(RawConnError("reset"))
    assert is_end(StreamEOF())
    assert is_end(ExceptionGroup("", [StreamEOF(), ExceptionGroup("", [RawConnError("gone")])]))
    caused = ValueError("no block")
    caused.__cause__ = RawConnError("gone")
    assert is_end(caused)
    assert not is_end(None)
    assert is_end(OSError("Broken pipe"))
    assert not is_end(ValueError("stream reset"))
    assert not is_end(ExceptionGroup("", [StreamEOF(), KeyError("a fault")]))
    with caplog.at_level(logging.DEBUG, "libp2p"):
        connection_shutdown.log_expected_connection_shutdown(component="yamux", exc=StreamEOF())
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_programs_and_folders_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (paths.get_project_root() / "libp2p" / "utils" / "paths.py").exists()
    assert paths.get_config_dir() == Path.home() / ".config" / "py-libp2p"
    assert paths.get_script_binary_path() == paths.get_python_executable().parent
    assert paths.find_executable("sh") is not None
    assert paths.find_executable("no-such-program") is None
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert paths.get_venv_path() is None
    assert paths.get_binary_path("tool") is None
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    assert paths.get_venv_path() == tmp_path
    assert paths.get_binary_path("tool") == program
    assert paths.get_binary_path("sh") == paths.find_executable("sh")
