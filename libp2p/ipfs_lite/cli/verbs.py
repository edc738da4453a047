"""What the verbs do; each function here is one command line, from its start to its end."""

from __future__ import annotations

import base64
import functools
import gc
import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import trio

from libp2p.ipfs_lite.adder import AddResult, add_file
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.config import Config
from libp2p.ipfs_lite.errors import RepoError, SourceError, plain_errors
from libp2p.ipfs_lite.output import save, write_all
from libp2p.ipfs_lite.peer import Peer, import_options
from libp2p.ipfs_lite.repo import Repo
from libp2p.ipfs_lite.source import FileSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.source import SourceInput
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportKnobs
    from libp2p.peer.peerinfo import PeerInfo

_T = TypeVar("_T")

STDIN = "-"


# -- repo -----------------------------------------------------------------------------------------


def init(repo: Path, profile: str | None, listen: list[str], sync: bool, as_json: bool) -> None:
    if Repo.exists(repo):
        raise RepoError(f"{repo} is a repo already: remove it first, or name another with --repo")
    config = Config(sync=sync)
    if profile is not None:
        config = replace(config, profile=profile)
    if listen:
        config = replace(config, listen=tuple(listen))
    with Repo.open(repo, config):
        pass
    show_id(repo, as_json)


def show_id(repo: Path, as_json: bool) -> None:
    from libp2p.peer.id import ID

    identity = Repo.identity_of(repo)
    public_key = identity.private_key.get_public_key()
    peer_id = str(ID.from_pubkey(public_key))
    if not as_json:
        return _print_line(peer_id)
    key_text = base64.b64encode(public_key.serialize()).decode()
    _print_json(id=peer_id, public_key=key_text, repo=str(repo), **identity.config.to_json())


# -- adding ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What to add and how."""

    repo: Path
    paths: Sequence[str]
    profile: str | None
    choices: ImportKnobs
    only_hash: bool


def add_style(quieter: bool, as_json: bool) -> Callable[[str, AddResult], None]:
    """Choose how a file that was added is printed."""
    if as_json:
        return lambda name, added: _print_json(
            cid=str(added.cid), name=name, size=added.size, dag_size=added.dag_size
        )
    if quieter:
        return lambda name, added: _print_line(str(added.cid))
    return lambda name, added: _print_line(f"added {added.cid} {name}")


def add(request: AddRequest, show: Callable[[str, AddResult], None]) -> None:
    for path in request.paths:
        if path != STDIN and not os.path.exists(path):
            raise SourceError(f"no such file: {path}")
    config = Repo.identity_of(request.repo).config if Repo.exists(request.repo) else Config()
    options = import_options(config, request.profile, request.choices)

    async def add_all(peer: Peer | None) -> None:
        for path in request.paths:
            name = _name_of(path)
            source: SourceInput = path
            if path == STDIN:
                source = FileSource(sys.stdin.fileno(), "the standard input")
            with Bar("adding", name or "the standard input") as bar:
                store = None if peer is None else peer.store
                added = await add_file(source, options, store, progress=bar.update)
            show(name or str(added.cid), added)

    async def add_to_repo() -> None:
        async with Peer.open(request.repo, online=False) as peer:
            await add_all(peer)

    _run(functools.partial(add_all, None) if request.only_hash else add_to_repo)


def _name_of(path: str) -> str:
    """Give what Kubo prints beside the CID; the standard input has no name."""
    return "" if path == STDIN else os.path.basename(os.path.abspath(path))


# -- fetching -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetch:
    """Which file, and where it may come from."""

    repo: Path
    cid: CID
    peers: Sequence[PeerInfo]
    timeout: float | None
    verify: bool


def get(fetch: Fetch, output: Path | None, as_json: bool) -> None:
    target = Path(str(fetch.cid)) if output is None else output
    if target.is_dir():
        target /= str(fetch.cid)

    async def work(peer: Peer) -> None:
        async with await peer.get_file(fetch.cid) as reader:
            with Bar("fetching", target.name, reader.size) as bar:
                await save(reader, target, bar.update)
        if as_json:
            _print_json(cid=str(fetch.cid), path=str(target), size=reader.size)
        else:
            _print_line(f"saved {fetch.cid} to {target}")

    _run_fetch(fetch, work)


def cat(fetch: Fetch) -> None:
    descriptor = sys.stdout.fileno()

    async def work(peer: Peer) -> None:
        async with await peer.get_file(fetch.cid) as reader:
            while buffers := await reader.receive():
                await trio.to_thread.run_sync(write_all, descriptor, buffers)

    _run_fetch(fetch, work)


def _run_fetch(fetch: Fetch, work: Callable[[Peer], Awaitable[None]]) -> None:
    async def with_peer() -> None:
        with trio.fail_after(float("inf") if fetch.timeout is None else fetch.timeout):
            online, verify = bool(fetch.peers), fetch.verify
            async with Peer.open(fetch.repo, online=online, verify=verify) as peer:
                await _connect_to_any(peer, fetch.peers)
                await work(peer)

    _run(with_peer)


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
        click.echo(f"ipfs-lite: going on without a peer: {error}", err=True)


# -- serving --------------------------------------------------------------------------------------


def serve(repo: Path, listen: Sequence[Multiaddr], as_json: bool) -> None:
    async def work() -> None:
        addresses = listen or Repo.identity_of(repo).config.listen
        async with Peer.open(repo, listen=addresses) as peer:
            for address in peer.addrs:
                if as_json:
                    _print_json(address=str(address))
                else:
                    _print_line(str(address))
            gc.freeze()  # what is loaded by now stays: garbage collections need not look at it
            await trio.sleep_forever()

    _run(work, stopping_is_success=True)


# -- running --------------------------------------------------------------------------------------


def _run(work: Callable[[], Awaitable[None]], *, stopping_is_success: bool = False) -> None:
    """Run until it is done, or until a signal ends it cleanly."""

    finished: list[bool] = []

    async def run() -> None:
        with plain_errors(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_signal, signals, nursery.cancel_scope)
                await work()
                finished.append(True)
                nursery.cancel_scope.cancel()

    trio.run(run)
    if not finished and not stopping_is_success:
        raise click.ClickException("interrupted")


async def _cancel_at_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


def _print_line(text: str) -> None:
    # Flushed at once: whoever started us may wait for this line.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _print_json(**values: object) -> None:
    _print_line(json.dumps(values, ensure_ascii=False))
