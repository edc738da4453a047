"""Addresses that others tell of a peer: which of them are worth a dial."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.peer.hearsay import worth_dialling

LOOPBACK, PRIVATE, PUBLIC = (
    Multiaddr(f"/ip4/{host}/tcp/4001") for host in ("127.0.0.1", "10.0.0.1", "8.8.8.8")
)
ALL = [LOOPBACK, PRIVATE, PUBLIC]


@pytest.mark.parametrize(
    ("neighbours", "dialled"),
    [
        ([], ALL),
        ([Multiaddr("/ip4/127.0.0.1/tcp/0")], [LOOPBACK, PUBLIC]),
        ([Multiaddr("/ip4/192.168.1.7/tcp/4001")], [PRIVATE, PUBLIC]),
        ([Multiaddr("/ip4/9.9.9.9/tcp/4001")], [PUBLIC]),
        ([Multiaddr("/ip4/0.0.0.0/tcp/4001")], [PRIVATE, PUBLIC]),
        ([Multiaddr("/ip6/::/tcp/4001")], [PRIVATE, PUBLIC]),
        ([LOOPBACK, PRIVATE], ALL),
    ],
)
def test_addresses_lead_to_where_this_host_is(
    neighbours: list[Multiaddr], dialled: list[Multiaddr]
) -> None:
    assert worth_dialling(ALL, neighbours) == dialled
