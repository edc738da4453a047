"""What a ``/dnsaddr`` stands for: suffixes, chains, circles, and what they may cost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.dns.cache import Answer, AnswerCache
from libp2p.dns.config import DnsConfig, Nameserver
from libp2p.dns.dnsaddr import Expansion, is_dnsaddr
from libp2p.exceptions import InvalidAddrError
from libp2p.peer.id import ID

A = ID(b"\x12\x20" + b"\1" * 32)
B = ID(b"\x12\x20" + b"\2" * 32)
CONFIG = DnsConfig()


def addr(text: str) -> Multiaddr:
    return Multiaddr(text)


def expand(
    text: str, zone: dict[str, list[str] | None], config: DnsConfig = CONFIG
) -> tuple[list[str], list[str], list[str]]:
    """Return the addresses, the failures, and the names that were asked for, in their order."""
    expansion = Expansion(addr(text), config)
    asked: list[str] = []
    while names := expansion.next_names():
        for name in names:
            asked.append(name)
            answer = zone.get(name.removeprefix("_dnsaddr."))
            if answer is None:
                expansion.on_failure(name, f"{name} is not known")
            else:
                expansion.on_answer(name, [f"dnsaddr={one}" for one in answer])
    assert len(asked) == len(set(asked)) <= config.max_look_ups
    return [str(found) for found in expansion.addresses], expansion.failures, asked


def test_only_what_ends_alike_counts() -> None:
    zone: dict[str, list[str] | None] = {
        "x.org": [
            f"/ip4/192.0.2.1/tcp/1/p2p/{A}",
            f"/ip4/192.0.2.2/tcp/1/p2p/{B}",
            f" /ip4/192.0.2.3/tcp/1/p2p/{A} ",
            f"/ip4/192.0.2.1/tcp/1/ipfs/{A}",
            "/ip4/192.0.2.4/tcp/1",
            "no address",
            "",
        ]
    }
    mine = [f"/ip4/192.0.2.1/tcp/1/p2p/{A}", f"/ip4/192.0.2.3/tcp/1/p2p/{A}"]
    assert expand(f"/dnsaddr/x.org/p2p/{A}", zone) == (mine, [], ["_dnsaddr.x.org"])
    found, _, _ = expand("/dnsaddr/X.org.", zone)
    assert len(found) == 4
    assert expand(f"/dnsaddr/x.org/tcp/1/p2p/{A}", zone)[0] == mine
    assert expand(f"/dnsaddr/x.org/tcp/2/p2p/{A}", zone)[0] == []


def test_a_peer_id_is_the_same_in_both_forms() -> None:
    cid = A.to_cid() if hasattr(A, "to_cid") else None
    zone: dict[str, list[str] | None] = {"x.org": [f"/ip4/192.0.2.1/tcp/1/p2p/{cid or A}"]}
    assert len(expand(f"/dnsaddr/x.org/p2p/{A}", zone)[0]) == 1


def test_one_leads_to_another() -> None:
    zone: dict[str, list[str] | None] = {
        "x.org": [f"/dnsaddr/a.x.org/p2p/{A}", f"/dnsaddr/b.x.org/p2p/{B}", "/dnsaddr/c.x.org"],
        "a.x.org": [f"/ip4/192.0.2.1/tcp/1/p2p/{A}", f"/dnsaddr/x.org/p2p/{A}"],
        "b.x.org": [f"/ip4/192.0.2.2/tcp/1/p2p/{B}"],
    }
    found, failures, asked = expand(f"/dnsaddr/x.org/p2p/{A}", zone)
    assert found == [f"/ip4/192.0.2.1/tcp/1/p2p/{A}"]
    assert failures == []
    assert asked == ["_dnsaddr.x.org", "_dnsaddr.a.x.org"]
    zone["b.x.org"] = [f"/ip4/192.0.2.2/tcp/1/p2p/{B}", f"/ip4/192.0.2.1/tcp/1/p2p/{A}"]
    found, failures, _ = expand("/dnsaddr/x.org", zone)
    assert len(found) == 2, "each address once"
    assert failures == ["_dnsaddr.c.x.org is not known"]


def test_a_name_of_several_suffixes_is_asked_once() -> None:
    zone: dict[str, list[str] | None] = {
        "x.org": [f"/dnsaddr/y.org/p2p/{A}", f"/dnsaddr/y.org/p2p/{B}", "/dnsaddr/z.org"],
        "y.org": [f"/ip4/192.0.2.1/tcp/1/p2p/{A}", f"/ip4/192.0.2.2/tcp/1/p2p/{B}"],
        "z.org": ["/dnsaddr/y.org/tcp/1", "/dnsaddr/w.org"],
        "w.org": ["/dnsaddr/z.org", "/dnsaddr/v.org"],
    }
    found, failures, asked = expand("/dnsaddr/x.org", zone)
    assert len(found) == 2
    assert asked.count("_dnsaddr.y.org") == 1
    assert failures == ["_dnsaddr.v.org is not known"]


def test_a_name_that_failed_is_not_asked_again() -> None:
    zone: dict[str, list[str] | None] = {
        "x.org": [f"/dnsaddr/bad.org/p2p/{A}", "/dnsaddr/y.org"],
        "y.org": [f"/dnsaddr/bad.org/p2p/{B}"],
    }
    assert expand("/dnsaddr/x.org", zone) == (
        [],
        ["_dnsaddr.bad.org is not known"],
        ["_dnsaddr.x.org", "_dnsaddr.bad.org", "_dnsaddr.y.org"],
    )


def test_a_name_without_records_is_told() -> None:
    assert expand("/dnsaddr/x.org", {"x.org": []})[1] == ["_dnsaddr.x.org has no dnsaddr= record"]


def test_a_long_chain_ends() -> None:
    zone: dict[str, list[str] | None] = {f"{n}.org": [f"/dnsaddr/{n + 1}.org"] for n in range(99)}
    _, failures, asked = expand("/dnsaddr/0.org", zone)
    assert len(asked) == CONFIG.max_depth
    assert failures == [f"_dnsaddr.8.org is more than {CONFIG.max_depth} steps away"]


def test_a_wide_tree_ends() -> None:
    zone: dict[str, list[str] | None] = {"x.org": [f"/dnsaddr/{n}.org" for n in range(200)]}
    zone |= {f"{n}.org": [f"/dnsaddr/{n}-{m}.org" for m in range(200)] for n in range(200)}
    _, failures, asked = expand("/dnsaddr/x.org", zone)
    assert len(asked) == CONFIG.max_look_ups
    assert failures[-1] == "more than 32 names would have to be looked up"


def test_ten_thousand_addresses_cost_little() -> None:
    zone: dict[str, list[str] | None] = {
        "x.org": [f"/ip4/192.0.2.1/tcp/{n}" for n in range(1, 10_000)] + ["/dnsaddr/y.org"]
    }
    started_at = time.process_time()
    found, _, asked = expand("/dnsaddr/x.org", zone)
    assert len(found) == CONFIG.max_addresses
    assert asked == ["_dnsaddr.x.org"]
    assert time.process_time() - started_at < 1


def test_when_it_is_full_nothing_more_is_asked() -> None:
    zone: dict[str, list[str] | None] = {
        "x.org": ["/dnsaddr/y.org", *(f"/ip4/192.0.2.1/tcp/{n}" for n in range(1, 4))]
    }
    found, _, asked = expand("/dnsaddr/x.org", zone, DnsConfig(max_addresses=2))
    assert (len(found), asked) == (2, ["_dnsaddr.x.org"])


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=10, max_size=10))
def test_any_graph_of_names_ends(edges: list[list[int]]) -> None:
    zone: dict[str, list[str] | None] = {
        f"{n}.org": [f"/dnsaddr/{m}.org/p2p/{A if m % 2 else B}" for m in targets]
        + [f"/ip4/192.0.2.{n}/tcp/1/p2p/{A}"]
        for n, targets in enumerate(edges)
    }
    found, _, _ = expand("/dnsaddr/0.org", zone)
    assert len(found) == len(set(found)) <= 10


def test_other_addresses_are_told_apart() -> None:
    assert is_dnsaddr(addr("/dnsaddr/x.org"))
    assert not is_dnsaddr(addr("/dns4/x.org/tcp/1"))
    assert not is_dnsaddr(Multiaddr(b""))
    with pytest.raises(InvalidAddrError, match="is no /dnsaddr"):
        Expansion(addr("/dns4/x.org/tcp/1"), CONFIG)


# -- answers that are remembered -----------------------------------------------------------------


def test_answers_are_remembered_until_they_expire() -> None:
    answers = AnswerCache(10)
    answers.put("a", Answer(("1",), 5.0), 0.0)
    answers.put("a", Answer(("2",), 9.0), 1.0)
    assert answers.get("b", 1.0) is None
    found = answers.get("a", 8.0)
    assert found is not None
    assert found.values == ("2",)
    answers.put("b", Answer((), 20.0), 6.0)
    assert answers.get("a", 8.0) is not None, "the first answer's time is over, not the second's"
    assert answers.get("a", 9.0) is None
    answers.put("c", Answer((), 20.0), 10.0)
    assert len(answers) == 2


def test_the_ones_that_expire_first_give_way() -> None:
    answers = AnswerCache(3)
    for expires_at in (9.0, 3.0, 7.0, 5.0, 8.0):
        answers.put(expires_at, Answer((), expires_at), 0.0)
    assert [answers.get(key, 0.0) is not None for key in (9.0, 3.0, 7.0, 5.0, 8.0)] == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_an_answer_that_is_renewed_without_end_costs_no_memory() -> None:
    answers = AnswerCache(4)
    for n in range(1000):
        answers.put("a", Answer((), 1000.0 + n), 0.0)
        answers.put("b", Answer((), 5000.0), 0.0)
    assert len(answers._order) <= 9
    assert answers.get("b", 1.0) is not None


# -- configuration ---------------------------------------------------------------------------------


def test_nameservers_may_be_texts() -> None:
    config = DnsConfig(nameservers=("192.0.2.1", Nameserver("::1", 5353)))
    assert config.nameservers == (Nameserver("192.0.2.1", 53), Nameserver("::1", 5353))


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="no IP address"):
        DnsConfig(nameservers=("example.org",))
    with pytest.raises(ValueError, match="port"):
        Nameserver("127.0.0.1", 0)
    with pytest.raises(ValueError, match="max_depth"):
        DnsConfig(max_depth=0)
    with pytest.raises(TypeError, match="query_timeout"):
        DnsConfig(query_timeout="5")  # type: ignore[arg-type]
