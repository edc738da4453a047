"""Tables on the standard output: by rich on a terminal, else columns that programs can cut."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence

from libp2p.ipfs_lite.cli.terminal import STDOUT, say
from libp2p.utils.printable import printable


async def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print rows under their heads.

    Off a terminal each row is one line, with columns as wide as their longest text.
    """
    clean = [[printable(text) for text in row] for row in rows]
    text = _on_a_terminal(head, clean) if os.isatty(STDOUT) else None
    for line in (_in_columns([list(head), *clean]) if text is None else text).splitlines():
        await say(line)


def _in_columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _on_a_terminal(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    try:
        from rich.box import SIMPLE
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ModuleNotFoundError:
        return None
    table = Table(*head, box=SIMPLE)
    for row in rows:
        table.add_row(*map(escape, row))
    written = io.StringIO()
    width = shutil.get_terminal_size().columns
    Console(file=written, width=width, highlight=False).print(table)
    return written.getvalue()
