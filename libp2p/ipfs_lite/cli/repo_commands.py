"""``repo``: what the repo holds."""

from __future__ import annotations

import click

from libp2p.ipfs_lite.cli.store_commands import import_blocks


@click.group()
def repo() -> None:
    """Look after the repo and its blocks."""


repo.add_command(import_blocks)
