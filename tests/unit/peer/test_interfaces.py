"""The list of this machine's interfaces: how it is read, and how often."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from libp2p.peer.interfaces import (
    FRESH_FACTOR,
    FRESH_SECONDS,
    InterfaceList,
    _read_system,
    local_interfaces,
)
from libp2p.peer.own_addresses import LOOPBACK_INTERFACES, Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

LAN = Interface.of("192.168.1.7", "255.255.255.0")
TUNNEL = Interface.of("10.8.0.2", None)


class Machine:
    """A machine whose interfaces change, and a clock."""

    def __init__(self, *interfaces: Interface) -> None:
        self.interfaces: Sequence[Interface] = interfaces
        self.now = 100.0
        self.reading_takes = 0.0
        self.reads = 0
        self.list = InterfaceList(self.read, lambda: self.now)

    def read(self) -> Iterable[Interface]:
        self.reads += 1
        self.now += self.reading_takes
        return iter(self.interfaces)


def test_interfaces_that_come_and_go_are_seen_after_a_while() -> None:
    machine = Machine(LAN)
    assert machine.list.current() == (LAN,)
    machine.interfaces = [LAN, TUNNEL]
    machine.now += FRESH_SECONDS / 2
    assert machine.list.current() == (LAN,)
    assert machine.reads == 1
    machine.now += FRESH_SECONDS
    assert machine.list.current() == (LAN, TUNNEL)
    machine.interfaces = []
    machine.now += FRESH_SECONDS
    assert machine.list.current() == ()


def test_what_has_not_changed_is_the_same_object() -> None:
    machine = Machine(LAN)
    before = machine.list.current()
    machine.now += FRESH_SECONDS
    assert machine.list.current() is before
    assert machine.reads == 2


def test_reading_takes_a_bounded_part_of_the_time() -> None:
    machine = Machine(LAN)
    machine.reading_takes = 0.05
    machine.list.current()
    machine.now += 0.05 * FRESH_FACTOR - 0.01
    machine.list.current()
    assert machine.reads == 1
    machine.now += 0.02
    machine.list.current()
    assert machine.reads == 2


@pytest.mark.parametrize(
    "error", [PermissionError("not on this system"), ValueError("odd"), ImportError("psutil")]
)
def test_a_system_that_does_not_tell_is_logged_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(LAN)

    def refuse() -> Iterable[Interface]:
        raise error

    read, machine.read = machine.read, refuse  # type: ignore[method-assign]
    machine.list = InterfaceList(lambda: machine.read(), lambda: machine.now)
    for _ in range(3):
        assert tuple(machine.list.current()) == LOOPBACK_INTERFACES
        machine.now += FRESH_SECONDS
    machine.read = read  # type: ignore[method-assign]
    assert machine.list.current() == (LAN,)
    machine.read = refuse  # type: ignore[method-assign]
    machine.now += FRESH_SECONDS
    assert machine.list.current() == (LAN,), "they are probably what they were"
    (record,) = caplog.records
    assert str(error) in record.message


def test_the_systems_interfaces_that_are_up_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def address(family: int, text: str, netmask: str | None) -> Any:
        return SimpleNamespace(family=family, address=text, netmask=netmask)

    four, six = socket.AF_INET, socket.AF_INET6
    hardware = address(-1, "00:11:22:33:44:55:66:77", None)  # reads like one of IPv6
    addresses = {
        "lo": [address(four, "127.0.0.1", "255.0.0.0"), hardware],
        "eth0": [address(six, "fe80::1%eth0", "ffff:ffff:ffff:ffff::"), hardware],
        "unplugged": [address(four, "10.0.0.1", "255.0.0.0")],
        "new": [address(four, "10.8.0.2", None)],  # it came between the two questions
    }
    states = {"lo": True, "eth0": True, "unplugged": False}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(
        psutil, "net_if_stats", lambda: {n: SimpleNamespace(isup=up) for n, up in states.items()}
    )
    assert _read_system() == [
        Interface.of("127.0.0.1", "255.0.0.0"),
        Interface.of("fe80::1", "ffff:ffff:ffff:ffff::"),
        Interface.of("10.8.0.2", "255.255.255.255"),
    ]


def test_this_machine_has_loopback() -> None:
    assert any(interface.ip.is_loopback for interface in local_interfaces())
