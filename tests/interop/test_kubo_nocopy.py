"""Files that are not copied, beside Kubo's filestore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .files import same_bytes, write_file
from .kubo import Kubo
from .lite import Lite
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 46_000_001


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    need("kubo")
    with Kubo(config={"Experimental.FilestoreEnabled": True}) as node:
        yield node


def copied(repo: Path) -> int:
    """Return how many bytes are in the files of a repo's blocks."""
    return sum(path.stat().st_size for path in (repo / "blocks").rglob("*.data"))


@pytest.mark.parametrize("chunker", ["size-262144", "size-1048576"])
def test_cids_are_those_of_kubos_filestore(kubo: Kubo, tmp_path: Path, chunker: str) -> None:
    source = write_file(kubo.repo.parent / chunker, f"filestore {chunker}", SIZE // 10)
    flags = ["--nocopy", "--cid-version=1", f"--chunker={chunker}"]
    lite = Lite(tmp_path / "repo")
    added = lite.measured("add", "-Q", *flags, "--max-file-links=174", source).text
    assert added == kubo.add(source, *flags)
    assert copied(tmp_path / "repo") < 64 * 1024


def test_kubo_fetches_slices_from_python(kubo: Kubo, tmp_path: Path) -> None:
    source = write_file(tmp_path / "source", "slices for kubo", SIZE)
    lite = Lite(tmp_path / "repo")
    cid = lite.measured("add", "-Q", "--nocopy", source).text
    with lite.serve() as server:
        kubo.swarm_connect(server.addr)
        kubo.get(cid, tmp_path / "out")
    assert same_bytes(source, tmp_path / "out")


def test_python_fetches_from_kubos_filestore_into_slices(kubo: Kubo, tmp_path: Path) -> None:
    source = write_file(kubo.repo.parent / "served", "slices from kubo", SIZE)
    cid = kubo.add(source, "--nocopy", "--cid-version=1")
    lite = Lite(tmp_path / "repo")
    lite.measured("get", "--nocopy", "--peer", kubo.addr, "-o", tmp_path / "out", cid)
    assert same_bytes(source, tmp_path / "out")
    assert copied(tmp_path / "repo") < 64 * 1024
    # It is served from where it was written.
    with lite.serve() as server, Kubo() as other:
        other.swarm_connect(server.addr)
        other.get(cid, tmp_path / "again")
    assert same_bytes(source, tmp_path / "again")


def test_both_tell_of_a_changed_file(kubo: Kubo, tmp_path: Path) -> None:
    source = write_file(kubo.repo.parent / "changing", "changing", SIZE)
    flags = ["--nocopy", "--cid-version=1", "--chunker=size-1048576"]
    cid = kubo.add(source, *flags)
    lite = Lite(tmp_path / "repo")
    assert lite.measured("add", "-Q", *flags, "--max-file-links=174", source).text == cid
    with source.open("r+b") as file:
        file.seek(3 * 2**20)
        file.write(bytes(5))
    verified = kubo.text("filestore", "verify")
    wrong = [line for line in verified.splitlines() if line.startswith("changed")]
    assert len(wrong) == 1
    ours = lite.run("repo", "verify", check=False)
    assert ours.returncode == 1
    [line] = ours.stdout.decode().splitlines()
    assert wrong[0].split()[1] in line
    assert f"the file {source}, which has changed" in line
