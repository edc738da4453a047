"""Two machines with two interfaces each: what one says of itself, the other can dial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from multiaddr import Multiaddr

from tests.interop.lite import Lite, LiteServer
from tests.interop.need import need
from tests.support.namespaces import Machine, two_machines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.interop.child import JsonChild

ANYWHERE = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")
CONTENT = b"from one network to another\n" * 20_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two namespaces; the test is skipped, or fails where it must run, if there can be none."""
    need("namespaces")
    with two_machines() as both:
        yield both


def host_of(address: str) -> str:
    """The IP address of a multiaddr."""
    return str(Multiaddr(address)).split("/")[2]


def hosts_of(addresses: list[str]) -> set[str]:
    """The IP addresses of multiaddrs."""
    return set(map(host_of, addresses))


def test_what_serve_prints_is_dialled_from_the_other_machine(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    left, right = machines
    lite = Lite(tmp_path / "repo")
    cid = lite.add_bytes(CONTENT)
    expected = left.reachable | {"127.0.0.1", "::1"}
    with LiteServer(left.command(*lite.command), ANYWHERE, lines=len(expected)) as server:
        assert hosts_of(server.addrs) == expected
        assert host_of(server.addr) == left.public
        for number, address in enumerate(server.addrs):
            guest = Lite(tmp_path / f"guest {number}", prefix=right.command())
            if host_of(address) in left.reachable:
                assert guest.cat(cid, "--peer", address) == CONTENT
            else:
                refused = guest.run("cat", "--peer", address, cid, check=False)
                assert refused.returncode != 0
                assert b"refused" in refused.stderr


@pytest.mark.parametrize("way", ["lan", "lan_6", "public"])
def test_identify_tells_each_side_what_it_can_dial(
    machines: tuple[Machine, Machine], way: str
) -> None:
    left, right = machines
    with left.host() as one, right.host() as other:
        ids = {"one": one.hello["id"], "other": other.hello["id"]}
        (address,) = [a for a in own(one) if host_of(a) == getattr(left, way)]
        other.request("connect", address=address)
        for asker, told, machine in ((other, "one", left), (one, "other", right)):
            known = asker.request("identified", peer=ids[told])
            addresses = known["addresses"]
            assert hosts_of(known["signed"]) == machine.reachable
            # Who has dialled has another address of ours: the one that it has dialled.
            assert hosts_of(addresses) == machine.reachable
            for address in addresses:
                asker.request("dial", address=f"{address}/p2p/{ids[told]}")


def own(host: JsonChild) -> list[str]:
    """What a host says of itself to its user."""
    addresses: list[str] = host.request("own")["addresses"]
    return addresses


def test_interfaces_come_and_go(machines: tuple[Machine, Machine]) -> None:
    left, right = machines
    with left.host() as one, right.host() as other:
        before = hosts_of(own(one))
        assert before == left.reachable | {"127.0.0.1", "::1"}
        (address,) = [a for a in own(one) if host_of(a) == left.lan]
        other.request("connect", address=address)
        left.ip("link", "set", "off", "up")
        right.ip("link", "set", "off", "up")
        assert hosts_of(own(one)) == before | {left.unplugged}
        # Somebody else connects: that is when the host looks around, and tells who is connected.
        other.request("dial", address=address)
        port = address.split("/tcp/")[1].split("/")[0]
        new = f"/ip4/{left.unplugged}/tcp/{port}"
        other.request("told_of", peer=one.hello["id"], address=new, wait=10.0)
        left.ip("link", "set", "wan", "down")
        assert hosts_of(own(one)) == (before | {left.unplugged}) - {left.public}
