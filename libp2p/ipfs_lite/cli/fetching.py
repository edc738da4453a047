"""``get`` and ``cat``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.exceptions import BaseLibp2pError, NotAFile
from libp2p.ipfs_lite.cli.company import is_anybody_known
from libp2p.ipfs_lite.cli.options import NOBODY
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import DASH, STDOUT, STDOUT_NAME, tell, write_bytes
from libp2p.ipfs_lite.descriptors import SharedDescriptor, descriptor_of
from libp2p.ipfs_lite.errors import OfflineError, OutputError
from libp2p.ipfs_lite.links import save_link, target_of, unixfs_in
from libp2p.ipfs_lite.output import errors_named, in_thread, save, stream
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.block import Block
from libp2p.ipld.file_node import Kind, kind_of
from libp2p.utils.printable import one_line, printable
from libp2p.utils.writing import write_all

if TYPE_CHECKING:
    from libp2p.ipfs_lite.archive import Packing
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.cid import CID
    from libp2p.ipld.unixfs import UnixFSData
    from libp2p.peer.peerinfo import PeerInfo

_READ_BYTES: Final = 1024 * 1024


class _Place(NamedTuple):
    """Where `get` writes."""

    target: Path
    descriptor: SharedDescriptor | None
    """What is open already, and written as the bytes come."""
    for_link: Path
    """Where a link is made: it takes the place of a link, also of one that leads to a folder."""


def get(
    at: At,
    content: Content,
    fetch: FetchChoice,
    output: str | None,
    *,
    packing: Packing | None,
    nocopy: bool,
) -> None:
    name = content.name
    target = Path(name if output is None else output)
    # Now, while a number that the caller has not opened is not one of this program's own files.
    descriptor = _inherited(STDOUT if output == DASH else descriptor_of(target), target)
    link = target if target.is_symlink() else None
    if descriptor is None and target.is_dir():
        target /= name
    if descriptor is None and packing is not None:
        target = target.with_name(packing.file_name(target.name))
    if nocopy and (packing is not None or descriptor is not None):
        raise OutputError("--nocopy writes files, to a place where they stay")
    place = _Place(target, descriptor, link or target)
    at.run(_get, content, fetch, place, packing=packing, nocopy=nocopy)


async def _get(
    at: At,
    content: Content,
    fetch: FetchChoice,
    place: _Place,
    *,
    packing: Packing | None,
    nocopy: bool,
) -> None:
    target, descriptor = place.target, place.descriptor
    async with fetching_peer(at, fetch, content) as peer:
        cid = await find(peer, content)
        if packing is not None:
            size = await _save_archive(peer, cid, content.name, packing, target, descriptor)
        elif descriptor is not None:
            size = await _stream_file(peer, cid, target, descriptor)
        elif (kind := await _kind_of(peer, cid)) in (Kind.DIRECTORY, Kind.HAMT):
            await in_thread(target, _make_folders_above, target)
            with Bar("fetching", printable(target.name)) as bar:
                saved = await peer.get_tree(cid, target, nocopy=nocopy, progress=bar.update)
                size = saved.size
        elif kind is Kind.SYMLINK:
            link = await _link_at(peer, cid)
            target = place.for_link
            await save_link(link, target)
            size = len(target_of(link))
        else:
            with Bar("fetching", printable(target.name)) as bar:
                size = await peer.save_file(cid, target, nocopy=nocopy, progress=bar.update)
        if descriptor is None or not is_stdout(descriptor):
            lines = [f"saved {content} to {target}"] if descriptor is None else []
            result = {"cid": str(cid), "path": str(target), "size": size}
            await at.say(result, *lines, needed=False)


async def _kind_of(peer: Peer, cid: CID) -> Kind:
    return kind_of(Block(cid, await peer.get_block(cid)))


def _make_folders_above(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)


async def _link_at(peer: Peer, cid: CID) -> UnixFSData | None:
    return unixfs_in(cid, await peer.get_block(cid))


async def _open(peer: Peer, cid: CID) -> UnixFSReader | bytes:
    """Open a file; of a symbolic link, return where it leads."""
    try:
        return await peer.get_file(cid)
    except NotAFile as error:
        if error.kind != Kind.SYMLINK:
            raise
        return target_of(await _link_at(peer, cid))


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


async def _stream_file(peer: Peer, cid: CID, target: Path, descriptor: SharedDescriptor) -> int:
    opened = await _open(peer, cid)
    if isinstance(opened, bytes):
        with errors_named(target):
            await descriptor.use(partial(write_all, buffers=[opened]))
        return len(opened)
    async with opened as reader:
        with Bar("fetching", printable(target.name), reader.size) as bar:
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


async def cat(
    at: At, contents: Sequence[Content], fetch: FetchChoice, offset: int, length: int | None
) -> None:
    """Write files one after the other, as if they were one: from a place in it, so many bytes."""
    output = SharedDescriptor(STDOUT)
    async with fetching_peer(at, fetch, *contents) as peer:
        for content in contents:
            if length == 0:
                break
            opened = await _open(peer, await find(peer, content))
            if isinstance(opened, bytes):
                data = opened[offset:][:length]
                offset = max(offset - len(opened), 0)
                length = None if length is None else length - len(data)
                await write_bytes(data)
                continue
            async with opened as reader:
                skipped = min(offset, reader.size)
                offset -= skipped
                reader.seek(skipped)
                if length is None:
                    await stream(reader, output, STDOUT_NAME)
                    continue
                size = min(length, reader.size - skipped)
                await write_part(reader, size)
                length -= size


async def write_part(reader: UnixFSReader, size: int) -> None:
    """Write the next bytes of a file to the standard output, fewer only at its end."""
    while size and (data := await reader.read(min(size, _READ_BYTES))):
        await write_bytes(data)
        size -= len(data)


@asynccontextmanager
async def fetching_peer(at: At, fetch: FetchChoice, *contents: Content) -> AsyncIterator[Peer]:
    """Open a peer that can fetch; it has a network if there is anybody to ask."""
    # DNS or others have to be asked for a name.
    is_named = any(isinstance(content.root, str) for content in contents)
    online = not fetch.network.offline and (
        is_named or bool(fetch.peers) or await is_anybody_known(at, fetch.network)
    )
    network = fetch.network if online else NOBODY
    async with Peer.open(at.repo, online=online, verify=fetch.verify, **network.settings()) as peer:
        await _connect_to_any(peer, fetch.peers)
        yield peer


async def find(peer: Peer, content: Content) -> CID:
    """Return the CID at a path, which may begin with a name."""
    return await peer.resolve(*await root_and_path(peer, content))


async def root_and_path(peer: Peer, content: Content) -> tuple[CID, str]:
    """Return a CID and a path below it; a name is resolved."""
    root, path = content
    if isinstance(root, str):
        if not peer.online:
            raise OfflineError(f"others have to be asked for {root}: leave out --offline")
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
