"""``dag export`` and ``dag import``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from libp2p.bitswap.errors import BitswapError
from libp2p.exceptions import ParseError, UnknownCodec, first_few
from libp2p.ipfs_lite.car_files import CarKnobs
from libp2p.ipfs_lite.cli.fetching import fetching_peer, find
from libp2p.ipfs_lite.cli.inputs import source_of
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import DASH, STDIN_NAME, STDOUT, STDOUT_NAME, say, say_json
from libp2p.ipfs_lite.descriptors import SharedDescriptor
from libp2p.ipfs_lite.errors import UnhealthyError
from libp2p.ipfs_lite.output import save, stream
from libp2p.ipfs_lite.peer import Peer
from libp2p.utils.printable import one_line, printable

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipld.cid import CID

__all__ = ["CarKnobs", "export", "import_cars"]


async def export(
    at: At, content: Content, fetch: FetchChoice, output: str | None, knobs: CarKnobs
) -> None:
    async with fetching_peer(at, fetch, content) as peer:
        cid = await find(peer, content)
        file = peer.open_car(cid, **knobs)
        try:
            with Bar("exporting", str(cid)) as bar:
                if output is None or output == DASH:
                    await stream(file, SharedDescriptor(STDOUT), STDOUT_NAME, bar.update)
                else:
                    await save(file, output, bar.update)
        finally:
            file.close()


async def import_cars(
    at: At, paths: Sequence[str], *, pin: bool, stats: bool, silent: bool
) -> None:
    roots: dict[CID, None] = {}
    blocks = size = 0
    async with Peer.open(at.repo, online=False) as peer:
        with peer.lease():  # the roots are pinned when all files are here
            for path in paths or [DASH]:
                with Bar("importing", printable(STDIN_NAME if path == DASH else path)) as bar:
                    result = await peer.import_car(source_of(path), pin=False, progress=bar.update)
                roots.update(dict.fromkeys(result.roots))
                blocks += result.blocks
                size += result.size
            failed = await _pin(at, peer, roots if pin else (), silent)
    if stats and not silent:
        line = f"Imported {blocks} blocks ({size} bytes)"
        await at.say({"blocks": blocks, "size": size}, line)
    if failed:
        raise UnhealthyError(first_few(failed))


async def _pin(at: At, peer: Peer, roots: Iterable[CID], silent: bool) -> list[str]:
    """Pin roots that are whole, and say so; return what is wrong with the others."""
    failed = []
    for root in roots:
        error = ""
        try:
            await peer.pins.add(root)
        except (BitswapError, ParseError, UnknownCodec) as reason:
            error = one_line(str(reason))
            failed.append(f'pinning root "{root}" FAILED: {error}')
        if silent:
            continue
        if at.as_json:
            await say_json({"cid": str(root), "pinned": not error, "error": error})
        elif not error:
            await say("Pinned root", str(root), "success")
    return failed
