"""What the verbs of ``block`` do and print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libp2p.blockstore.files import MAX_BLOCK_FILE_BYTES
from libp2p.ipfs_lite.cli.fetching import run_fetch
from libp2p.ipfs_lite.cli.small_files import read_small, write_bytes
from libp2p.ipfs_lite.cli.terminal import say, say_json, tell
from libp2p.ipfs_lite.errors import NotFoundError, NotPinnedError, PinError, SourceError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.block import MAX_BLOCK_BYTES, Block
from libp2p.ipld.cid import cid_maker
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.fetching import Fetch
    from libp2p.ipld.cid import CID


@dataclass(frozen=True, slots=True)
class BlockKind:
    """How the CID of a new block is made."""

    codec: str
    version: int
    hash: str
    length: int | None


@dataclass(frozen=True, slots=True)
class Put:
    """What else the options of ``block put`` say."""

    pin: bool
    allow_big: bool
    as_json: bool


def put(at: At, paths: Sequence[str], kind: BlockKind, choice: Put) -> None:
    async def work() -> None:
        make = cid_maker(kind.codec, kind.version, kind.hash, kind.length)
        async with Peer.open(at.repo, online=False) as peer:
            for path in paths:
                data = await read_small(path, MAX_BLOCK_FILE_BYTES, "block")
                if len(data) > MAX_BLOCK_BYTES and not choice.allow_big:
                    raise SourceError(
                        f"{path} has more than {MAX_BLOCK_BYTES} B, so no peer would take it: "
                        "`add` cuts it, --allow-big-block stores it all the same"
                    )
                cid = make(data)
                with peer.lease([cid]):
                    await peer.store.put_blocks([Block(cid, data)])
                    if choice.pin:
                        await peer.pins.add(cid)
                if choice.as_json:
                    await say_json({"cid": str(cid), "size": len(data)})
                else:
                    await say(str(cid))

    at.run(work)


def get(at: At, fetch: Fetch) -> None:
    async def work(peer: Peer, cid: CID) -> None:
        await write_bytes(await peer.get_block(cid))

    run_fetch(at, fetch, work)


def stat(at: At, fetch: Fetch, as_json: bool) -> None:
    async def work(peer: Peer, cid: CID) -> None:
        size = len(await peer.get_block(cid))
        if as_json:
            await say_json({"cid": str(cid), "size": size})
        else:
            await say(f"Key: {cid}")
            await say(f"Size: {size}")

    run_fetch(at, fetch, work)


def remove(at: At, cids: Sequence[CID], *, force: bool, quiet: bool, as_json: bool) -> None:
    async def work() -> None:
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
                if as_json:
                    await say_json({"cid": str(cid)})
                elif not quiet:
                    await say(f"removed {cid}")
        if failed:
            raise NotPinnedError(f"{failed} of {len(cids)} blocks were not removed")

    at.run(work)
