"""Lists of whom to connect to, and what a program's own gater may do."""

from __future__ import annotations

from typing import Any

import pytest
from multiaddr import Multiaddr

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import InvalidArgument
from libp2p.network.connection_gate import ConnectionGate
from libp2p.network.gating import Gating
from libp2p.peer.id import ID

ONE, TWO = (ID.from_pubkey(create_new_key_pair(bytes([n]) * 32).public_key) for n in (1, 2))
NAME = Multiaddr("/dns4/example.com/tcp/1")


def at(ip: str) -> Multiaddr:
    return Multiaddr(f"/ip{6 if ':' in ip else 4}/{ip}/tcp/4001")


@pytest.mark.parametrize(
    ("lists", "admitted", "refused"),
    [
        ({}, ["192.0.2.1", "::1", "10.0.0.1"], []),
        ({"deny_list": ["192.0.2.1"]}, ["192.0.2.2"], ["192.0.2.1", "::ffff:192.0.2.1"]),
        ({"deny_list": ["192.0.2.0/24", "2001:db8::/32"]}, ["::1"], ["192.0.2.7", "2001:db8::1"]),
        ({"allow_list": ["192.0.2.0/24"]}, ["192.0.2.7"], ["192.0.3.1", "::1"]),
        (
            {"allow_list": ["192.0.2.0/24"], "deny_list": ["192.0.2.1"]},
            ["192.0.2.7"],
            ["192.0.2.1", "192.0.3.1"],
        ),
        ({"allow_private_addresses": False}, ["8.8.8.8"], ["10.0.0.1", "127.0.0.1", "::1"]),
    ],
)  # fmt: skip
def test_networks(lists: dict[str, Any], admitted: list[str], refused: list[str]) -> None:
    gate = ConnectionGate(**lists)
    assert [ip for ip in admitted if not gate.admits(at(ip))] == []
    assert [ip for ip in refused if gate.admits(at(ip))] == []
    assert gate.admits(NAME)  # by the address that it leads to
    assert gate.admits(None)


async def test_the_name_that_is_awaited() -> None:
    gate = ConnectionGate(deny_list=["192.0.2.1"])
    assert (await gate.is_allowed(NAME), await gate.is_allowed(at("192.0.2.1"))) == (True, False)
    assert not gate.is_allowed(at("192.0.2.1"))


def test_lists_change() -> None:
    gate = ConnectionGate()
    gate.add_to_deny_list("192.0.2.1")
    gate.add_to_deny_list("192.0.2.1")
    assert not gate.intercept_accept(at("192.0.2.1"))
    assert list(map(str, gate.deny_list)) == ["192.0.2.1/32"]
    gate.remove_from_deny_list("192.0.2.1")
    gate.remove_from_deny_list("192.0.2.1")
    assert gate.intercept_accept(at("192.0.2.1"))
    gate.add_to_allow_list("192.0.2.0/24")
    assert gate.is_in_allow_list(at("192.0.2.1"))
    assert not gate.is_in_allow_list(NAME)
    assert not gate.intercept_addr_dial(ONE, at("192.0.3.1"))
    assert list(map(str, gate.allow_list)) == ["192.0.2.0/24"]
    gate.remove_from_allow_list("192.0.2.0/24")
    assert gate.intercept_addr_dial(ONE, at("192.0.3.1"))


def test_peers() -> None:
    gate = ConnectionGate(deny_peers=[str(ONE)])
    assert not gate.intercept_peer_dial(ONE)
    assert not gate.intercept_secured(False, ONE, None)
    assert gate.intercept_secured(False, TWO, at("192.0.2.1"))
    gate.undeny_peer(ONE)
    assert gate.intercept_peer_dial(ONE)
    gate.deny_peer(TWO)
    assert not gate.intercept_peer_dial(TWO)
    only = ConnectionGate(allow_peers=[ONE], allow_list=["192.0.2.0/24"])
    assert only.intercept_secured(True, ONE, at("192.0.2.1"))
    assert not only.intercept_secured(True, ONE, at("192.0.3.1"))
    assert not only.intercept_secured(True, TWO, at("192.0.2.1"))


@pytest.mark.parametrize("entry", ["", "example.com", "192.0.2.256", "192.0.2.1/33", "::1/200"])
def test_what_is_no_network_is_not_ignored(entry: str) -> None:
    with pytest.raises(InvalidArgument):
        ConnectionGate(deny_list=[entry])
    with pytest.raises(InvalidArgument):
        ConnectionGate().add_to_allow_list(entry)
    with pytest.raises(InvalidArgument):
        ConnectionGate(deny_peers=["no peer"])


class Odd:
    def __getattr__(self, name: str) -> Any:
        def answer(*args: object) -> bool:
            raise LookupError(name)

        return answer


def test_a_gater_that_raises_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gating = Gating(Odd())
    assert not gating.may_dial(ONE)
    assert not gating.may_dial_at(ONE, at("192.0.2.1"))
    assert not gating.may_accept(("192.0.2.1", 1))
    assert len(caplog.records) == 1


class Ready:
    is_initiator = False
    peer_id = ONE

    def get_transport_addresses(self) -> list[Multiaddr]:
        return [at("192.0.2.1")]


def test_the_questions_of_a_connection_that_is_ready() -> None:
    connection: Any = Ready()
    assert Gating(ConnectionGate()).may_use(connection)
    assert not Gating(ConnectionGate(deny_peers=[ONE])).may_use(connection)
    assert not Gating(ConnectionGate(deny_list=["192.0.2.1"])).may_use(connection)
    assert Gating(ConnectionGate()).may_accept(("fe80::1%eth0", 1))
    assert Gating(ConnectionGate()).may_accept(None)
