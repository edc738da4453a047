"""The CIDs of `ipfs add`, for random files and random flags."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from libp2p.ipld.chunker import MAX_CHUNK_BYTES
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import PROFILES, resolve_options

from .files import MIB, random_bytes
from .kubo import Kubo
from .lite import Lite
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libp2p.ipld.cid import CID

FILES = 200
FILES_BY_COMMAND = 8
"""How many of them are also added by our command; each costs a start of Python."""

MAX_BYTES = 4 * MIB
MIN_CHUNK = 1024
NO_PROFILE = ""


@dataclass(frozen=True)
class Case:
    """A file and how it is added. What is None is not said: then profile and coupling decide."""

    seed: int
    size: int
    chunk: int
    profile: str
    cid_version: int | None
    raw_leaves: bool | None
    max_links: int | None

    @property
    def data(self) -> bytes:
        return random_bytes(f"cid {self.seed}", self.size)

    @property
    def flags(self) -> list[str]:
        """The same for `ipfs add` and for `ipfs-lite add`."""
        flags = [f"--chunker=size-{self.chunk}"]
        if self.cid_version is not None:
            flags.append(f"--cid-version={self.cid_version}")
        if self.raw_leaves is not None:
            flags.append(f"--raw-leaves={str(self.raw_leaves).lower()}")
        if self.max_links is not None:
            flags.append(f"--max-file-links={self.max_links}")
        return flags

    def our_cid(self) -> CID:
        """Import the file in this process."""
        options = resolve_options(
            self.profile or None,
            chunker=f"size-{self.chunk}",
            cid_version=self.cid_version,
            raw_leaves=self.raw_leaves,
            max_file_links=self.max_links,
        )
        importer = FileImporter(options)
        importer.feed([self.data])
        importer.finish()
        return importer.root


def make_case(seed: int) -> Case:
    """Choose everything by the seed."""
    choose = random.Random(seed)
    chunk = round(MIN_CHUNK * (MAX_CHUNK_BYTES / MIN_CHUNK) ** choose.random())
    if seed % 4 == 0:  # more leaves than a node has room for, unless it has much
        chunk = choose.randint(MIN_CHUNK, MAX_BYTES // 200)
    links = choose.choice([None, 0, 2, 3, choose.randint(4, 173), choose.randint(174, 1024)])
    size = choose.randint(0, MAX_BYTES)
    if seed % 4 == 1:  # about a whole number of chunks
        size = chunk * choose.randint(0, MAX_BYTES // chunk) + choose.choice([-1, 0, 1])
    elif seed % 4 == 2 and links:  # about a node that is full
        size = chunk * links ** choose.randint(1, 3) + choose.choice([-1, 0, 1, chunk, chunk + 1])
    elif seed % 4 == 0:
        size = chunk * choose.randint(175, MAX_BYTES // chunk) + choose.randint(0, chunk)
    profile = choose.choice([NO_PROFILE, *PROFILES])
    cid_version = choose.choice([None, 0, 1])
    if profile == NO_PROFILE:
        # Without a profile the two commands have other defaults: all but the leaves is said.
        cid_version = choose.choice([0, 1])
        links = 0 if links is None else links
    return Case(
        seed=seed,
        size=min(max(size, 0), MAX_BYTES),
        chunk=chunk,
        profile=profile,
        cid_version=cid_version,
        raw_leaves=choose.choice([None, False, True]),
        max_links=links,
    )


@pytest.fixture(scope="module")
def kubos() -> Iterator[dict[str, Kubo]]:
    """One repo for each profile, and one without; no daemon runs."""
    need("kubo")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Kubo(daemon=False, profile=name or None))
            for name in (NO_PROFILE, *PROFILES)
        }


@pytest.mark.parametrize("seed", range(FILES))
def test_a_random_file_has_the_cid_of_ipfs_add(kubos: dict[str, Kubo], seed: int) -> None:
    """`ipfs add -nQ` and the importer agree."""
    case = make_case(seed)
    assert str(case.our_cid()) == kubos[case.profile].add_bytes(case.data, "-n", *case.flags), case


@pytest.mark.parametrize("seed", range(FILES_BY_COMMAND))
def test_the_command_takes_the_flags_of_ipfs_add(tmp_path: Path, seed: int) -> None:
    """`ipfs-lite add -nQ` with Kubo's flags gives what the importer gives."""
    case = make_case(seed)
    flags = [*case.flags, *(["--profile", case.profile] if case.profile else [])]
    assert Lite(tmp_path / "repo").add_bytes(case.data, "-n", *flags) == str(case.our_cid()), case
