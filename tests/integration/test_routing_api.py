"""One peer tells the others, over HTTP, what it has and what its routers know."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from libp2p.blockstore import MemoryBlockStore
from libp2p.exceptions import InvalidArgument, OpenConnectionError
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.routing_api import routing_api
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import PeerInfo
from tests.support.static_network import Knowing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
DATA = bytes(range(256)) * 4000


def node(**options: Any) -> Any:
    return Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK], dht="off", **options)


async def test_what_it_has_is_found_and_fetched() -> None:
    async with node() as ann, routing_api(ann) as url:
        cid = (await ann.add_file(DATA)).cid
        async with node(routers=[url]) as bob, await bob.get_file(cid) as reader:
            assert await reader.read() == DATA
            info = await bob.routing.find_peer(ann.peer_id)
            assert info is not None
            assert [f"{address}/p2p/{ann.peer_id}" for address in info.addrs] == list(
                map(str, ann.addrs)
            )


async def test_what_its_routers_know_is_found_as_well() -> None:
    async with node() as ann:
        cid = (await ann.add_file(DATA)).cid
        router = Knowing({cid.multihash: [PeerInfo.of(ann.addrs[0])]})
        async with (
            node(routers=[router]) as company,
            routing_api(company) as url,
            node(routers=[url]) as bob,
            await bob.get_file(cid) as reader,
        ):
            assert await reader.read() == DATA


async def test_where_it_cannot_listen_is_said() -> None:
    async with node() as ann, routing_api(ann) as url:
        for place, kind in (
            (url.removeprefix("http://"), OpenConnectionError),
            ("nowhere", InvalidArgument),
        ):
            with pytest.raises(kind, match=place):
                async with routing_api(ann, place):
                    pass  # pragma: no cover


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("libp2p.routing.http_listener", "hypercorn.trio"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "hypercorn.config", None)
    async with node() as ann:
        with pytest.raises(InvalidArgument, match=r"pip install 'libp2p\[gateway\]'"):
            async with routing_api(ann):
                pass  # pragma: no cover


# -- the command line -----------------------------------------------------------------------------


def command(repo: Path, *args: object) -> list[str]:
    return [sys.executable, "-m", "libp2p.ipfs_lite", "--repo", str(repo), *map(str, args)]


@contextmanager
def serving(repo: Path) -> Iterator[dict[str, str]]:
    """Run ``serve`` with a routing API; where it can be reached."""
    places = ("--listen", LOOPBACK, "--routing-api", "127.0.0.1:0")
    serve = command(repo, "serve", *places, "--dht", "off", "--bootstrap", "none", "--json")
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found: dict[str, str] = {}
            while "routing_api" not in found:
                found |= json.loads(process.stdout.readline())
            yield found
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.slow
def test_one_serves_and_another_gets_with_nothing_but_the_url(tmp_path: Path) -> None:
    file, copy = tmp_path / "file", tmp_path / "copy"
    file.write_bytes(DATA)
    add = command(tmp_path / "one", "add", "-Q", file)
    cid = CID.parse(subprocess.run(add, check=True, capture_output=True, text=True).stdout.strip())
    with serving(tmp_path / "one") as places:
        options = ("--router", places["routing_api"], "--dht", "off", "--bootstrap", "none")
        get = command(tmp_path / "two", "get", cid, *options, "--timeout", "30s", "-o", copy)
        subprocess.run(get, check=True)
        assert copy.read_bytes() == DATA
        address = places["routing_api"].removeprefix("http://")
        taken = command(tmp_path / "two", "serve", "--routing-api", address, "--listen", LOOPBACK)
        done = subprocess.run(
            [*taken, "--dht", "off", "--bootstrap", "none"], capture_output=True, text=True
        )
        assert (done.returncode, "cannot listen" in done.stderr) == (1, True)
