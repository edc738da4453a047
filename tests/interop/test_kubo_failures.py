"""Processes that die in the middle: what a fetch says, and what is left on the disk."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from libp2p.bitswap import FilesystemBlockStore

from .files import MIB, damaged_blocks, same_bytes, stored_blocks, write_file
from .kubo import Kubo
from .lite import Lite
from .need import need
from .waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 256 * MIB
UNDER_WAY = 32 * MIB
"""Bytes that have been stored when the axe falls: more than is ever read ahead."""

SECONDS_TO_FAIL = 10.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that takes a second or two to transfer."""
    need("kubo")
    folder = tmp_path_factory.mktemp("failures")
    yield write_file(folder / "source", "failures", SIZE)
    shutil.rmtree(folder)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Lite]:
    """A repo of ours; whatever a test has done to it, its blocks are whole."""
    lite = Lite(tmp_path / "repo")
    yield lite
    assert_whole(lite)


def under_way(lite: Lite) -> bool:
    """Whether the repo has some of the blocks."""
    return len(stored_blocks(lite.blocks)) >= UNDER_WAY // 262_144


def assert_whole(lite: Lite) -> None:
    """Every block that can be seen is what its name says, and our store sees the same ones."""
    assert damaged_blocks(lite.blocks) == []
    listed = FilesystemBlockStore(lite.blocks).get_all_cids()
    assert len(listed) == len(stored_blocks(lite.blocks))


def assert_blames(line: str, peer_id: str) -> None:
    """The error names the lost peer; whether it tried to dial it again is a matter of timing."""
    assert f"{peer_id} disconnected" in line or f"{peer_id} could not be reached" in line


def test_a_fetch_fails_soon_when_its_provider_is_killed(
    source: Path, lite: Lite, tmp_path: Path
) -> None:
    """One line names the peer; no output file; the blocks that came spare a second fetch them."""
    with Kubo() as kubo:
        cid = kubo.add(source)
        with lite.start("get", "--peer", kubo.addr, "-o", tmp_path / "out", cid) as fetch:
            wait_until(lambda: under_way(lite), "a part of the file")
            began = time.monotonic()
            kubo.kill()
            assert fetch.wait(SECONDS_TO_FAIL) == 1
            assert time.monotonic() - began < SECONDS_TO_FAIL
            (line,) = fetch.stderr_text().splitlines()
        assert_blames(line, kubo.id)
        assert {path.name for path in tmp_path.iterdir()} == {"repo"}
        assert_whole(lite)
        kept = len(stored_blocks(lite.blocks))
        assert 0 < kept * 262_144 < SIZE
        kubo.start()
        lite.get(cid, tmp_path / "out", "--peer", kubo.addr)
        assert same_bytes(source, tmp_path / "out")
        sent = int(kubo.text("bitswap", "stat").partition("blocks sent: ")[2].split()[0])
        assert sent <= len(stored_blocks(lite.blocks)) - kept


@pytest.mark.parametrize("victim", [0, 1])
def test_a_fetch_goes_on_with_the_other_provider(
    source: Path, lite: Lite, tmp_path: Path, victim: int
) -> None:
    """Two have the file, and either may be killed in the middle."""
    with Kubo() as first, Kubo() as second:
        cid = first.add(source)
        assert second.add(source) == cid
        peers = ["--peer", first.addr, "--peer", second.addr]
        with lite.start("get", *peers, "-o", tmp_path / "out", cid) as fetch:
            wait_until(lambda: under_way(lite), "a part of the file")
            (first, second)[victim].kill()
            assert fetch.running
            assert fetch.wait() == 0
        assert same_bytes(source, tmp_path / "out")


def test_the_repo_of_a_killed_adder_opens_again(lite: Lite, source: Path) -> None:
    """`kill -9` while it reads its standard input: no half block is there, and adding works."""
    with source.open("rb") as file, lite.start("add", "-") as adder:
        for _ in range(UNDER_WAY // MIB):
            adder.feed(file.read(MIB))
        wait_until(lambda: bool(stored_blocks(lite.blocks)), "a block of the file")
        adder.kill()
    assert_whole(lite)
    assert 0 < len(stored_blocks(lite.blocks)) <= UNDER_WAY // MIB
    cid = lite.add(source)
    assert list((lite.blocks / ".temp").iterdir()) == []
    with Kubo(daemon=False, profile="unixfs-v1-2025") as kubo:
        assert kubo.add(source, "-n") == cid


@pytest.mark.parametrize("profile", ["unixfs-v0-2015", "unixfs-v1-2025"])
def test_an_adder_killed_while_it_writes_leaves_whole_blocks(
    lite: Lite, source: Path, profile: str
) -> None:
    """`kill -9` at full speed; what was stored is kept, and the file then serves as any other."""
    with lite.start("add", "-Q", "--profile", profile, source) as adder:
        wait_until(lambda: len(stored_blocks(lite.blocks)) > 8, "blocks of the file")
        assert adder.running
        adder.kill()
    assert_whole(lite)
    cid = lite.add(source, "--profile", profile)
    assert_whole(lite)
    with lite.serve() as server, Kubo(profile=profile) as kubo:
        kubo.swarm_connect(server.addr)
        kubo.get(cid, lite.repo.parent / "out")
    assert same_bytes(source, lite.repo.parent / "out")


def test_a_killed_server_of_ours_is_named_too(lite: Lite, source: Path, tmp_path: Path) -> None:
    """No Go takes part: both ends of the broken connection are ours."""
    cid = lite.add(source, "--profile", "unixfs-v0-2015")
    fetcher, out = Lite(tmp_path / "fetcher"), tmp_path / "out"
    with lite.serve() as server:
        with fetcher.start("get", "--peer", server.addr, "-o", out, cid) as fetch:
            wait_until(lambda: under_way(fetcher), "a part of the file")
            began = time.monotonic()
            server.kill()
            assert fetch.wait(SECONDS_TO_FAIL) == 1
            assert time.monotonic() - began < SECONDS_TO_FAIL
            (line,) = fetch.stderr_text().splitlines()
        assert_blames(line, server.addr.rpartition("/")[2])
    assert not out.exists()
    assert_whole(fetcher)
    with lite.serve() as server:
        fetcher.get(cid, out, "--peer", server.addr)
    assert same_bytes(source, out)


@pytest.mark.parametrize("size", [200_000, 16 * MIB])
def test_a_block_that_kubo_has_damaged_is_told_at_once(
    lite: Lite, tmp_path: Path, size: int
) -> None:
    """Kubo does not hash what it serves, unless it is told to; another Kubo has the block whole."""
    need("kubo")
    source = write_file(tmp_path / "source", "damaged", size)
    with Kubo() as kubo, Kubo() as other:
        cid = kubo.add(source, "--raw-leaves", "--cid-version=1")
        files = [
            path for path in kubo.repo.glob("blocks/*/*.data") if path.stat().st_size > 100_000
        ]
        for path in files[:: max(len(files) // 3, 1)]:
            path.write_bytes(bytes(path.stat().st_size))
        began = time.monotonic()
        with lite.start("get", "--peer", kubo.addr, "-o", tmp_path / "out", cid) as fetch:
            assert fetch.wait(SECONDS_TO_FAIL) == 1
            (line,) = fetch.stderr_text().splitlines()
        assert time.monotonic() - began < SECONDS_TO_FAIL
        assert f"{kubo.id} sent a block that was not asked for" in line
        assert other.add(source, "--raw-leaves", "--cid-version=1") == cid
        peers = ["--peer", kubo.addr, "--peer", other.addr]
        with lite.start("get", *peers, "-o", tmp_path / "out", cid) as fetch:
            assert fetch.wait(SECONDS_TO_FAIL) == 0
        assert same_bytes(source, tmp_path / "out")
