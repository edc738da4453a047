"""``get`` and ``cat``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trio

from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite.cli.company import is_anybody_known
from libp2p.ipfs_lite.cli.options import NOBODY
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

    from libp2p.ipfs_lite.archive import Packing
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


class Form(NamedTuple):
    """As what content is written."""

    packing: Packing | None
    nocopy: bool


def get(at: At, fetch: Fetch, output: str | None, as_json: bool, form: Form) -> None:
    name, packing = fetch.content.name, form.packing
    target = Path(name if output is None else output)
    # Now, while a number that the caller has not opened is not one of this program's own files.
    descriptor = _inherited(STDOUT if output == DASH else descriptor_of(target), target)
    if descriptor is None and target.is_dir():
        target /= name
    if descriptor is None and packing is not None:
        target = target.with_name(packing.file_name(target.name))

    async def work(peer: Peer, cid: CID) -> None:
        if form.nocopy and (packing is not None or descriptor is not None):
            raise OutputError("--nocopy writes files, to a place where they stay")
        if packing is not None:
            size = await _save_archive(peer, cid, name, packing, target, descriptor)
        elif descriptor is None and await _is_folder(peer, cid):
            with Bar("fetching", printable(target.name)) as bar:
                saved = await peer.get_tree(cid, target, nocopy=form.nocopy, progress=bar.update)
                size = saved.size
        elif form.nocopy:
            with Bar("fetching", printable(target.name)) as bar:
                size = await peer.save_file(cid, target, nocopy=True, progress=bar.update)
        else:
            size = await _save_file(peer, cid, target, descriptor)
        if descriptor is not None and is_stdout(descriptor):
            return
        if as_json:
            result = {"cid": str(cid), "path": str(target), "size": size}
            await say_json(result, needed=False)
        elif descriptor is None:
            await say(f"saved {fetch.content} to {target}", needed=False)

    run_fetch(at, fetch, work)


async def _is_folder(peer: Peer, cid: CID) -> bool:
    return kind_of(Block(cid, await peer.get_block(cid))) in (Kind.DIRECTORY, Kind.HAMT)


async def _save_archive(
    peer: Peer,
    cid: CID,
    name: str,
    packing: Packing,
    target: Path,
    descriptor: SharedDescriptor | None,
) -> int:
    archive = peer.open_archive(cid, name, packing=packing)
    try:
        with Bar("fetching", printable(target.name)) as bar:
            if descriptor is None:
                await save(archive, target, bar.update)
            else:
                await stream(archive, descriptor, target, bar.update)
    finally:
        await archive.aclose()
    return archive.tell()


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


def run_fetch(at: At, fetch: Fetch, work: Callable[[Peer, CID], Awaitable[None]]) -> None:
    async def with_cid(peer: Peer) -> None:
        await work(peer, await find(peer, fetch.content))

    run_with_peer(at, [fetch], with_cid)


def run_with_peer(
    at: At, fetches: Sequence[Fetch], work: Callable[[Peer], Awaitable[None]]
) -> None:
    """Open a peer that can fetch, and call ``work`` with it; whom to ask is as the first says."""
    first = fetches[0]

    async def with_peer() -> None:
        # DNS or others have to be asked for a name.
        is_named = any(isinstance(fetch.content.root, str) for fetch in fetches)
        online = is_named or bool(first.peers) or await is_anybody_known(at, first.network)
        network = first.network if online else NOBODY
        async with Peer.open(
            at.repo, online=online, verify=first.verify, **network.settings()
        ) as peer:
            await _connect_to_any(peer, first.peers)
            await work(peer)

    at.run(with_peer)


async def find(peer: Peer, content: Content) -> CID:
    """Return the CID at a path, which may begin with a name."""
    return await peer.resolve(*await root_and_path(peer, content))


async def root_and_path(peer: Peer, content: Content) -> tuple[CID, str]:
    """Return a CID and a path below it; a name is resolved."""
    root, path = content
    if isinstance(root, str):
        target = (await peer.names.resolve(f"/ipns/{root}/{path}")).path
        root, path = target.cid, target.rest
    return root, path


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
