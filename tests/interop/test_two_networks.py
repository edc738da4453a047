"""Kubo on another machine, with two interfaces: both sides name addresses that the other dials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_two_networks import ANYWHERE, host_of, hosts_of, own
from tests.support.namespaces import Machine, two_machines

from .build_peers import find_peer
from .kubo import Kubo
from .lite import Lite, LiteServer
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

CONTENT = b"from one network to another\n" * 20_000


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two namespaces."""
    need("kubo", "namespaces")
    with two_machines() as both:
        yield both


@pytest.fixture(scope="module")
def kubo(
    machines: tuple[Machine, Machine], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubo]:
    """A daemon on the second machine that listens on all interfaces."""
    _, right = machines
    binary = tmp_path_factory.mktemp("kubo") / "ipfs"
    binary.write_text(f'#!/bin/sh\nexec {" ".join(right.command(str(find_peer("kubo"))))} "$@"\n')
    binary.chmod(0o755)
    listen = ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"]
    with Kubo(binary=binary, config={"Addresses.Swarm": listen}) as node:
        yield node


def known_to(kubo: Kubo, peer: str) -> set[str]:
    """The addresses that Kubo knows of a peer, by hosts."""
    return hosts_of(json.loads(kubo.text("id", peer))["Addresses"] or [])


@pytest.mark.parametrize("way", ["lan", "lan_6", "public"])
def test_kubo_dials_what_serve_prints(
    machines: tuple[Machine, Machine], kubo: Kubo, tmp_path: Path, way: str
) -> None:
    left, _ = machines
    lite = Lite(tmp_path / "repo")
    cid = lite.add_bytes(CONTENT + way.encode())
    with LiteServer(left.command(*lite.command), ANYWHERE, lines=5) as server:
        (address,) = [a for a in server.addrs if host_of(a) == getattr(left, way)]
        kubo.swarm_connect(address)
        peer = address.rpartition("/p2p/")[2]
        peers = kubo.text("swarm", "peers").splitlines()
        assert [line for line in peers if peer in line] == [address]
        known = known_to(kubo, peer)
        if way == "public":
            # Of a peer with a public address Kubo believes such addresses only, and it asks no
            # stranger for blocks before a router has named him.
            assert known == {left.public}
        else:
            assert known == left.reachable
            assert kubo.cat(cid) == CONTENT + way.encode()


def test_we_dial_what_kubo_tells(machines: tuple[Machine, Machine], kubo: Kubo) -> None:
    left, right = machines
    with left.host() as ours:
        for address in kubo.addrs:
            if host_of(address) in right.reachable:
                ours.request("connect", address=address)
                told = ours.request("identified", peer=kubo.id)["addresses"]
                # Kubo does not look whether an interface is up.
                assert hosts_of(told) - {right.unplugged} <= right.reachable
                for each in told:
                    if host_of(each) != right.unplugged:
                        ours.request("dial", address=f"{each}/p2p/{kubo.id}")
                assert host_of(address) in hosts_of(told)
                ours.request("disconnect", peer=kubo.id)


def test_kubo_learns_of_us_what_it_can_dial(machines: tuple[Machine, Machine], kubo: Kubo) -> None:
    left, _ = machines
    with left.host() as ours:
        (first, *_) = [address for address in own(ours) if host_of(address) == left.lan]
        kubo.swarm_connect(first)
        assert known_to(kubo, ours.hello["id"]) == left.reachable
