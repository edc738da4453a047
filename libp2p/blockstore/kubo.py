"""Folders in the flatfs layout, Kubo's repos above all, to be read only."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from libp2p.blockstore.base import LISTED_AT_ONCE, ListBlockStore
from libp2p.blockstore.files import file_size, read_file
from libp2p.blockstore.layout import SHARDING_FILE, FlatLayout
from libp2p.blockstore.verify import DamagedBlocks, is_empty_block, name_of
from libp2p.exceptions import BlockStoreError
from libp2p.ipld.cid import CID, RAW_CID_START
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.blockstore.base import BlockInfo
    from libp2p.ipld.cid import CIDInput

SPEC_FILE: Final = "datastore_spec"
#: The file has some hundred bytes.
_MAX_SPEC_BYTES: Final = 1024 * 1024
_NAMES: Final = {"badgerds": "Badger", "pebbleds": "Pebble", "levelds": "LevelDB"}


class FlatfsReader(ListBlockStore):
    """
    A folder in the flatfs layout. Another program may be using it; nothing in it is touched.

    Every block is hashed when it is read.

    :raises BlockStoreError: here if it is no such folder; in a method, with the `OSError` as its
        cause; in every one that would write.
    """

    verifies = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path: Final = Path(arguments.path(folder, "folder"))
        try:
            sharding = (self.path / SHARDING_FILE).read_text("ascii", "replace")
        except OSError as error:
            raise BlockStoreError(f"{self.path} is no folder of blocks: {error}") from error
        self._layout = FlatLayout(str(self.path), sharding[:256].strip())
        self._damaged = DamagedBlocks(self.path)

    def __repr__(self) -> str:
        return shown(self, lambda: f"in {str(self.path)!r}")

    async def get_blocks(self, cids: Sequence[CIDInput]) -> list[bytes | None]:
        named = [CID.of(cid) for cid in cids]
        return await trio.to_thread.run_sync(
            lambda: list(map(self._read, named)), abandon_on_cancel=True
        )

    async def get_sizes(self, cids: Sequence[CIDInput]) -> list[int | None]:
        named = [CID.of(cid) for cid in cids]
        return await trio.to_thread.run_sync(
            lambda: list(map(self._look_at, named)), abandon_on_cancel=True
        )

    def get_all_cids(self) -> list[bytes]:
        return [RAW_CID_START + info[0] for info in self._infos()]

    async def multihash_batches(self) -> AsyncGenerator[list[bytes], None]:
        async for batch in self.block_infos():
            yield [multihash for multihash, _, _ in batch]

    async def block_infos(self) -> AsyncGenerator[list[BlockInfo], None]:
        infos = self._infos()
        while batch := await trio.to_thread.run_sync(lambda: list(islice(infos, LISTED_AT_ONCE))):
            yield batch

    async def put_blocks(self, blocks: Sequence[tuple[CIDInput, Buffer]]) -> None:
        """:raises BlockStoreError: always."""
        raise self._read_only()

    async def delete_blocks(
        self, cids: Sequence[CIDInput], *, older_than: float | None = None
    ) -> list[CIDInput]:
        """:raises BlockStoreError: always."""
        raise self._read_only()

    def damage_of(self, cid: CIDInput) -> str | None:
        multihash = CID.of(cid).multihash
        return self._layout.path(multihash) if multihash in self._damaged else None

    def _read_only(self) -> BlockStoreError:
        return BlockStoreError(f"nothing is written into {self.path}: it is only read")

    def _read(self, cid: CID) -> bytes | None:
        if cid.is_identity:
            return cid.digest
        multihash = cid.multihash
        try:
            data, fault = read_file(self._layout.path(multihash))
        except OSError as error:
            raise self._unreadable(multihash, str(error.strerror)) from error
        if fault:
            raise self._unreadable(multihash, fault)
        if data == b"" and not is_empty_block(multihash):
            return None  # what a power loss left
        return self._damaged.judged(multihash, data)

    def _look_at(self, cid: CID) -> int | None:
        if cid.is_identity:
            return len(cid.digest)
        if cid.multihash in self._damaged:
            return None
        try:
            size = file_size(self._layout.path(cid.multihash))
        except OSError as error:
            raise self._unreadable(cid.multihash, str(error.strerror)) from error
        return size if size or is_empty_block(cid.multihash) else None

    def _unreadable(self, multihash: bytes, reason: str) -> BlockStoreError:
        return BlockStoreError(f"cannot read block {name_of(multihash)} of {self.path}: {reason}")

    def _infos(self) -> Iterator[BlockInfo]:
        try:
            for multihash in self._layout.multihashes():
                try:
                    status = os.stat(self._layout.path(multihash))
                except FileNotFoundError:
                    continue  # a daemon has removed it
                if status.st_size or is_empty_block(multihash):
                    yield multihash, status.st_size, status.st_mtime
        except OSError as error:
            raise BlockStoreError(f"cannot list {self.path}: {error.strerror}") from error


class KuboBlockStore(FlatfsReader):
    """
    The blocks of a Kubo repo; its pins, keys and names are not read.

    :param repo: the folder; by default ``$IPFS_PATH``, else ``~/.ipfs``.
    :raises BlockStoreError: if it is no repo, or keeps its blocks in a database.
    """

    def __init__(self, repo: str | os.PathLike[str] | None = None) -> None:
        if repo is None:
            repo = os.environ.get("IPFS_PATH") or Path.home() / ".ipfs"
        self.repo: Final = Path(arguments.path(repo, "repo"))
        super().__init__(_blocks_folder(self.repo))

    @classmethod
    def is_repo(cls, path: str | os.PathLike[str]) -> bool:
        """Return whether a folder looks like a Kubo repo."""
        return os.path.isfile(os.path.join(path, SPEC_FILE))


def _blocks_folder(repo: Path) -> Path:
    """
    Return the folder that a repo's ``datastore_spec`` mounts at ``/blocks``.

    :raises BlockStoreError: if it mounts something else there.
    """
    try:
        with open(repo / SPEC_FILE, encoding="utf-8", errors="replace") as file:
            spec = json.loads(file.read(_MAX_SPEC_BYTES))
        mounts = spec["mounts"] if spec.get("type") == "mount" else [{"mountpoint": "/", **spec}]
        mount = _mount_of_blocks(mounts)
        kind, path = str(mount["type"]), str(mount.get("path", ""))
    except OSError as error:
        raise BlockStoreError(f"{repo} is no Kubo repo: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BlockStoreError(f"{repo / SPEC_FILE} is damaged: {error!r}") from error
    if kind != "flatfs":
        raise BlockStoreError(
            f"{repo} keeps its blocks in {_NAMES.get(kind, kind)}, which this program cannot read: "
            "export them with `ipfs dag export` and import the CAR files"
        )
    return repo / path


def _mount_of_blocks(mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mount with the longest mount point above ``/blocks``."""
    above = [m for m in mounts if m["mountpoint"] in ("/blocks", "/")]
    if not above:
        raise KeyError("/blocks")
    return max(above, key=lambda m: len(m["mountpoint"]))
