"""``block``: single blocks of the repo. Names, flags and lines are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, from_peers, with_time_limit
from libp2p.ipfs_lite.cli.parameters import VerbGroup, cids_argument, content_argument

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipld.cid import CID


@click.group(cls=VerbGroup)
def block() -> None:
    """Store, read and remove single blocks."""


@block.command()
@click.argument("paths", nargs=-1, metavar="[PATH... | -]")
@click.option("--cid-codec", metavar="NAME", help="What the block is; by default raw.")
@click.option("--mhtype", default="sha2-256", metavar="NAME", help="The hash function.")
@click.option("--mhlen", type=int, default=-1, metavar="N", help="Cut the hash to N bytes.")
@click.option(
    "--pin", type=bool, default=False, metavar="[=false]", help="Keep them when `repo gc` runs."
)
@click.option("--allow-big-block", is_flag=True, help="Store what cannot be sent to others too.")
@click.option("-f", "--format", "form", metavar="v0|NAME", help="v0 is a CID of version 0.")
@as_json_option
@with_time_limit()
def put(  # noqa: PLR0913 - click calls it by names
    at: At,
    paths: tuple[str, ...],
    *,
    cid_codec: str | None,
    mhtype: str,
    mhlen: int,
    pin: bool,
    allow_big_block: bool,
    form: str | None,
) -> None:
    """Store each file, or the standard input, as one block."""
    from libp2p.ipfs_lite.cli import blocks

    if form is not None and cid_codec is not None:
        raise click.UsageError("--format and --cid-codec say the same: use one of them.")
    version = 0 if form == "v0" else 1
    codec = "dag-pb" if form in ("v0", "protobuf") else form or cid_codec or "raw"
    kind = blocks.BlockKind(codec, version, mhtype, None if mhlen < 0 else mhlen)
    at.run(blocks.put, paths or ("-",), kind, pin=pin, allow_big=allow_big_block)


@block.command()
@content_argument
@from_peers
@with_time_limit()
def get(at: At, content: Content, fetch: FetchChoice) -> None:
    """Write a block to the standard output; what is not here is fetched."""
    from libp2p.ipfs_lite.cli import blocks

    at.run(blocks.get, content, fetch)


@block.command()
@content_argument
@from_peers
@as_json_option
@with_time_limit()
def stat(at: At, content: Content, fetch: FetchChoice) -> None:
    """Print the CID and the bytes of a block; what is not here is fetched."""
    from libp2p.ipfs_lite.cli import blocks

    at.run(blocks.stat, content, fetch)


@block.command()
@cids_argument
@click.option("-f", "--force", is_flag=True, help="Nothing is wrong if a block is not here.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what was not removed.")
@as_json_option
@with_time_limit()
def rm(at: At, cids: tuple[CID, ...], force: bool, quiet: bool) -> None:
    """Remove blocks that no pin needs."""
    from libp2p.ipfs_lite.cli import blocks

    at.run(blocks.remove, cids, force=force, quiet=quiet)
