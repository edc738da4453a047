"""``ls`` and ``refs``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libp2p.ipfs_lite.cli.fetching import fetching_peer, find
from libp2p.ipfs_lite.cli.terminal import say
from libp2p.ipld import dag_pb
from libp2p.ipld.block import Block
from libp2p.ipld.file_node import Kind, kind_of, read_file_node, unixfs_of
from libp2p.utils.printable import printable

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipfs_lite.peer import Peer
    from libp2p.ipld.cid import CID
    from libp2p.ipld.directory import DirectoryEntry

#: Entries whose blocks are asked for at once.
ENTRIES_AHEAD: Final = 32

_FOLDERS: Final = (Kind.DIRECTORY, Kind.HAMT)


@dataclass(frozen=True, slots=True)
class ListStyle:
    """How a listing is printed."""

    headers: bool
    types: bool
    sizes: bool

    @property
    def needs_blocks(self) -> bool:
        """Tell whether the first block of each entry has to be read."""
        return self.types or self.sizes


@dataclass(frozen=True, slots=True)
class RefsStyle:
    """Which links are printed, and how; see `Peer.refs`."""

    line: str
    max_depth: int | None
    unique: bool


async def ls(at: At, contents: Sequence[Content], fetch: FetchChoice, style: ListStyle) -> None:
    async with fetching_peer(at, fetch, *contents) as peer:
        for number, content in enumerate(contents):
            if len(contents) > 1 and not at.as_json:
                if number:
                    await say("")
                await say(f"{content}:")
            if style.headers and not at.as_json:
                await say("Hash Size Name" if style.sizes else "Hash Name")
            await _list(at, peer, await find(peer, content), style)


async def _list(at: At, peer: Peer, cid: CID, style: ListStyle) -> None:
    batch: list[DirectoryEntry] = []
    async with aclosing(peer.ls(cid)) as entries:
        async for entry in entries:
            batch.append(entry)
            if len(batch) == ENTRIES_AHEAD:
                await _print(at, peer, batch, style)
                batch.clear()
    await _print(at, peer, batch, style)


async def _print(at: At, peer: Peer, entries: Sequence[DirectoryEntry], style: ListStyle) -> None:
    blocks: dict[CID, bytes] = {}
    if style.needs_blocks and entries:
        cids = list(dict.fromkeys(entry.cid for entry in entries))
        blocks = dict(zip(cids, await peer.get_blocks(cids), strict=True))
    for entry in entries:
        kind, size = None, None
        if entry.cid in blocks:
            kind, size = _kind_and_size(entry.cid, blocks[entry.cid])
        listed: dict[str, object] = {
            "cid": str(entry.cid), "name": entry.name, "dag_size": entry.dag_size,
        }  # fmt: skip
        if kind is not None:
            listed |= {"type": str(kind), "size": size}
        is_folder = kind in _FOLDERS
        size_text = f"{'-' if is_folder else size} " if style.sizes else ""
        name = f"{printable(entry.name)}{'/' if is_folder else ''}"
        await at.say(listed, f"{entry.cid} {size_text}{name}")


def _kind_and_size(cid: CID, block: bytes) -> tuple[Kind, int]:
    """Return what an entry is, and how many bytes as a file or as a link's target."""
    kind = kind_of(Block(cid, block))
    if kind is Kind.SYMLINK:
        message = unixfs_of(dag_pb.decode(block))
        return kind, len((message and message.data) or b"")
    is_file = kind in (Kind.FILE, Kind.RAW)
    return kind, read_file_node(cid, block).size if is_file else 0


async def refs(at: At, contents: Sequence[Content], fetch: FetchChoice, style: RefsStyle) -> None:
    async with fetching_peer(at, fetch, *contents) as peer:
        for content in contents:
            await _refs(at, peer, await find(peer, content), style)


async def _refs(at: At, peer: Peer, cid: CID, style: RefsStyle) -> None:
    async with aclosing(peer.refs(cid, max_depth=style.max_depth, unique=style.unique)) as found:
        async for ref in found:
            source, target = str(ref.source), str(ref.target)
            line = style.line.replace("<src>", source).replace("<dst>", target)
            line = line.replace("<linkname>", printable(ref.name))
            await at.say({"source": source, "target": target, "name": ref.name}, line)
