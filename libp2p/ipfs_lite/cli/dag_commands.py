"""``dag``: whole DAGs as CAR files. Names are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, from_peers, with_time_limit
from libp2p.ipfs_lite.cli.parameters import ContentArgument

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.peer.peerinfo import PeerInfo


@click.group()
def dag() -> None:
    """Write roots with all below them into CAR files, and read such files."""


@dag.command()
@click.argument("content", type=ContentArgument(), metavar="CID[/PATH]")
@click.option("-o", "--output", metavar="OUT", help="By default the standard output.")
@from_peers
@with_time_limit()
def export(
    at: At,
    content: Content,
    output: str | None,
    peers: tuple[PeerInfo, ...],
    verify: bool,
    network: NetworkChoice,
) -> None:
    """Write a CAR file with a root and all below it; the same DAG gives the same file."""
    from libp2p.ipfs_lite.cli import cars, fetching

    cars.export(at, fetching.Fetch(content, peers, verify, network), output)


@dag.command("import")
@click.argument("paths", nargs=-1, metavar="PATH... | -")
@as_json_option
@with_time_limit()
def import_cars(at: At, paths: tuple[str, ...], as_json: bool) -> None:
    """Store the blocks of CAR files; - (or nothing) is the standard input."""
    from libp2p.ipfs_lite.cli import cars

    cars.import_cars(at, paths, as_json)
