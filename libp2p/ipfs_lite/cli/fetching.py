"""``get``, ``cat`` and ``ls``."""

from __future__ import annotations

import os
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite.cli.company import is_anybody_known
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import DASH, STDOUT, STDOUT_NAME, say, say_json, tell
from libp2p.ipfs_lite.descriptors import SharedDescriptor, descriptor_of
from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.output import save, stream
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.block import Block
from libp2p.ipld.file_node import Kind, kind_of
from libp2p.utils.printable import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipld.cid import CID
    from libp2p.peer.peerinfo import PeerInfo


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to fetch, the peers to fetch it from, and who else may be asked."""

    content: Content
    peers: Sequence[PeerInfo]
    verify: bool
    network: NetworkChoice


def get(at: At, fetch: Fetch, output: str | None, as_json: bool) -> None:
    target = Path(fetch.content.name if output is None else output)
    # Now, while a number that the caller has not opened is not one of this program's own files.
    descriptor = _inherited(STDOUT if output == DASH else descriptor_of(target), target)
    if descriptor is None and target.is_dir():
        target /= fetch.content.name

    async def work(peer: Peer, cid: CID) -> None:
        kind = kind_of(Block(cid, await peer.get_block(cid)))
        if descriptor is None and kind in (Kind.DIRECTORY, Kind.HAMT):
            with Bar("fetching", printable(target.name)) as bar:
                size = (await peer.get_tree(cid, target, progress=bar.update)).size
        else:
            size = await _save_file(peer, cid, target, descriptor)
        if descriptor is not None and is_stdout(descriptor):
            return
        if as_json:
            saved = {"cid": str(cid), "path": str(target), "size": size}
            await say_json(saved, needed=False)
        elif descriptor is None:
            await say(f"saved {fetch.content} to {target}", needed=False)

    run_fetch(at, fetch, work)


async def _save_file(
    peer: Peer, cid: CID, target: Path, descriptor: SharedDescriptor | None
) -> int:
    async with await peer.get_file(cid) as reader:
        with Bar("fetching", printable(target.name), reader.size) as bar:
            if descriptor is None:
                await save(reader, target, bar.update)
            else:
                await stream(reader, descriptor, target, bar.update)
        return reader.size


def _inherited(number: int | None, name: Path) -> SharedDescriptor | None:
    if number is None:
        return None
    try:
        if os.get_inheritable(number):
            return SharedDescriptor(os.dup(number))
    except OSError:
        pass
    raise OutputError(f"cannot write {name}: it is closed")


def is_stdout(descriptor: SharedDescriptor) -> bool:
    return os.path.sameopenfile(descriptor.number, STDOUT)


def cat(at: At, fetch: Fetch) -> None:
    async def work(peer: Peer, cid: CID) -> None:
        async with await peer.get_file(cid) as reader:
            await stream(reader, SharedDescriptor(STDOUT), STDOUT_NAME)

    run_fetch(at, fetch, work)


def ls(at: At, fetch: Fetch, as_json: bool) -> None:
    async def work(peer: Peer, cid: CID) -> None:
        async with aclosing(peer.ls(cid)) as entries:
            async for entry in entries:
                if as_json:
                    listed = {"cid": str(entry.cid), "name": entry.name, "dag_size": entry.dag_size}
                    await say_json(listed)
                else:
                    await say(f"{entry.cid} {entry.dag_size} {printable(entry.name)}")

    run_fetch(at, fetch, work)


def run_fetch(at: At, fetch: Fetch, work: Callable[[Peer, CID], Awaitable[None]]) -> None:
    async def with_cid(peer: Peer) -> None:
        await work(peer, await find(peer, fetch.content))

    run_with_peer(at, fetch, with_cid)


def run_with_peer(at: At, fetch: Fetch, work: Callable[[Peer], Awaitable[None]]) -> None:
    """Open a peer that can fetch, and call ``work`` with it."""

    async def with_peer() -> None:
        is_named = isinstance(fetch.content.root, str)  # DNS or others have to be asked
        online = is_named or bool(fetch.peers) or await is_anybody_known(at, fetch.network)
        async with Peer.open(
            at.repo, online=online, verify=fetch.verify, **fetch.network.settings()
        ) as peer:
            await _connect_to_any(peer, fetch.peers)
            await work(peer)

    at.run(with_peer)


async def find(peer: Peer, content: Content) -> CID:
    """Return the CID at a path, which may begin with a name."""
    root, path = content
    if isinstance(root, str):
        target = (await peer.names.resolve(f"/ipns/{root}/{path}")).path
        root, path = target.cid, target.rest
    return await peer.resolve(root, path)


async def _connect_to_any(peer: Peer, addresses: Sequence[PeerInfo]) -> None:
    """Connect to all peers at once; it fails only if none of them can be reached."""
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
