"""Write a man page for each verb of ipfs-lite: ``python -m docs.man_pages FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click_man.core import write_man_pages

from libp2p.ipfs_lite.cli.commands import cli
from libp2p.utils.version import __version__


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        cli.add_command(command, name)  # click-man looks only at what is loaded
    write_man_pages("ipfs-lite", cli, version=__version__, target_dir=str(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
