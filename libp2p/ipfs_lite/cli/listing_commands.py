"""``ls`` and ``refs``: what folders and blocks link to. Names are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from libp2p.ipfs_lite.cli.options import as_json_option, from_peers, with_time_limit
from libp2p.ipfs_lite.cli.parameters import ContentArgument, FlagOrValue, contents_argument

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice
    from libp2p.ipfs_lite.cli.parameters import Content


@click.command(cls=FlagOrValue)
@contents_argument
@click.option("-v", "--headers", is_flag=True, help="Print what the columns are.")
@click.option(
    "--resolve-type", type=bool, default=True, metavar="[=false]", help="Mark folders with a /."
)
@click.option("--size", type=bool, default=True, metavar="[=false]", help="Print bytes of files.")
@click.option(
    "-s", "--stream", is_flag=True, help="As Kubo's; entries always come as they are read."
)
@from_peers
@as_json_option
@with_time_limit()
def ls(
    at: At,
    contents: tuple[Content, ...],
    *,
    headers: bool,
    resolve_type: bool,
    size: bool,
    stream: bool,
    fetch: FetchChoice,
) -> None:
    """
    List folders: CIDs, bytes of files, names; a folder's name ends with a /.

    With --size=false --resolve-type=false no block of an entry is read.
    """
    from libp2p.ipfs_lite.cli import listing

    at.run(listing.ls, contents, fetch, listing.ListStyle(headers, resolve_type, size))


#: What stands for all blocks of the repo, in place of a CID.
LOCAL: Final = "local"


class _ContentOrLocal(click.ParamType["Content | str"]):
    """A CID or path, or ``local``."""

    name = "cid"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Content | str:
        return LOCAL if value == LOCAL else ContentArgument().convert(value, param, ctx)


@click.command(cls=FlagOrValue)
@click.argument(
    "contents", nargs=-1, required=True, type=_ContentOrLocal(), metavar="[CID[/PATH]... | local]"
)
@click.option("-r", "--recursive", is_flag=True, help="Those of all blocks below too.")
@click.option("-u", "--unique", is_flag=True, help="Each block once.")
@click.option("-e", "--edges", is_flag=True, help="Print <from> -> <to>.")
@click.option(
    "--format",
    "line",
    default="<dst>",
    metavar="TEXT",
    help="What to print: <src>, <dst> and <linkname> are replaced.",
)
@click.option(
    "--max-depth", type=int, default=-1, metavar="N", help="With -r: so many levels below."
)
@from_peers
@as_json_option
@with_time_limit()
def refs(  # noqa: PLR0913 - click calls it by names
    at: At,
    contents: tuple[Content | str, ...],
    *,
    recursive: bool,
    unique: bool,
    edges: bool,
    line: str,
    max_depth: int,
    fetch: FetchChoice,
) -> None:
    """Print the CIDs that blocks link to; with `local` those of all blocks of the repo."""
    from libp2p.ipfs_lite.cli import listing, repo_keeping

    roots = [content for content in contents if not isinstance(content, str)]
    if len(roots) < len(contents):
        if len(contents) > 1:
            raise click.UsageError("local stands for all blocks, and alone.")
        return at.run(repo_keeping.list_blocks)
    if edges and line != "<dst>":
        raise click.UsageError("--edges has a format of its own.")
    depth = None if max_depth < 0 else max_depth
    shown = "<src> -> <dst>" if edges else line
    style = listing.RefsStyle(shown, depth if recursive else 1, unique)
    at.run(listing.refs, roots, fetch, style)
