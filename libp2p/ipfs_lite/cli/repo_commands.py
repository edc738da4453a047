"""``repo``: what the repo holds, and what may go. Names, flags and lines are Kubo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from libp2p.ipfs_lite.cli.options import as_json_option, with_time_limit
from libp2p.ipfs_lite.cli.parameters import VerbGroup
from libp2p.ipfs_lite.cli.store_commands import import_blocks

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At

_quiet = click.option("-q", "--quiet", is_flag=True, help="Print less.")


@click.group(cls=VerbGroup)
def repo() -> None:
    """Look after the repo and its blocks."""


@repo.command()
@_quiet
@click.option("--silent", is_flag=True, help="Print nothing.")
@as_json_option
@with_time_limit("Stop after this time; what was removed until then is gone.")
def gc(at: At, quiet: bool, silent: bool) -> None:
    """Remove the blocks that no pin and no running command needs."""
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.collect, quiet, silent)


@repo.command()
@click.option("-s", "--size-only", is_flag=True, help="Only the size.")
@click.option("-H", "--human", is_flag=True, help="Sizes such as 10 GB.")
@as_json_option
@with_time_limit()
def stat(at: At, size_only: bool, human: bool) -> None:
    """Count blocks and bytes, without reading them."""
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.stat, size_only, human)


@repo.command()
@as_json_option
@with_time_limit()
def verify(at: At) -> None:
    """Read and hash all blocks; name the damaged ones, which are set aside."""
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.verify)


@repo.command("ls")
@as_json_option
@with_time_limit()
def list_blocks(at: At) -> None:
    """List all blocks."""
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.list_blocks)


@repo.command()
@_quiet
@as_json_option
@with_time_limit()
def version(at: At, quiet: bool) -> None:
    """Print the version of the repo's layout."""
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.version, quiet)


@repo.command()
@with_time_limit()
def migrate(at: At) -> None:
    """Bring the repo to this program's version; any use of it does that too."""
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.migrate)


repo.add_command(import_blocks)


@repo.command()
@with_time_limit()
def reset(at: At) -> None:
    """
    Set the pins and the files aside and begin with none; all blocks stay until `repo gc`.

    It is for a state that is damaged and of which there is no copy.
    """
    from libp2p.ipfs_lite.cli import repo_keeping

    at.run(repo_keeping.reset)
