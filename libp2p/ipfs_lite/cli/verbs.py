"""What the verbs do; each function here is one command line, from its start to its end."""

from __future__ import annotations

import base64
import gc
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from libp2p.ipfs_lite.adder import AddResult, add_file, read_bytes_for
from libp2p.ipfs_lite.cli.ending import run_to_an_end
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import STDIN, STDOUT, STDOUT_NAME, say, say_json, tell
from libp2p.ipfs_lite.config import Config, default_repo_path
from libp2p.ipfs_lite.descriptors import SharedDescriptor, descriptor_of
from libp2p.ipfs_lite.errors import OutputError, RepoError, SourceError
from libp2p.ipfs_lite.output import save, stream
from libp2p.ipfs_lite.peer import Peer, import_options
from libp2p.ipfs_lite.repo import Repo
from libp2p.ipfs_lite.source import FileSource, open_source
from libp2p.utils.printable import one_line, printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from multiaddr import Multiaddr

    from libp2p.base_types import Buffer
    from libp2p.ipfs_lite.repo import Identity
    from libp2p.ipfs_lite.source import Source, SourceInput
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportKnobs
    from libp2p.peer.peerinfo import PeerInfo

#: What names the standard input where a path could stand, and the standard output.
DASH: Final = "-"
STDIN_NAME: Final = "the standard input"


@dataclass(frozen=True, slots=True)
class At:
    """Where the repo is, if that was said, and how many seconds there are."""

    named_repo: Path | None
    timeout: float | None

    @property
    def repo(self) -> Path:
        return default_repo_path() if self.named_repo is None else self.named_repo

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        run_to_an_end(work, self.timeout)


# -- repo -----------------------------------------------------------------------------------------


def config_of(profile: str | None, listen: list[str], sync: bool) -> Config:
    config = Config(sync=sync)
    if profile is not None:
        config = replace(config, profile=profile)
    return replace(config, listen=tuple(listen)) if listen else config


def init(at: At, config: Config, as_json: bool) -> None:
    repo = at.repo

    def make() -> Identity:
        if Repo.exists(repo):
            raise RepoError(
                f"{repo} is a repo already: remove it first, or name another with --repo"
            )
        with Repo.open(repo, config):
            return Repo.identity_of(repo)

    at.run(partial(_show, repo, make, as_json, needed=False))


def show_id(at: At, as_json: bool) -> None:
    at.run(partial(_show, at.repo, partial(Repo.identity_of, at.repo), as_json))


async def _show(
    repo: Path, find: Callable[[], Identity], as_json: bool, *, needed: bool = True
) -> None:
    from libp2p.peer.id import ID

    identity = await trio.to_thread.run_sync(find)
    public_key = identity.private_key.get_public_key()
    peer_id = str(ID.from_pubkey(public_key))
    if not as_json:
        return await say(peer_id, needed=needed)
    key_text = base64.b64encode(public_key.serialize()).decode()
    named = {"id": peer_id, "public_key": key_text, "repo": str(repo)}
    await say_json({**named, **identity.config.to_json()}, needed=needed)


# -- adding ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What to add and how."""

    paths: Sequence[str]
    profile: str | None
    choices: ImportKnobs
    only_hash: bool
    allow_empty: bool


def add_style(quieter: bool, as_json: bool) -> Callable[[str, AddResult], Awaitable[None]]:
    """Choose how a file that was added is printed."""
    if as_json:
        return lambda name, added: say_json(
            {
                "cid": str(added.cid),
                "name": name,
                "size": added.size,
                "dag_size": added.dag_size,
            }
        )
    if quieter:
        return lambda name, added: say(str(added.cid))
    return lambda name, added: say(f"added {added.cid} {name}")


def add(at: At, request: AddRequest, show: Callable[[str, AddResult], Awaitable[None]]) -> None:
    for path in request.paths:
        if path != DASH and not os.path.exists(path):
            raise SourceError(f"no such file: {path}")

    async def add_all(config: Config, peer: Peer | None) -> None:
        options = import_options(config, request.profile, request.choices)
        for path in request.paths:
            # Kubo prints the last part beside the CID; the standard input has no name.
            name = "" if path == DASH else os.path.basename(path)
            read_bytes = read_bytes_for(options.chunker)
            async with _source_of(path, read_bytes, request.allow_empty) as source:
                with Bar("adding", printable(name or STDIN_NAME)) as bar:
                    store = None if peer is None else peer.store
                    added = await add_file(source, options, store, progress=bar.update)
            await show(name or str(added.cid), added)

    async def work() -> None:
        config = await trio.to_thread.run_sync(_config_for_add, at, request.only_hash)
        # Whoever asks wrongly is told so before a repo is made.
        import_options(config, request.profile, request.choices)
        if request.only_hash:
            return await add_all(config, None)
        async with Peer.open(at.repo, online=False) as peer:
            await add_all(peer.config, peer)

    at.run(work)


def _config_for_add(at: At, only_hash: bool) -> Config:
    try:
        return Repo.identity_of(at.repo).config if Repo.exists(at.repo) else Config()
    except RepoError:
        if only_hash and at.named_repo is None:
            return Config()  # it needs no repo
        raise


@asynccontextmanager
async def _source_of(path: str, read_bytes: int, allow_empty: bool) -> AsyncIterator[SourceInput]:
    named = FileSource(STDIN, STDIN_NAME) if path == DASH else path
    async with open_source(named, read_bytes) as source:
        if source.size is None and not allow_empty:
            source = _NotEmpty(source, STDIN_NAME if path == DASH else path)
        yield source


class _NotEmpty:
    """
    What comes out of a pipe, and must be something.

    A program that has failed before it wrote anything looks like one that had nothing to say.
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


# -- fetching -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetch:
    """Which file, and whom it may come from."""

    cid: CID
    peers: Sequence[PeerInfo]
    verify: bool


def get(at: At, fetch: Fetch, output: str | None, as_json: bool) -> None:
    target = Path(str(fetch.cid) if output is None else output)
    # Now, while a number that the caller has not opened is not one of this program's own files.
    descriptor = _inherited(STDOUT if output == DASH else descriptor_of(target), target)
    if descriptor is None and target.is_dir():
        target /= str(fetch.cid)

    async def work(peer: Peer) -> None:
        async with await peer.get_file(fetch.cid) as reader:
            with Bar("fetching", printable(target.name), reader.size) as bar:
                if descriptor is None:
                    await save(reader, target, bar.update)
                else:
                    await stream(reader, descriptor, target, bar.update)
        if descriptor is not None and _is_stdout(descriptor):
            return
        if as_json:
            saved = {"cid": str(fetch.cid), "path": str(target), "size": reader.size}
            await say_json(saved, needed=False)
        elif descriptor is None:
            await say(f"saved {fetch.cid} to {target}", needed=False)

    _run_fetch(at, fetch, work)


def _inherited(number: int | None, name: Path) -> SharedDescriptor | None:
    if number is None:
        return None
    try:
        if os.get_inheritable(number):
            return SharedDescriptor(os.dup(number))
    except OSError:
        pass
    raise OutputError(f"cannot write {name}: it is closed")


def _is_stdout(descriptor: SharedDescriptor) -> bool:
    return os.path.sameopenfile(descriptor.number, STDOUT)


def cat(at: At, fetch: Fetch) -> None:
    async def work(peer: Peer) -> None:
        async with await peer.get_file(fetch.cid) as reader:
            await stream(reader, SharedDescriptor(STDOUT), STDOUT_NAME)

    _run_fetch(at, fetch, work)


def _run_fetch(at: At, fetch: Fetch, work: Callable[[Peer], Awaitable[None]]) -> None:
    async def with_peer() -> None:
        async with Peer.open(at.repo, online=bool(fetch.peers), verify=fetch.verify) as peer:
            await _connect_to_any(peer, fetch.peers)
            await work(peer)

    at.run(with_peer)


async def _connect_to_any(peer: Peer, addresses: Sequence[PeerInfo]) -> None:
    """Connect to all peers at once; it fails only if none of them can be reached."""
    from libp2p.exceptions import BaseLibp2pError

    errors: list[BaseLibp2pError] = []

    async def connect(address: PeerInfo) -> None:
        try:
            await peer.connect(address)
        except BaseLibp2pError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(connect, address)
    if errors and len(errors) == len(addresses):
        raise errors[0]
    for error in errors:
        tell(f"going on without a peer: {one_line(str(error))}")


# -- serving --------------------------------------------------------------------------------------


def serve(at: At, listen: Sequence[Multiaddr], as_json: bool) -> None:
    async def work() -> None:
        addresses = (
            listen or (await trio.to_thread.run_sync(Repo.identity_of, at.repo)).config.listen
        )
        async with Peer.open(at.repo, listen=addresses) as peer:
            for address in peer.addrs:
                if as_json:
                    await say_json({"address": str(address)}, needed=False)
                else:
                    await say(str(address), needed=False)
            gc.freeze()  # what is loaded by now stays: garbage collections need not look at it
            await trio.sleep_forever()

    run_to_an_end(work, at.timeout, stopping_is_success=True)
