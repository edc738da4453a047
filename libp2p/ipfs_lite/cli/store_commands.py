"""``repo import``, which copies the blocks of another store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, with_time_limit

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At


@click.command("import")
@click.argument("place", metavar="PLACE")
@as_json_option
@with_time_limit("Stop after this time; call again to go on from there.")
def import_blocks(at: At, place: str) -> None:
    """
    Copy the blocks of another store.

    PLACE is a repo of Kubo or of ipfs-lite, a folder of blocks, a database of blocks, or a URL such
    as s3://bucket/prefix. Nothing is written there. Blocks that are here already are not copied,
    each that is copied is verified. Nothing is pinned.
    """
    from libp2p.ipfs_lite.cli import importing

    at.run(importing.import_blocks, place)
