"""``dag``: nodes of DAGs, and whole DAGs as CAR files. Names, flags and lines are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, from_peers, with_time_limit
from libp2p.ipfs_lite.cli.parameters import VerbGroup, content_argument, contents_argument

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content

_progress = click.option("-p", "--progress", is_flag=True, help="A terminal always shows it.")


@click.group(cls=VerbGroup)
def dag() -> None:
    """Nodes of DAGs: write, read, measure; CAR files of all that is below a root."""


@dag.command()
@click.argument("paths", nargs=-1, metavar="PATH... | -")
@click.option("--store-codec", default="dag-cbor", help="The block's; dag-cbor.")
@click.option("--input-codec", default="dag-json", help="What PATH is in; dag-json.")
@click.option("--hash", "hash_name", default="sha2-256", metavar="NAME", help="sha2-256.")
@click.option("--pin", is_flag=True, help="Keep it when `repo gc` runs.")
@as_json_option
@with_time_limit()
def put(
    at: At,
    paths: tuple[str, ...],
    *,
    store_codec: str,
    input_codec: str,
    hash_name: str,
    pin: bool,
) -> None:
    """Store nodes, each in a file; - (or nothing) is the standard input."""
    from libp2p.ipfs_lite.cli import nodes

    at.run(
        nodes.put,
        paths,
        input_codec=input_codec,
        store_codec=store_codec,
        hash_name=hash_name,
        pin=pin,
    )


@dag.command()
@content_argument
@click.option("--output-codec", default="dag-json", help="What to print it in; dag-json.")
@from_peers
@with_time_limit()
def get(at: At, content: Content, output_codec: str, fetch: FetchChoice) -> None:
    """Print a node, or what is at a path in it: through maps, lists, folders and links."""
    from libp2p.ipfs_lite.cli import nodes

    at.run(nodes.get, content, fetch, output_codec)


@dag.command()
@content_argument
@from_peers
@as_json_option
@with_time_limit()
def resolve(at: At, content: Content, fetch: FetchChoice) -> None:
    """Print the CID of the block that a path leads to, and the path inside of it."""
    from libp2p.ipfs_lite.cli import nodes

    at.run(nodes.resolve, content, fetch)


@dag.command()
@contents_argument
@_progress
@from_peers
@as_json_option
@with_time_limit()
def stat(at: At, contents: tuple[Content, ...], progress: bool, fetch: FetchChoice) -> None:
    """Count the blocks of DAGs and their bytes; each block counts once."""
    from libp2p.ipfs_lite.cli import nodes

    at.run(nodes.stat, contents, fetch)


@dag.command()
@content_argument
@click.option("-o", "--output", metavar="OUT", help="By default the standard output.")
@click.option("--local-only", is_flag=True, help="Leave out what is not here; ask nobody.")
@click.option("--car-version", "version", type=click.Choice(["1", "2"]), default="1")
@click.option(
    "--dag-scope",
    "scope",
    type=click.Choice(["all", "entity", "block"]),
    default="all",
    help="All below; the blocks of one file or of a folder's listing; or the block alone.",
)
@click.option("--entity-bytes", metavar="FROM:TO", help="With entity: these bytes of a file.")
@click.option("--duplicates", is_flag=True, help="Write a block as often as it is linked to.")
@_progress
@from_peers
@with_time_limit()
def export(  # noqa: PLR0913 - click calls it by names
    at: At,
    content: Content,
    *,
    output: str | None,
    local_only: bool,
    version: str,
    scope: str,
    entity_bytes: str | None,
    duplicates: bool,
    progress: bool,
    fetch: FetchChoice,
) -> None:
    """
    Write a CAR file with a root and all below it; the same DAG gives the same file.

    Version 2 has an index of its blocks.
    """
    from libp2p.ipfs_lite.cli import cars

    knobs: cars.CarKnobs = {
        "version": int(version),
        "scope": scope,
        "entity_bytes": entity_bytes,
        "duplicates": duplicates,
        "local_only": local_only,
    }
    at.run(cars.export, content, fetch, output, knobs)


@dag.command("import")
@click.argument("paths", nargs=-1, metavar="PATH... | -")
@click.option(
    "--pin-roots", type=bool, default=True, metavar="[=false]", help="Keep what is below roots."
)
@click.option("--local-only", is_flag=True, help="Roots need not be whole; nothing is pinned.")
@click.option("--stats", is_flag=True, help="Print how many blocks there were.")
@click.option("--silent", is_flag=True, help="Print nothing.")
@as_json_option
@with_time_limit()
def import_cars(
    at: At,
    paths: tuple[str, ...],
    *,
    pin_roots: bool,
    local_only: bool,
    stats: bool,
    silent: bool,
) -> None:
    """Store the blocks of CAR files and pin their roots; - (or nothing) is the standard input."""
    from libp2p.ipfs_lite.cli import cars

    pin = pin_roots and not local_only
    at.run(cars.import_cars, paths, pin=pin, stats=stats, silent=silent)
