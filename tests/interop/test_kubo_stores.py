"""Kubo's repos: read where they are, with its daemon at work, and not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.blockstore import FilesystemBlockStore, MemoryBlockStore
from libp2p.blockstore.copying import copy_blocks
from libp2p.blockstore.kubo import KuboBlockStore
from libp2p.blockstore.layered import LayeredBlockStore
from libp2p.exceptions import BlockStoreError
from libp2p.ipfs_lite import Peer
from libp2p.ipld.cid import CID

from .files import MIB, write_file
from .kubo import Kubo
from .need import need

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of blocks, with what a write would change."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in (folder / "blocks").rglob("*")
    }


async def test_the_blocks_of_a_running_daemon_are_read_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    need("kubo")
    path = tmp_path / "file"
    write_file(path, "file", 5 * MIB)
    with Kubo() as kubo:
        cid = kubo.add(str(path))
        before = names(kubo.repo)
        store = KuboBlockStore(kubo.repo)
        listed = {CID.decode(found).multihash for found in store.get_all_cids()}
        refs = [CID.parse(line) for line in kubo.text("refs", "local").split()]
        assert {ref.multihash for ref in refs if not ref.is_identity} <= listed
        both = LayeredBlockStore(FilesystemBlockStore(tmp_path / "own"), store)
        async with (
            Peer.open(block_store=both, online=False) as peer,
            await peer.get_file(cid) as file,
        ):
            assert await file.read() == path.read_bytes()
        result = await copy_blocks(store, MemoryBlockStore())
        assert (result.copied, result.damaged) == (len(listed), 0)
        assert names(kubo.repo) == before
        more = tmp_path / "more"
        write_file(more, "more", MIB + 1)
        added = kubo.add(str(more))  # while it is open here
        assert await store.has_block(added)


@pytest.mark.parametrize(("profile", "database"), [("pebbleds", "Pebble"), ("badgerds", "Badger")])
def test_repos_with_a_database_are_refused_by_its_name(profile: str, database: str) -> None:
    need("kubo")
    with (
        Kubo(daemon=False, profile=profile) as kubo,
        pytest.raises(BlockStoreError, match=f"in {database}, which"),
    ):
        KuboBlockStore(kubo.repo)
