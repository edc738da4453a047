"""
The verbs and their flags; Kubo's where Kubo has them.

Only what is needed to read a command line is imported here: ``--help`` is immediate.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from libp2p.ipfs_lite.cli.parameters import (
    CidArgument,
    Duration,
    FlagOrValue,
    ListenAddress,
    PeerAddress,
)
from libp2p.ipld.profile_names import PROFILE_NAMES
from libp2p.utils.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipld.cid import CID
    from libp2p.ipld.profiles import ImportKnobs
    from libp2p.peer.peerinfo import PeerInfo

_as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON, one object a line.")
_profile = click.option(
    "--profile", type=click.Choice(PROFILE_NAMES), help="A named set of import options."
)


def _log(ctx: click.Context, _: click.Parameter, verbosity: int) -> None:
    if verbosity:
        from libp2p.ipfs_lite.cli.log import log_to_stderr

        ctx.with_resource(log_to_stderr(verbosity))


def _at(
    timeout_help: str = "Give up after this time: seconds, or 90s, or 2m.",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the option ``--timeout`` to a command; its first argument becomes an `At`."""

    def with_timeout(command: Callable[..., None]) -> Callable[..., None]:
        @click.option("--timeout", type=Duration(), help=timeout_help)
        @click.pass_obj
        @functools.wraps(command)
        def run(repo: Path | None, /, timeout: float | None, **options: object) -> None:
            from libp2p.ipfs_lite.cli.at import At

            command(At(repo, timeout), **options)

        return run

    return with_timeout


def _from_peers(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a fetch to a command."""
    peers = click.option(
        "--peer", "peers", multiple=True, type=PeerAddress(), help="Ask this peer; repeatable."
    )
    verify = click.option(
        "--verify/--no-verify", default=True, help="Find blocks that the disk has damaged."
    )
    return peers(verify(command))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
@_profile
@click.option(
    "--listen", multiple=True, type=ListenAddress(), metavar="MULTIADDR", help="For `serve`."
)
@click.option("--sync", is_flag=True, help="Flush each block to the disk: safe at a power loss.")
@_as_json
@_at()
def init(
    at: At,
    profile: str | None,
    listen: tuple[Multiaddr, ...],
    sync: bool,
    as_json: bool,
) -> None:
    """Make the repo with options of your choice; any first use makes it with the defaults."""
    from libp2p.ipfs_lite.cli import identity

    config = identity.config_of(profile, [str(address) for address in listen], sync)
    identity.init(at, config, as_json)


@cli.command("id")
@_as_json
@_at()
def show_id(at: At, as_json: bool) -> None:
    """Print the peer id; with --json also the public key and the settings."""
    from libp2p.ipfs_lite.cli import identity

    identity.show_id(at, as_json)


@cli.command(cls=FlagOrValue)
@click.argument("paths", nargs=-1, required=True, metavar="PATH... | -")
@click.option("-Q", "--quieter", is_flag=True, help="Print the CID alone.")
@click.option("-n", "--only-hash", is_flag=True, help="Find out the CID, store nothing.")
@click.option("-s", "--chunker", metavar="size-N", help="Cut into chunks of N bytes.")
@click.option("--cid-version", type=click.IntRange(0, 1))
@click.option("--raw-leaves", type=bool, metavar="[=false]", help="Leaves without UnixFS framing.")
@click.option("--hash", metavar="NAME", help="The hash function, such as sha2-256.")
@click.option("--max-file-links", type=int, metavar="N", help="Links in a node of the file.")
@click.option("--allow-empty", is_flag=True, help="Take a pipe that gives nothing for a file.")
@_profile
@_as_json
@_at()
def add(
    at: At,
    paths: tuple[str, ...],
    quieter: bool,
    only_hash: bool,
    allow_empty: bool,
    profile: str | None,
    as_json: bool,
    **choices: Unpack[ImportKnobs],
) -> None:
    """Add files; - is the standard input."""
    from libp2p.ipfs_lite.cli import adding

    request = adding.AddRequest(paths, profile, choices, only_hash, allow_empty)
    adding.add(at, request, adding.add_style(quieter, as_json))


@cli.command()
@click.argument("cid", type=CidArgument())
@click.option("-o", "--output", metavar="OUT", help="By default the CID; - is the standard output.")
@_from_peers
@_as_json
@_at()
def get(
    at: At,
    cid: CID,
    output: str | None,
    peers: tuple[PeerInfo, ...],
    verify: bool,
    as_json: bool,
) -> None:
    """Fetch a file and write it to OUT, which appears when it is whole."""
    from libp2p.ipfs_lite.cli import fetching

    fetching.get(at, fetching.Fetch(cid, peers, verify), output, as_json)


@cli.command()
@click.argument("cid", type=CidArgument())
@_from_peers
@_at()
def cat(at: At, cid: CID, peers: tuple[PeerInfo, ...], verify: bool) -> None:
    """Fetch a file and write it to the standard output."""
    from libp2p.ipfs_lite.cli import fetching

    fetching.cat(at, fetching.Fetch(cid, peers, verify))


@cli.command()
@click.option(
    "--listen",
    multiple=True,
    type=ListenAddress(),
    metavar="MULTIADDR",
    help="Where to listen; repeatable. By default what `init` was told.",
)
@_as_json
@_at("Stop after this time; it is no failure.")
def serve(at: At, listen: tuple[Multiaddr, ...], as_json: bool) -> None:
    """Serve the repo's blocks to other peers until SIGINT or SIGTERM."""
    from libp2p.ipfs_lite.cli import serving

    serving.serve(at, listen, as_json)
