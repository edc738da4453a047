"""Folders beside Kubo's: the same CIDs for the same options, and each fetches the other's."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from trio.to_thread import run_sync as in_thread

from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID

from .files import random_bytes
from .kubo import Kubo
from .need import need
from .trees import is_same_tree, write_large_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: ``NIGHTLY=1`` (``make nightly``) takes the larger numbers.
TREES, FILES = (300, 20_000) if os.environ.get("NIGHTLY") else (30, 6000)
#: Flags for ``ipfs add -r`` and what says the same to `Peer.add_tree`. With modes and times Kubo's
#: files of one block have no raw leaves.
WITHOUT_AND_WITH_TIMES: tuple[tuple[list[str], dict[str, Any]], ...] = (
    ([], {}),
    (
        ["--preserve-mode", "--preserve-mtime", "--raw-leaves=false"],
        {"keep_mode": True, "keep_mtime": True, "raw_leaves": False},
    ),
)
HASHES = (
    "sha1", "sha2-256", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "dbl-sha2-256",
    "shake-256", "keccak-256", "keccak-512", "blake3", "blake2b-160", "blake2b-256", "blake2b-512",
    "blake2s-256",
)  # fmt: skip
LETTERS = "abcÄß€😀 -_.%'\"\\\n"


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    need("kubo")
    with Kubo() as kubo:
        yield kubo


def write_random_tree(folder: Path, source: random.Random, depth: int = 0) -> None:
    """Write files, folders and links with names of all kinds."""
    folder.mkdir()
    for _ in range(source.randrange(1, 9)):
        name = "".join(source.choices(LETTERS, k=source.randrange(1, 12))).strip(".") or "x"
        path = folder / name
        if os.path.lexists(path):
            continue
        kind = source.randrange(6)
        if kind == 0 and depth < 4:
            write_random_tree(path, source, depth + 1)
        elif kind == 1:
            path.symlink_to(source.choice(["x", "a/b", "ä", "../nowhere"]))
        else:
            size = source.choice([0, 1, 100, 262144, 262145, 1048576, 1048577, 2_500_000])
            path.write_bytes(random_bytes(f"tree {size}", size))
        if kind != 1:
            path.chmod(source.choice([0o644, 0o600, 0o755]) | (0o100 if path.is_dir() else 0))
            seconds = source.randrange(2**31)
            os.utime(path, ns=(0, seconds * 10**9 + source.choice([0, 1, 999_999_999])))


def options(source: random.Random) -> tuple[list[str], dict[str, Any]]:
    """Return flags for ``ipfs add -r`` and what says the same to `Peer.add_tree`."""
    flags: list[str] = []
    choices: dict[str, Any] = {}
    version = source.choice([0, 1])
    flags.append(f"--cid-version={version}")
    choices["cid_version"] = version
    if source.random() < 0.5:
        flags.append("--hidden")
        choices["hidden"] = True
    if source.random() < 0.3:
        flags += ["--preserve-mode", "--preserve-mtime"]
        choices |= {"keep_mode": True, "keep_mtime": True}
    # Of the three, rabin and buzhash are slow where numpy is missing.
    chunks = ["size-262144", "size-1048576", "size-50000", "rabin-30000-60000-90000", "buzhash"]
    choices["chunker"] = source.choice(chunks)
    flags.append(f"--chunker={choices['chunker']}")
    if source.random() < 0.3:
        flags.append("--trickle")
        choices["layout"] = "trickle"
    if version and source.random() < 0.4:
        choices["hash"] = source.choice(HASHES)
        flags.append(f"--hash={choices['hash']}")
    if source.random() < 0.3 and "keep_mode" not in choices:
        choices["raw_leaves"] = source.random() < 0.5
        flags.append(f"--raw-leaves={str(choices['raw_leaves']).lower()}")
    if source.random() < 0.3:
        limit = source.choice([0, 32, 40, 128])
        flags += ["--inline", f"--inline-limit={limit}"]
        choices["inline_limit"] = limit
    if source.random() < 0.4:
        most, fanout = source.choice([2, 3, 5]), source.choice([8, 16, 256, 1024])
        flags += [f"--max-directory-links={most}", f"--max-hamt-fanout={fanout}"]
        choices |= {"max_directory_links": most, "hamt_fanout": fanout}
    if source.random() < 0.3:
        links = source.choice([2, 3, 10])
        flags.append(f"--max-file-links={links}")
        choices["max_file_links"] = links
    return flags, {"max_file_links": 174, "hamt_estimation": "links-bytes"} | choices


@pytest.mark.parametrize("seed", range(TREES))
async def test_a_random_tree(kubo: Kubo, tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    write_random_tree(tmp_path / "tree", source)
    flags, choices = options(source)
    said = kubo.add(tmp_path / "tree", "--pin=false", *flags)
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        added = await peer.add_tree(tmp_path / "tree", **choices)
    assert str(added.cid) == said, flags


@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", ["unixfs-v0-2015", "unixfs-v1-2025"])
async def test_a_large_tree_goes_both_ways(tmp_path: Path, profile: str) -> None:
    """A folder in it is so large that it is split; ``NIGHTLY=1`` takes 20,000 files."""
    need("kubo")
    folder = tmp_path / "in"
    write_large_tree(folder, FILES, 5000)
    with Kubo(profile=profile) as kubo:
        async with Peer.open(block_store=MemoryBlockStore(), listen="/ip4/127.0.0.1/tcp/0") as peer:
            await peer.connect(kubo.addr)
            for flags, choices in WITHOUT_AND_WITH_TIMES:
                theirs = CID.of(await in_thread(kubo.add, folder, *flags))
                added = await peer.add_tree(folder, profile=profile, only_hash=True, **choices)
                assert added.cid == theirs, flags
            assert len([entry async for entry in peer.ls(theirs)]) == len(os.listdir(folder))
            await peer.get_tree(theirs, tmp_path / "from kubo")
            assert is_same_tree(folder, tmp_path / "from kubo", with_times=True)
            (folder / "ours").write_text("a tree that Kubo has not added")
            ours = (await peer.add_tree(folder, profile=profile)).cid
            await in_thread(kubo.run, "get", str(ours), "-o", tmp_path / "from us")
            assert is_same_tree(folder, tmp_path / "from us")
