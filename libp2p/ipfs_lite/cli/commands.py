"""
The verbs and their flags; Kubo's where Kubo has them.

Only what is needed to read a command line is imported here: ``--help`` is immediate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import click

from libp2p.ipfs_lite.cli.lazy_group import LazyGroup
from libp2p.ipfs_lite.cli.options import (
    as_json_option,
    from_peers,
    networked,
    peering_option,
    profile_option,
    progress_option,
    set_offline,
    with_folders,
    with_time_limit,
)
from libp2p.ipfs_lite.cli.parameters import (
    BootstrapAddress,
    Duration,
    ListenAddress,
    RouterUrl,
    content_argument,
    contents_argument,
)
from libp2p.ipfs_lite.config import DHT_MODES, PROVIDE_STRATEGIES
from libp2p.ipld.profile_names import TRICKLE
from libp2p.utils.version import __version__

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import FetchChoice, FolderChoice, NetworkChoice
    from libp2p.ipfs_lite.cli.parameters import Content
    from libp2p.ipld.profiles import ImportKnobs


def _log(ctx: click.Context, _: click.Parameter, verbosity: int) -> None:
    if verbosity:
        from libp2p.ipfs_lite.cli.log import log_to_stderr

        ctx.with_resource(log_to_stderr(verbosity))


_ROOM: Final = "libp2p.ipfs_lite.cli."
#: Verbs of which each has a file for its flags.
_ELSEWHERE: Final = {
    "bitswap": "running_commands:bitswap",
    "block": "block_commands:block",
    "completion": "settings_commands:completion",
    "config": "settings_commands:config",
    "dag": "dag_commands:dag",
    "dht": "routing_commands:dht",
    "doctor": "routing_commands:doctor",
    "files": "files_commands:files",
    "key": "naming_commands:key",
    "ls": "listing_commands:ls",
    "name": "naming_commands:name",
    "pin": "pin_commands:pin",
    "provide": "routing_commands:provide",
    "refs": "listing_commands:refs",
    "repo": "repo_commands:repo",
    "routing": "routing_commands:routing",
    "swarm": "running_commands:swarm",
    "version": "settings_commands:version",
}


@click.group(
    cls=LazyGroup,
    places={name: _ROOM + place for name, place in _ELSEWHERE.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ipfs-lite")
@click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_log,
    help="Log to the standard error; -vv logs the protocols too.",
)
@click.option(
    "--offline", is_flag=True, expose_value=False, callback=set_offline, help="Ask nobody."
)
@click.option(
    "--repo",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The repo's folder, else $IPFS_LITE_PATH, else one in the user's data folder.",
)
@click.pass_context
def cli(ctx: click.Context, repo: Path | None) -> None:
    """Add, fetch and serve IPFS files, without a daemon."""
    ctx.obj = repo


@cli.command()
@profile_option
@click.option(
    "--listen", multiple=True, type=ListenAddress(), metavar="MULTIADDR", help="For `serve`."
)
@click.option("--sync", is_flag=True, help="Flush each block to the disk: safe at a power loss.")
@click.option(
    "--bootstrap",
    multiple=True,
    type=BootstrapAddress(),
    help="A peer by which others are found; repeatable.",
)
@click.option("--dht", type=click.Choice(DHT_MODES), help="The part in the DHT.")
@click.option(
    "--router", "routers", multiple=True, type=RouterUrl(), help="Ask this router; repeatable."
)
@click.option(
    "--blocks", metavar="flatfs|sqlite|lmdb|URL", help="Where blocks are kept; by default flatfs."
)
@peering_option
@click.option("--provide", type=click.Choice(PROVIDE_STRATEGIES), help="What `serve` announces.")
@click.option("--provide-interval", type=Duration(), help="How often; by default 22h.")
@as_json_option
@with_time_limit()
def init(at: At, **settings: object) -> None:
    """Make the repo with options of your choice; any first use makes it with the defaults."""
    from libp2p.ipfs_lite.cli import identity

    at.run(identity.init, identity.config_of(settings))


@cli.command("id")
@as_json_option
@with_time_limit()
def show_id(at: At) -> None:
    """Print the peer id; with --json also the public key and the settings."""
    from libp2p.ipfs_lite.cli import identity

    at.run(identity.show_id)


@cli.command()
@click.argument("paths", nargs=-1, metavar="[PATH... | -]")
@click.option("-n", "--only-hash", is_flag=True, help="Find out the CID, store nothing.")
@click.option(
    "-s", "--chunker", metavar="NAME", help="size-N, rabin, rabin-MIN-AVERAGE-MAX or buzhash."
)
@click.option(
    "-t", "--trickle", "layout", flag_value=TRICKLE, help="A file's first bytes near its root."
)
@click.option("--inline", is_flag=True, help="Put small blocks into their CIDs.")
@click.option(
    "--inline-limit",
    "inline_bytes",
    type=click.IntRange(0, 128),
    default=32,
    help="How small, in bytes; 32.",
)
@click.option("--cid-version", type=click.IntRange(0, 1))
@click.option("--raw-leaves", type=bool, metavar="[=false]", help="Leaves without UnixFS framing.")
@click.option("--hash", metavar="NAME", help="The hash function, such as sha2-256.")
@click.option("--max-file-links", type=int, metavar="N", help="Links in a node of the file.")
@click.option(
    "--max-directory-links", type=int, metavar="N", help="Larger folders are spread over shards."
)
@click.option(
    "--max-hamt-fanout", "hamt_fanout", type=int, metavar="N", help="Links in a shard of a folder."
)
@click.option("--nocopy", is_flag=True, help="Keep no copy: say where the files' pieces are.")
@click.option("--to-files", metavar="PATH", help="Put them into the tree of `files` too.")
@click.option("--stdin-name", default="", metavar="NAME", help="Name of the standard input.")
@click.option("--allow-empty", is_flag=True, help="Take a pipe that gives nothing for a file.")
@click.option("--provide", is_flag=True, help="Announce the files before the command ends.")
@click.option(
    "--pin", type=bool, default=True, metavar="[=false]", help="Keep them when `repo gc` runs."
)
@click.option("--pin-name", metavar="NAME", help="Name of the pin.")
@progress_option
@with_folders
@networked
@profile_option
@as_json_option
@with_time_limit()
def add(  # noqa: PLR0913 - click calls it by names
    at: At,
    paths: tuple[str, ...],
    *,
    only_hash: bool,
    nocopy: bool,
    allow_empty: bool,
    provide: bool,
    inline: bool,
    inline_bytes: int,
    pin: bool,
    pin_name: str | None,
    to_files: str | None,
    stdin_name: str,
    folders: FolderChoice,
    network: NetworkChoice,
    profile: str | None,
    **choices: Unpack[ImportKnobs],
) -> None:
    """Add files, and folders with -r; - (or nothing) is the standard input."""
    from libp2p.ipfs_lite.cli import adding
    from libp2p.ipfs_lite.cli.terminal import DASH

    if provide and only_hash:
        raise click.UsageError("--only-hash stores nothing that --provide could announce.")
    if provide:
        network.require_others()
    if to_files is not None and only_hash:
        raise click.UsageError("--only-hash stores nothing that --to-files could refer to.")
    if to_files is not None and folders.wrap:
        raise click.UsageError("--to-files has no place for the folder of --wrap-with-directory.")
    if pin_name is not None and not pin:
        raise click.UsageError("--pin-name needs a pin.")
    if inline:
        choices["inline_limit"] = inline_bytes
    request = adding.AddRequest(
        adding.distinct(paths) or (DASH,),
        profile,
        choices,
        only_hash,
        allow_empty,
        folders,
        pin,
        pin_name or "",
        network if provide else None,
        nocopy,
        to_files,
        stdin_name,
    )
    adding.add(at, request)


@cli.command()
@content_argument
@click.option(
    "-o", "--output", metavar="OUT", help="By default the name; - is the standard output."
)
@click.option("-a", "--archive", is_flag=True, help="Write a tar archive.")
@click.option("-C", "--compress", is_flag=True, help="Compress with gzip: a file, or an archive.")
@click.option(
    "-l", "--compression-level", "level", type=click.IntRange(1, 9), default=6, help="By default 6."
)
@click.option("--nocopy", is_flag=True, help="Write to OUT alone, which serves it then.")
@progress_option
@from_peers
@as_json_option
@with_time_limit()
def get(  # noqa: PLR0913 - click calls it by names
    at: At,
    content: Content,
    *,
    output: str | None,
    archive: bool,
    compress: bool,
    level: int,
    nocopy: bool,
    fetch: FetchChoice,
) -> None:
    """Fetch a file or folder and write it to OUT, which appears when it is whole."""
    from libp2p.ipfs_lite.cli import fetching

    packing = None
    if archive or compress:
        from libp2p.ipfs_lite.archive import Packing

        packing = Packing(archive, level if compress else None)
    fetching.get(at, content, fetch, output, packing=packing, nocopy=nocopy)


@cli.command()
@contents_argument
@click.option(
    "-o", "--offset", type=click.IntRange(0), default=0, metavar="N", help="Leave out N bytes."
)
@click.option("-l", "--length", type=click.IntRange(0), metavar="N", help="Write N bytes at most.")
@progress_option
@from_peers
@with_time_limit()
def cat(
    at: At, contents: tuple[Content, ...], offset: int, length: int | None, fetch: FetchChoice
) -> None:
    """Fetch files and write them to the standard output, one after the other."""
    from libp2p.ipfs_lite.cli import fetching

    at.run(fetching.cat, contents, fetch, offset, length)


@cli.command()
@click.option(
    "--listen",
    multiple=True,
    type=ListenAddress(),
    metavar="MULTIADDR",
    help="Where to listen; repeatable. By default what `init` was told.",
)
@click.option(
    "--routing-api",
    metavar="HOST:PORT",
    help="Tell others, over HTTP (/routing/v1), what this peer has and its routers know.",
)
@peering_option
@networked
@as_json_option
@with_time_limit("Stop after this time; it is no failure.")
def serve(
    at: At,
    listen: tuple[Multiaddr, ...],
    routing_api: str | None,
    peering: tuple[str, ...],
    network: NetworkChoice,
) -> None:
    """
    Serve the repo's blocks to other peers until SIGINT or SIGTERM.

    What the repo has is announced, so that they find it.
    """
    from libp2p.ipfs_lite.cli import serving

    network.require_others()
    serving.serve(at, network, listen=listen, routing_api=routing_api, peering=peering)
