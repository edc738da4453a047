"""``dag export`` and ``dag import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.ipfs_lite.cli.fetching import run_fetch
from libp2p.ipfs_lite.cli.progress import Bar
from libp2p.ipfs_lite.cli.terminal import DASH, STDIN, STDOUT, STDOUT_NAME, say, say_json
from libp2p.ipfs_lite.descriptors import SharedDescriptor
from libp2p.ipfs_lite.output import save, stream
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.source import FileSource
from libp2p.utils.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.fetching import Fetch
    from libp2p.ipld.cid import CID


def export(at: At, fetch: Fetch, output: str | None) -> None:
    async def work(peer: Peer, cid: CID) -> None:
        file = peer.open_car(cid)
        try:
            with Bar("exporting", str(cid)) as bar:
                if output is None or output == DASH:
                    await stream(file, SharedDescriptor(STDOUT), STDOUT_NAME, bar.update)
                else:
                    await save(file, output, bar.update)
        finally:
            file.close()

    run_fetch(at, fetch, work)


def import_cars(at: At, paths: Sequence[str], as_json: bool) -> None:
    async def work() -> None:
        async with Peer.open(at.repo, online=False) as peer:
            for path in paths or [DASH]:
                name = "the standard input" if path == DASH else path
                source = FileSource(STDIN, name) if path == DASH else path
                with Bar("importing", printable(name)) as bar:
                    result = await peer.import_car(source, progress=bar.update)
                for root in result.roots:
                    if as_json:
                        imported = {
                            "cid": str(root),
                            "blocks": result.blocks,
                            "size": result.size,
                        }
                        await say_json(imported)
                    else:
                        await say(f"imported {root}")

    at.run(work)
