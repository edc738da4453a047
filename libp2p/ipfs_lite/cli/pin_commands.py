"""``pin``: what stays in the repo. Names, flags and lines are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, from_peers, with_time_limit
from libp2p.ipfs_lite.cli.parameters import (
    ContentArgument,
    Duration,
    VerbGroup,
    contents_argument,
)

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content

_recursive = click.option(
    "-r", "--recursive", type=bool, default=True, metavar="[=false]", help="With all below."
)


@click.group(cls=VerbGroup)
def pin() -> None:
    """Say what stays in the repo when `repo gc` removes the rest."""


@pin.command()
@contents_argument
@_recursive
@click.option("-n", "--name", default="", help="Name of the pin.")
@click.option("--expire-in", type=Duration(), help="Let it count for this time: 90s, 24h.")
@click.option("--progress", is_flag=True, help="Show progress; a terminal always does.")
@from_peers
@as_json_option
@with_time_limit()
def add(
    at: At,
    contents: tuple[Content, ...],
    *,
    recursive: bool,
    name: str,
    expire_in: float | None,
    progress: bool,
    fetch: FetchChoice,
) -> None:
    """Pin content; what is not here is fetched first."""
    from libp2p.ipfs_lite.cli import pinning

    at.run(pinning.add, contents, fetch, recursive=recursive, name=name, expire_in=expire_in)


@pin.command()
@contents_argument
@_recursive
@as_json_option
@with_time_limit()
def rm(at: At, contents: tuple[Content, ...], recursive: bool) -> None:
    """Unpin content; its blocks go with the next `repo gc`."""
    from libp2p.ipfs_lite.cli import pinning

    at.run(pinning.remove, contents, recursive)


@pin.command("ls")
@click.argument("contents", nargs=-1, type=ContentArgument(), metavar="[CID[/PATH]]...")
@click.option("-t", "--type", "kind", default="all", help="direct, indirect, recursive or all.")
@click.option("-q", "--quiet", is_flag=True, help="CIDs alone.")
@click.option("-n", "--name", default="", help="Pins whose names contain this; shows names.")
@click.option("--names", is_flag=True, help="Show names.")
@click.option("-s", "--stream", is_flag=True, help="It always prints pins as they are found.")
@as_json_option
@with_time_limit()
def list_pins(
    at: At,
    contents: tuple[Content, ...],
    *,
    kind: str,
    quiet: bool,
    name: str,
    names: bool,
    stream: bool,
) -> None:
    """List what is pinned, or say why content is."""
    from libp2p.ipfs_lite.cli import pinning

    if kind not in ("direct", "indirect", "recursive", "all"):
        raise click.UsageError(
            f"invalid type '{kind}', must be one of {{direct, indirect, recursive, all}}"
        )
    shown = pinning.Shown(quiet, names or bool(name))
    at.run(pinning.list_pins, contents, kind, name, shown)


@pin.command()
@click.argument("start", type=ContentArgument(), metavar="FROM")
@click.argument("target", type=ContentArgument(), metavar="TO")
@click.option("--unpin", type=bool, default=True, metavar="[=false]", help="Unpin FROM.")
@from_peers
@as_json_option
@with_time_limit()
def update(at: At, start: Content, target: Content, *, unpin: bool, fetch: FetchChoice) -> None:
    """Pin TO in place of FROM; only blocks that differ are fetched."""
    from libp2p.ipfs_lite.cli import pinning

    at.run(pinning.update, start, target, fetch, unpin)


@pin.command()
@click.option("--verbose", is_flag=True, help="Print pins that are whole too.")
@click.option("-q", "--quiet", is_flag=True, help="CIDs of broken pins alone.")
@as_json_option
@with_time_limit()
def verify(at: At, verbose: bool, quiet: bool) -> None:
    """Find recursive pins of which blocks are missing; it fails if there are any."""
    from libp2p.ipfs_lite.cli import pinning

    if verbose and quiet:
        raise click.UsageError("the --verbose and --quiet options can not be used at the same time")
    at.run(pinning.verify, verbose, quiet)
