"""Five Kubo daemons form a DHT on loopback: what ours provide they find there, and the reverse."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from .kubo import Kubo
from .lite import Lite, LiteServer
from .need import need
from .waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
CONTENT = b"found by nothing but the DHT\n" * 40_000
DHT_CONFIG = {"Routing.Type": "dhtserver", "Routing.LoopbackAddressesOnLanDHT": True}


@pytest.fixture(scope="module")
def kubos() -> Iterator[list[Kubo]]:
    """Daemons that are connected in a row, so that each has to find the others."""
    need("kubo")
    with ExitStack() as stack:
        nodes = [stack.enter_context(Kubo(config=DHT_CONFIG)) for _ in range(5)]
        for one, other in pairwise(nodes):
            one.swarm_connect(other.addr)
        # They know each other when they have looked around.
        wait_until(lambda: all(lan_peers(node) >= 4 for node in nodes), "the routing tables", 60)
        yield nodes


def lan_peers(node: Kubo) -> int:
    """How many peers a daemon's local routing table has."""
    text = node.text("stats", "dht", "lan")
    return text.count("12D3KooW")


def peers_of(node: Kubo) -> set[str]:
    """The ids of those that a daemon is connected to."""
    return {line.rpartition("/")[2] for line in node.text("swarm", "peers").splitlines()}


def test_kubo_finds_what_only_ours_provides(kubos: list[Kubo], tmp_path: Path) -> None:
    lite = Lite(tmp_path / "repo")
    cid = lite.add_bytes(CONTENT + b"1")
    flags = ("--bootstrap", kubos[0].addr)
    with LiteServer(lite.command, LOOPBACK, flags=flags) as server:
        peer = server.addr.rpartition("/")[2]
        wait_until(lambda: announced(lite) >= 1, "an announcement")
        asker = kubos[-1]
        if peer in peers_of(asker):  # it has met ours as a peer of the DHT
            asker.run("swarm", "disconnect", f"/p2p/{peer}")
        assert peer in asker.text("routing", "findprovs", cid, timeout=60).splitlines()
        assert asker.cat(cid, timeout=60) == CONTENT + b"1"


def announced(lite: Lite) -> int:
    """How many blocks a repo has announced, while it is served."""
    done = lite.run("provide", "stat", "--json", check=False)
    return int(json.loads(done.stdout)["keys_announced"]) if done.returncode == 0 else 0


@pytest.mark.parametrize("verb", ["add --provide", "provide once", "routing provide"])
def test_kubo_finds_what_a_command_has_announced(
    kubos: list[Kubo], tmp_path: Path, verb: str
) -> None:
    lite = Lite(tmp_path / "repo")
    (tmp_path / "file").write_bytes(CONTENT + verb.encode())
    lite.run("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    flags = ["--bootstrap", kubos[1].addr]
    if verb == "add --provide":
        cid = lite.text("add", "-Q", "--provide", *flags, tmp_path / "file")
    else:
        cid = lite.add(tmp_path / "file")
        lite.run(*verb.split(), *flags, cid)
    found = kubos[-1].text("routing", "findprovs", cid, timeout=60).splitlines()
    assert lite.text("id") in found


def test_ours_find_what_only_kubo_provides(kubos: list[Kubo], tmp_path: Path) -> None:
    owner = kubos[-1]
    cid = owner.add_bytes(CONTENT + b"2")
    owner.run("routing", "provide", cid, timeout=60)
    lite = Lite(tmp_path / "repo")
    flags = ["--bootstrap", kubos[0].addr]
    assert owner.id in lite.text("routing", "findprovs", *flags, cid).splitlines()
    assert lite.text("routing", "findpeer", *flags, owner.id).splitlines() == [
        addr.rpartition("/p2p/")[0] for addr in owner.addrs
    ]
    assert lite.cat(cid, *flags) == CONTENT + b"2"
    (tmp_path / "again").mkdir()
    assert Lite(tmp_path / "again" / "repo").cat(cid, "--peer", kubos[0].addr) == CONTENT + b"2"


def test_what_nobody_has_is_told_with_the_routers(kubos: list[Kubo], tmp_path: Path) -> None:
    lite = Lite(tmp_path / "repo")
    absent = lite.text("add", "-nQ", "-", input=b"nobody has this")
    done = lite.run("cat", "--bootstrap", kubos[0].addr, absent, check=False)
    assert done.returncode == 1
    assert b"providers found: none (DHT: knows no providers" in done.stderr


def test_the_tables_have_the_network(kubos: list[Kubo], tmp_path: Path) -> None:
    lite = Lite(tmp_path / "repo")
    lines = lite.text("dht", "stat", "--json", "--bootstrap", kubos[0].addr).splitlines()
    tables = {table["dht"]: table for table in map(json.loads, lines)}
    assert {peer["id"] for peer in tables["lan"]["peers"]} == {kubo.id for kubo in kubos}
    assert tables["wan"]["peers"] == []
