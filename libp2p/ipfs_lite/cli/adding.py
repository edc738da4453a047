"""``add``."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from libp2p.ipfs_lite.adder import AddResult, add_file, read_bytes_for
from libp2p.ipfs_lite.cli.company import announce, open_announcer
from libp2p.ipfs_lite.cli.inputs import source_of
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import DASH, STDIN_NAME
from libp2p.ipfs_lite.config import Config, import_options
from libp2p.ipfs_lite.descriptors import descriptor_of
from libp2p.ipfs_lite.errors import RepoError, SourceError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.pins import check_name
from libp2p.ipfs_lite.repo import Repo
from libp2p.ipfs_lite.source import open_source
from libp2p.ipfs_lite.tree_adder import TreeAdder, link_of_path, options_of_path
from libp2p.ipld.directory import DirectoryEntry, DirectoryImporter
from libp2p.utils.printable import printable

if TYPE_CHECKING:
    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FolderChoice, NetworkChoice
    from libp2p.ipfs_lite.source import Source, SourceInput
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportKnobs, ImportOptions


@dataclass(frozen=True, slots=True)
class AddRequest:
    """The files to add, and the options."""

    paths: Sequence[str]
    profile: str | None
    choices: ImportKnobs
    only_hash: bool
    allow_empty: bool
    folders: FolderChoice
    pin: bool = True
    pin_name: str = ""
    network: NetworkChoice | None = None
    """Through whom the files are announced; None if they are not."""
    nocopy: bool = False
    to_files: str | None = None
    """Where in the tree of files the roots are put; None if they are not."""
    stdin_name: str = ""

    def check(self) -> None:
        """
        Look at the paths before anything is added.

        :raises SourceError: if one cannot be added.
        """
        for path in self.paths:
            if path != DASH and not os.path.lexists(path):
                raise SourceError(f"no such file: {path}")
            if self.is_folder(path) and not self.folders.recursive:
                raise SourceError(f"{path} is a folder: add it with --recursive")
        if self.to_files is not None:
            is_folder = self.to_files.endswith("/")
            if len(self.paths) > 1 and not is_folder:
                raise SourceError(f"{self.to_files} has room for one file: write a / at its end")
            if is_folder and DASH in self.paths and not self.stdin_name:
                raise SourceError("a file in a folder needs a name: write --stdin-name NAME")

    def is_folder(self, path: str) -> bool:
        return path != DASH and os.path.isdir(path) and not self.is_link(path)

    def is_link(self, path: str) -> bool:
        """Tell whether a path is added as a symbolic link, as it is inside of a folder."""
        if self.folders.follow_links or descriptor_of(Path(path)) is not None:
            return False
        return path != DASH and os.path.islink(path) and not _is_stream(path)

    def name_of(self, path: str) -> str:
        """Return what is printed beside the CID: the last part; the input may have none."""
        if path == DASH:
            return self.stdin_name
        return os.path.basename(
            os.path.realpath(path) if self.folders.follow_links else os.path.abspath(path)
        )


def distinct(paths: Sequence[str]) -> list[str]:
    """Return each file once, which may be named in several ways."""
    named: dict[str | Path, str] = {}
    for path in paths:
        named.setdefault(path if path == DASH else Path(path).absolute(), path)
    return list(named.values())


class _Lines:
    """Prints what has been added, as far as a request says."""

    def __init__(self, at: At, folders: FolderChoice) -> None:
        self._at = at
        self._folders = folders
        self._last: Callable[[], Awaitable[None]] | None = None

    async def show(self, name: str, added: AddResult) -> None:
        cid = str(added.cid)
        facts = {"cid": cid, "name": name, "size": added.size, "dag_size": added.dag_size}
        is_short = self._folders.quiet or self._folders.quieter
        self._last = partial(self._at.say, facts, cid if is_short else f"added {cid} {name}")
        if not (self._folders.quieter or self._folders.silent):
            await self._last()

    async def end(self) -> None:
        if self._folders.quieter and not self._folders.silent and self._last is not None:
            await self._last()


def add(at: At, request: AddRequest) -> None:
    request.check()
    lines = _Lines(at, request.folders)

    async def add_all(config: Config, peer: Peer | None) -> None:
        adding = _Adding(request, _options_of(config, request), peer)
        wrapper = DirectoryImporter(adding.options) if request.folders.wrap else None
        size = 0
        for path in request.paths:
            name = request.name_of(path)
            added = await adding.add(path, name, lines.show)
            await lines.show(name or str(added.cid), added)
            if wrapper is None:
                await adding.note_root(added.cid, name)
            else:
                wrapper.add(DirectoryEntry(name or str(added.cid), added.cid, added.dag_size))
                size += added.size
        if wrapper is not None:
            blocks = list(wrapper.finish())
            if peer is not None:
                await peer.store.put_blocks([(cid.buffer, data) for cid, data in blocks])
            await lines.show("", AddResult(wrapper.root, size, wrapper.dag_size))
            await adding.note_root(wrapper.root, "")
        await lines.end()

    async def work(at: At) -> None:
        config = await trio.to_thread.run_sync(_config_for_add, at, request.only_hash)
        # Wrong options are an error before a repo is made.
        _options_of(config, request)
        if request.only_hash:
            return await add_all(config, None)
        check_name(request.pin_name)
        async with _peer_for(at, request.network) as peer:
            with peer.lease():
                await add_all(peer.config, peer)

    at.run(work)


def _is_stream(path: str) -> bool:
    """Tell whether a path leads to a pipe or a device, such as /dev/stdin."""
    with contextlib.suppress(OSError):
        mode = os.stat(path).st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _options_of(config: Config, request: AddRequest) -> ImportOptions:
    choices = request.folders.options().fit(request.choices)
    return import_options(config, request.profile, choices)


class _Adding:
    """Adds single paths as a request says."""

    def __init__(self, request: AddRequest, options: ImportOptions, peer: Peer | None) -> None:
        self.options: Final = options
        self._request = request
        self._peer = peer

    async def add(
        self, path: str, name: str, show: Callable[[str, AddResult], Awaitable[None]]
    ) -> AddResult:
        """Add a file or a folder; print what is inside a folder."""
        store = None if self._peer is None else self._peer.store
        with Bar("adding", printable(name or STDIN_NAME)) as bar:
            if self._request.is_link(path):
                return await self._add_link(path)
            if self._request.is_folder(path):

                async def added(below: str, result: AddResult) -> None:
                    if below:
                        await show(f"{name}/{below}", result)

                adder = TreeAdder(
                    self.options,
                    self._request.folders.options(),
                    store,
                    added=added,
                    progress=bar.update,
                    nocopy=self._request.nocopy,
                )
                return await adder.add(path)
            options = self.options
            if path != DASH:
                tree = self._request.folders.options()
                # Inside of a folder each file has its own.
                options = await trio.to_thread.run_sync(options_of_path, path, options, tree)
            read_bytes = read_bytes_for(options.chunker)
            async with _source_of(path, read_bytes, self._request.allow_empty) as source:
                return await add_file(
                    source,
                    options,
                    store,
                    progress=bar.update,
                    nocopy=self._request.nocopy,
                )

    async def _add_link(self, path: str) -> AddResult:
        tree = self._request.folders.options()
        block, added = await trio.to_thread.run_sync(link_of_path, path, self.options, tree)
        if self._peer is not None:
            await self._peer.store.put_blocks([(block.cid.buffer, block.data)])
        return added

    async def note_root(self, cid: CID, name: str) -> None:
        """Remember what was added, and announce it if the request says so."""
        if self._peer is not None:
            request = self._request
            await self._peer.note_root(cid, pin=request.pin, name=request.pin_name)
            if (place := request.to_files) is not None:
                place += name if place.endswith("/") else ""
                await self._peer.files.cp(cid, place)
            if self._peer.online:
                await announce(self._peer, [cid])


def _peer_for(at: At, network: NetworkChoice | None) -> AbstractAsyncContextManager[Peer]:
    if network is None:
        return Peer.open(at.repo, online=False)
    return open_announcer(at, network)


def _config_for_add(at: At, only_hash: bool) -> Config:
    try:
        return Repo.identity_of(at.repo).config if Repo.exists(at.repo) else Config()
    except RepoError:
        if only_hash and at.named_repo is None:
            return Config()  # it needs no repo
        raise


@asynccontextmanager
async def _source_of(path: str, read_bytes: int, allow_empty: bool) -> AsyncIterator[SourceInput]:
    async with open_source(source_of(path), read_bytes) as source:
        if source.size is None and not allow_empty:
            source = _NotEmpty(source, STDIN_NAME if path == DASH else path)
        yield source


class _NotEmpty:
    """
    The bytes of a pipe, which must not be empty.

    A program that fails before it writes anything looks like one that has nothing to write.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.size: int | None = None
        self._source = source
        self._name = name
        self._has_begun = False

    async def next_batch(self) -> list[Buffer]:
        batch = await self._source.next_batch()
        if not batch and not self._has_begun:
            raise SourceError(
                f"{self._name} gave nothing, so nothing was added: the command that writes to it "
                "may have failed; if it is to be empty, say --allow-empty"
            )
        self._has_begun = True
        return batch
