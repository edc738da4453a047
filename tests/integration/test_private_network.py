"""Machines of a company without the internet: what one has, another finds through the local DHT."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.interop.lite import Lite, LiteServer
from tests.interop.need import need
from tests.interop.waiting import wait_until
from tests.support.namespaces import two_machines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.namespaces import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CONTENT = b"of this company only\n" * 100_000


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two namespaces; the test is skipped, or fails where it must run, if there can be none."""
    need("namespaces")
    with two_machines() as both:
        yield both


def announced(lite: Lite) -> int:
    """How many blocks a repo has announced, also while it is served."""
    done = lite.run("provide", "stat", "--json", check=False)
    return int(json.loads(done.stdout)["keys_announced"]) if done.returncode == 0 else 0


def test_a_file_is_found_through_the_local_dht_with_one_known_address(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    """
    Three peers: the one that has the file, one that all know, and one that wants the file.

    Nobody tells the last one of the first one. No public service is known to any of them.
    """
    left, right = machines
    middle = Lite(tmp_path / "middle", prefix=left.command())
    owner = Lite(tmp_path / "owner", prefix=right.command())
    guest = Lite(tmp_path / "guest", prefix=left.command())
    cid = owner.add_bytes(CONTENT)
    everywhere = ("/ip4/0.0.0.0/tcp/0",)
    with LiteServer(middle.command, everywhere) as known:
        address = next(addr for addr in known.addrs if left.lan in addr or left.public in addr)
        port = address.split("/")[4]
        address = f"/ip4/{left.lan}/tcp/{port}/p2p/{address.rpartition('/')[2]}"
        flags = ["--bootstrap", address]
        with LiteServer(owner.command, everywhere, flags=flags) as server:
            owner_id = server.addr.rpartition("/")[2]
            wait_until(lambda: announced(owner) >= 1, "an announcement")
            found = guest.text("routing", "findprovs", *flags, cid)
            assert found == owner_id
            places = guest.text("routing", "findpeer", *flags, owner_id).splitlines()
            assert any(right.lan in place for place in places)
            assert guest.cat(cid, *flags) == CONTENT
            # The next time no address is needed: the peers were seen before.
            other = owner.text("id")
            assert other == owner_id
            # A peer that answers late is not in the table yet when the doctor looks.
            wait_until(
                lambda: "2 peers in the local table" in dht_of(guest, flags), "both in the table"
            )


def test_a_second_fetch_needs_no_address(machines: tuple[Machine, Machine], tmp_path: Path) -> None:
    left, right = machines
    owner = Lite(tmp_path / "owner", prefix=right.command())
    guest = Lite(tmp_path / "guest", prefix=left.command())
    first, second = owner.add_bytes(CONTENT), owner.add_bytes(CONTENT + b"more")
    with LiteServer(owner.command, (f"/ip4/{right.lan}/tcp/0",)) as server:
        assert guest.cat(first, "--bootstrap", server.addr) == CONTENT
        assert guest.cat(second) == CONTENT + b"more"
        nobody = guest.run(
            "cat", "--bootstrap", "none", "--dht", "off", cid_of_nothing(), check=False
        )
        assert b"is not in the repo" in nobody.stderr


def dht_of(peer: Lite, flags: list[str]) -> str:
    """What the doctor says of the DHT."""
    checks = peer.run("doctor", "--json", *flags).stdout.splitlines()
    [dht] = [each for each in map(json.loads, checks) if each["check"] == "DHT"]
    assert dht["state"] == "ok"
    return str(dht["result"])


def cid_of_nothing() -> str:
    """A block that nobody has."""
    return "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
