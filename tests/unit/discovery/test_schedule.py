"""Which bootstrap peer is dialled when, and what a document of theirs says."""

from __future__ import annotations

import json
from math import inf

import pytest
from multiaddr import Multiaddr

from libp2p.discovery.bootstrap.autoconf import MAX_TTL_SECONDS, MIN_TTL_SECONDS, read_autoconf
from libp2p.discovery.bootstrap.config import MAX_PEERS, BootstrapConfig
from libp2p.discovery.bootstrap.schedule import Schedule
from libp2p.exceptions import BootstrapError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo

CONFIG = BootstrapConfig()


def peer(number: int) -> ID:
    return ID(b"\x12\x20" + number.to_bytes(32, "big"))


def info(number: int, *ports: int) -> PeerInfo:
    return PeerInfo(peer(number), [Multiaddr(f"/ip4/192.0.2.1/tcp/{port}") for port in ports])


def schedule(*numbers: int) -> Schedule:
    made = Schedule(peer(0), CONFIG)
    made.offer(info(number, number) for number in numbers)
    return made


def test_peers_are_tried_in_their_order() -> None:
    plan = schedule(3, 1, 2)
    assert plan.peers() == [peer(3), peer(1), peer(2)]
    assert plan.next_peer(0.0, set()) == peer(3)
    assert plan.next_peer(0.0, {peer(3), peer(1)}) == peer(2)
    assert plan.next_peer(0.0, set(plan.peers())) is None
    assert len(plan) == 3


def test_addresses_of_a_peer_are_put_together() -> None:
    plan = Schedule(peer(0), CONFIG)
    plan.offer([info(1, 1, 2), info(2, 9), info(1, 2, 3)])
    assert plan.addresses_of(peer(1)) == tuple(info(1, 1, 2, 3).addrs)
    assert plan.addresses_of(peer(7)) == ()


def test_the_host_itself_is_no_peer_of_its_own() -> None:
    assert schedule(0, 1).peers() == [peer(1)]


def test_one_that_fails_waits_twice_as_long_each_time() -> None:
    plan = schedule(1)
    now = 100.0
    waits = []
    for _ in range(12):
        assert plan.next_peer(now, set()) == peer(1)
        plan.failed(peer(1), now)
        assert plan.next_peer(now, set()) is None
        due = plan.next_due(set())
        waits.append(due - now)
        now = due
    assert waits[:4] == [30.0, 60.0, 120.0, 240.0]
    assert waits[-1] == CONFIG.max_retry
    for _ in range(2000):
        plan.failed(peer(1), now)
    assert plan.next_due(set()) == now + CONFIG.max_retry


def test_one_that_answered_begins_anew_but_not_at_once() -> None:
    plan = schedule(1)
    for _ in range(5):
        plan.failed(peer(1), 0.0)
    plan.succeeded(peer(1), 1000.0)
    assert plan.next_peer(1001.0, set()) is None, "it closed the connection at once"
    assert plan.next_peer(1030.0, set()) == peer(1)
    plan.failed(peer(1), 1030.0)
    assert plan.next_due(set()) == 1060.0


def test_nobody_is_due_when_all_are_connected() -> None:
    plan = schedule(1, 2)
    assert plan.next_due({peer(1), peer(2)}) == inf
    assert plan.next_due({peer(1)}) == -inf


def test_what_is_offered_no_more_is_forgotten() -> None:
    plan = schedule(1, 2)
    plan.failed(peer(1), 0.0)
    plan.offer([info(2, 2)])
    plan.offer([info(1, 1), info(2, 2)])
    assert plan.next_peer(0.0, set()) == peer(1)


def test_peers_are_bounded() -> None:
    plan = schedule(*range(1, MAX_PEERS + 100))
    assert len(plan) == MAX_PEERS


# -- autoconf --------------------------------------------------------------------------------------


def document(**changes: object) -> bytes:
    content: dict[str, object] = {
        "AutoConfVersion": 2025_07_22_01,
        "AutoConfSchema": 1,
        "AutoConfTTL": 86_400,
        "SystemRegistry": {
            "AminoDHT": {
                "NativeConfig": {"Bootstrap": ["/dnsaddr/a.example", "/dnsaddr/b.example"]}
            },
            "IPNI": {"DelegatedConfig": {"Read": ["/routing/v1/providers"]}},
            "Other": {"NativeConfig": {"Bootstrap": ["/dnsaddr/b.example", "/dnsaddr/c.example"]}},
        },
        "DNSResolvers": {"eth.": ["https://dns.example/dns-query"]},
        "DelegatedEndpoints": {},
        **changes,
    }
    return json.dumps(content).encode()


def test_the_peers_of_all_systems_are_read() -> None:
    conf = read_autoconf(document())
    assert conf.addresses == ("/dnsaddr/a.example", "/dnsaddr/b.example", "/dnsaddr/c.example")
    assert conf.ttl == 86_400


def test_times_are_bounded() -> None:
    assert read_autoconf(document(AutoConfTTL=1)).ttl == MIN_TTL_SECONDS
    assert read_autoconf(document(AutoConfTTL=0)).ttl == MIN_TTL_SECONDS
    assert read_autoconf(document(AutoConfTTL=10**12)).ttl == MAX_TTL_SECONDS


def test_a_document_without_peers_has_none() -> None:
    registries: list[object] = [{}, None, {"x": {}}, {"x": {"NativeConfig": None}}]
    for registry in registries:
        assert read_autoconf(document(SystemRegistry=registry)).addresses == ()


def test_addresses_are_bounded() -> None:
    native = {"Bootstrap": [f"/dnsaddr/{n}.example" for n in range(10_000)]}
    conf = read_autoconf(document(SystemRegistry={"x": {"NativeConfig": native}}))
    assert len(conf.addresses) == MAX_PEERS


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"[]", b"{}", b"null", b"\xff", document(AutoConfTTL="soon"),
     document(SystemRegistry=[]), document(SystemRegistry={"x": 1}), b"[" * 100_000],
)  # fmt: skip
def test_anything_else_is_refused(data: bytes) -> None:
    if data == document(SystemRegistry=[]):
        assert read_autoconf(data).addresses == ()
        return
    with pytest.raises(BootstrapError):
        read_autoconf(data)


def test_another_schema_is_refused_by_number() -> None:
    with pytest.raises(BootstrapError, match="schema 2, not 1"):
        read_autoconf(document(AutoConfSchema=2))


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="min_peers"):
        BootstrapConfig(min_peers=0)
    with pytest.raises(TypeError, match="retry"):
        BootstrapConfig(retry="soon")  # type: ignore[arg-type]
    assert BootstrapConfig(max_seen=0).max_seen == 0
