"""What the verbs of ``block`` do and print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libp2p.blockstore.files import MAX_BLOCK_FILE_BYTES
from libp2p.ipfs_lite.cli.fetching import fetching_peer, find
from libp2p.ipfs_lite.cli.inputs import read_small
from libp2p.ipfs_lite.cli.terminal import tell, write_bytes
from libp2p.ipfs_lite.errors import NotFoundError, NotPinnedError, PinError, SourceError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.block import MAX_BLOCK_BYTES, Block
from libp2p.ipld.cid import cid_maker
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipld.cid import CID


@dataclass(frozen=True, slots=True)
class BlockKind:
    """How the CID of a new block is made."""

    codec: str
    version: int
    hash: str
    length: int | None


async def put(at: At, paths: Sequence[str], kind: BlockKind, *, pin: bool, allow_big: bool) -> None:
    make = cid_maker(kind.codec, kind.version, kind.hash, kind.length)
    async with Peer.open(at.repo, online=False) as peer:
        for path in paths:
            data = await read_small(path, MAX_BLOCK_FILE_BYTES, "block")
            if len(data) > MAX_BLOCK_BYTES and not allow_big:
                raise SourceError(
                    f"{path} has more than {MAX_BLOCK_BYTES} B, so no peer would take it: "
                    "`add` cuts it, --allow-big-block stores it all the same"
                )
            cid = make(data)
            with peer.lease([cid]):
                await peer.store.put_blocks([Block(cid, data)])
                if pin:
                    await peer.pins.add(cid)
            await at.say({"cid": str(cid), "size": len(data)}, str(cid))


async def get(at: At, content: Content, fetch: FetchChoice) -> None:
    async with fetching_peer(at, fetch, content) as peer:
        await write_bytes(await peer.get_block(await find(peer, content)))


async def stat(at: At, content: Content, fetch: FetchChoice) -> None:
    async with fetching_peer(at, fetch, content) as peer:
        cid = await find(peer, content)
        size = len(await peer.get_block(cid))
        await at.say({"cid": str(cid), "size": size}, f"Key: {cid}", f"Size: {size}")


async def remove(at: At, cids: Sequence[CID], *, force: bool, quiet: bool) -> None:
    failed = 0
    async with Peer.open(at.repo, online=False) as peer:
        for cid in cids:
            try:
                if not await peer.remove_block(cid) and not force:
                    raise NotFoundError("it is not here")
            except (NotFoundError, PinError) as error:
                failed += 1
                tell(f"cannot remove {cid}: {one_line(str(error))}")
                continue
            await at.say({"cid": str(cid)}, *([] if quiet else [f"removed {cid}"]))
    if failed:
        raise NotPinnedError(f"{failed} of {len(cids)} blocks were not removed")
