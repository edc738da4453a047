"""Files to and from Kubo: same CIDs, same bytes, whoever dials, in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.ipfs_lite import Peer, save

from .files import GIB, MIB, same_bytes, write_file
from .kubo import Kubo
from .lite import LOOPBACK, Lite
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEAK_RSS = 150 * MIB
"""What any of our commands may take, whatever the size of the file."""

SIZES = (0, 1, 262_144, MIB + 1, 46_000_000)
"""The last one has 176 chunks of 256 KiB: two levels of nodes."""

LARGE_SIZES = (
    pytest.param(100_000_000, marks=pytest.mark.slow),
    pytest.param(GIB, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
)


@pytest.fixture(scope="module", params=["unixfs-v0-2015", "unixfs-v1-2025"])
def profile(request: pytest.FixtureRequest) -> str:
    """How both sides import files."""
    return str(request.param)


@pytest.fixture(scope="module")
def kubo(profile: str) -> Iterator[Kubo]:
    """A daemon that imports by the profile and offers TLS before Noise, as Kubo does."""
    need("kubo")
    with Kubo(profile=profile) as node:
        yield node


def forget(kubo: Kubo, cid: str) -> None:
    """Take a root out of the daemon's repo: another test may have given it a file so small."""
    kubo.run("pin", "rm", cid, check=False)
    kubo.run("block", "rm", "--force", cid)
    assert kubo.run("block", "stat", "--offline", cid, check=False).returncode == 1


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_python_fetches_what_kubo_added(
    kubo: Kubo, profile: str, tmp_path: Path, size: int
) -> None:
    """`ipfs add`, then `ipfs-lite get --peer`: Python dials."""
    source = write_file(tmp_path / "source", f"kubo {profile} {size}", size)
    cid = kubo.add(source)
    lite = Lite(tmp_path / "repo")
    fetched = lite.measured("get", "--peer", kubo.addr, "-o", tmp_path / "out", cid)
    assert same_bytes(source, tmp_path / "out")
    assert fetched.peak_rss <= PEAK_RSS
    hashed = lite.measured("add", "-nQ", "--profile", profile, source)
    assert hashed.text == cid
    assert hashed.peak_rss <= PEAK_RSS


@pytest.mark.parametrize("size", [*SIZES, *LARGE_SIZES])
def test_kubo_fetches_what_python_added(
    kubo: Kubo, profile: str, tmp_path: Path, size: int
) -> None:
    """`ipfs-lite add` and `serve`, then `ipfs swarm connect` and `get`: Kubo dials."""
    source = write_file(tmp_path / "source", f"python {profile} {size}", size)
    lite = Lite(tmp_path / "repo")
    added = lite.measured("add", "-Q", "--profile", profile, source)
    assert added.text == kubo.add(source, "-n")
    assert added.peak_rss <= PEAK_RSS
    with lite.serve() as server:
        forget(kubo, added.text)
        kubo.swarm_connect(server.addr)
        kubo.get(added.text, tmp_path / "out")
        assert same_bytes(source, tmp_path / "out")
        assert server.rss_bytes() <= PEAK_RSS
        assert server.stop() == 0


@pytest.mark.parametrize("size", SIZES)
async def test_python_fetches_over_a_connection_that_kubo_dialled(
    kubo: Kubo, profile: str, tmp_path: Path, size: int
) -> None:
    """The fetch begins as soon as Kubo says that it is connected."""
    source = write_file(tmp_path / "source", f"kubo dials {profile} {size}", size)
    cid = await trio.to_thread.run_sync(kubo.add, source)
    async with Peer.open(tmp_path / "repo", listen=[LOOPBACK]) as peer:
        await trio.to_thread.run_sync(kubo.swarm_connect, str(peer.addrs[0]))
        async with await peer.get_file(cid) as reader:
            await save(reader, tmp_path / "out")
    assert same_bytes(source, tmp_path / "out")


@pytest.mark.parametrize("size", SIZES)
async def test_kubo_fetches_over_a_connection_that_python_dialled(
    kubo: Kubo, profile: str, tmp_path: Path, size: int
) -> None:
    """Python listens nowhere, so Kubo has no other way to it."""
    source = write_file(tmp_path / "source", f"python dials {profile} {size}", size)
    async with Peer.open(tmp_path / "repo") as peer:
        added = await peer.add_file(source, profile=profile)
        await trio.to_thread.run_sync(forget, kubo, str(added.cid))
        await peer.connect(kubo.addr)
        await trio.to_thread.run_sync(kubo.get, str(added.cid), tmp_path / "out")
    assert same_bytes(source, tmp_path / "out")
