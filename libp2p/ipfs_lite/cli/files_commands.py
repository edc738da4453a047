"""``files``: the mutable tree. Names, flags and result lines are Kubo's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, with_time_limit
from libp2p.ipfs_lite.cli.parameters import VerbGroup

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At


@click.group(cls=VerbGroup)
def files() -> None:
    """A tree of files that can be changed, as one root CID that is kept in the repo."""


def _with_format(command: Callable[..., None]) -> Callable[..., None]:
    version = click.option("--cid-version", type=click.IntRange(0, 1), help="Of new nodes.")
    hashed = click.option("--hash", metavar="NAME", help="The hash function of new nodes.")
    return version(hashed(command))


_parents = click.option("-p", "--parents", is_flag=True, help="Make directories as needed.")


@files.command("ls")
@click.argument("path", default="/")
@click.option("-l", "--long", "long", is_flag=True, help="Print CIDs and sizes too.")
@as_json_option
@with_time_limit()
def list_files(at: At, path: str, long: bool) -> None:
    """List a directory."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.ls, path, long)


@files.command()
@click.argument("path")
@click.option("-o", "--offset", type=click.IntRange(0), default=0, help="Where to begin.")
@click.option("-n", "--count", type=click.IntRange(0), help="Read no more bytes than this.")
@with_time_limit()
def read(at: At, path: str, offset: int, count: int | None) -> None:
    """Write a file to the standard output."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.read, path, offset, count)


@files.command()
@click.argument("path")
@click.argument("data", default="-", metavar="[DATA | -]")
@click.option("-o", "--offset", type=click.IntRange(0), default=0, help="Where to begin.")
@click.option("-n", "--count", type=click.IntRange(0), help="Take no more bytes than this.")
@click.option("-e", "--create", is_flag=True, help="Make the file if it is not there.")
@click.option("-t", "--truncate", is_flag=True, help="Empty the file first.")
@click.option("--raw-leaves", type=bool, metavar="[=false]", help="New leaves without framing.")
@_parents
@_with_format
@with_time_limit()
def write(at: At, path: str, data: str, **choices: object) -> None:
    """Write the standard input, or the file DATA, into a file."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.write, path, data, choices)


@files.command()
@click.argument("source")
@click.argument("target")
@click.option("--force", is_flag=True, help="Take the place of a file.")
@_parents
@with_time_limit()
def cp(at: At, source: str, target: str, force: bool, parents: bool) -> None:
    """Put SOURCE, a path of the tree or /ipfs/CID[/PATH], at TARGET; nothing is copied."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.cp, source, target, force, parents)


@files.command()
@click.argument("source")
@click.argument("target")
@with_time_limit()
def mv(at: At, source: str, target: str) -> None:
    """Move a file or directory."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.change, lambda tree: tree.mv(source, target))


@files.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-r", "--recursive", is_flag=True, help="Remove directories too.")
@click.option("--force", is_flag=True, help="Whatever it is, and if it is not there.")
@with_time_limit()
def rm(at: At, paths: tuple[str, ...], recursive: bool, force: bool) -> None:
    """Remove files."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.rm, paths, recursive, force)


@files.command()
@click.argument("path")
@_parents
@_with_format
@with_time_limit()
def mkdir(at: At, path: str, parents: bool, cid_version: int | None, hash: str | None) -> None:
    """Make a directory."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(
        mutable.change,
        lambda tree: tree.mkdir(path, parents=parents, cid_version=cid_version, hash=hash),
    )


@files.command()
@click.argument("path", default="/")
@click.option("--format", "layout", metavar="TEXT", help="Such as '<hash> <size> <cumulsize>'.")
@click.option("--hash", "only_hash", is_flag=True, help="Print the CID alone.")
@click.option("--size", "only_size", is_flag=True, help="Print the bytes of all blocks alone.")
@as_json_option
@with_time_limit()
def stat(at: At, path: str, layout: str | None, only_hash: bool, only_size: bool) -> None:
    """Say what is at a path."""
    from libp2p.ipfs_lite.cli import mutable

    if (layout is not None) + only_hash + only_size > 1:
        raise click.UsageError("only one of --format, --hash and --size can be used.")
    chosen = "<hash>" if only_hash else "<cumulsize>" if only_size else layout
    at.run(mutable.stat, path, chosen)


@files.command()
@click.argument("path", default="/")
@as_json_option
@with_time_limit()
def flush(at: At, path: str) -> None:
    """Print the CID of a path; every change is kept at once, so nothing else is to be done."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.flush, path)


@files.command()
@click.argument("path")
@_with_format
@with_time_limit()
def chcid(at: At, path: str, cid_version: int | None, hash: str | None) -> None:
    """Give a directory CIDs of another version or hash function."""
    from libp2p.ipfs_lite.cli import mutable

    if path == "/":
        raise click.UsageError("the root's CIDs are what the repo's profile says.")
    at.run(mutable.change, lambda tree: tree.chcid(path, cid_version=cid_version, hash=hash))


@files.command()
@click.argument("mode")
@click.argument("path")
@with_time_limit()
def chmod(at: At, mode: str, path: str) -> None:
    """Set permissions, such as 0644."""
    from libp2p.ipfs_lite.cli import mutable

    try:
        number = int(mode, 8)
    except ValueError:
        raise click.UsageError(f"{mode} is no octal number.") from None
    at.run(mutable.change, lambda tree: tree.chmod(path, number))


@files.command()
@click.argument("path")
@click.option("--mtime", type=int, help="Seconds since 1970; by default now.")
@click.option("--mtime-nsecs", type=click.IntRange(0, 999_999_999), default=0)
@with_time_limit()
def touch(at: At, path: str, mtime: int | None, mtime_nsecs: int) -> None:
    """Set the time of the last change."""
    from libp2p.ipfs_lite.cli import mutable

    at.run(mutable.touch, path, mtime, mtime_nsecs)


#: Kubo's flag of all these verbs; a change is kept at once, whatever it says.
_flush = click.Option(["-f", "--flush"], is_flag=True, expose_value=False, hidden=True)
for _verb in files.commands.values():
    _verb.params.append(_flush)
