"""Texts of errors for the person at the terminal: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import click
import trio

from libp2p.bitswap.errors import BlockTimeoutError, BlockUnavailableError, DamagedBlockError
from libp2p.exceptions import (
    BaseLibp2pError,
    HashNotSupported,
    InvalidImportOptions,
    NotAFile,
)
from libp2p.ipfs_lite.cli.ending import INTERRUPTED, LATE
from libp2p.utils.printable import one_line

_MISUSE = (click.UsageError, InvalidImportOptions, HashNotSupported)


def explain(leaves: Sequence[BaseException]) -> tuple[str, bool]:
    """Return one short line that says what went wrong, and whether it was wrong usage."""
    # Of several errors the first of the library's own says most.
    error = next((leaf for leaf in leaves if isinstance(leaf, BaseLibp2pError)), leaves[0])
    return one_line(" ".join(_text_of(error).split())), isinstance(error, _MISUSE)


def _text_of(error: BaseException) -> str:
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx is not None else "ipfs-lite"
            return f"{error.format_message()} Try '{command} --help'."
        case click.ClickException():
            return error.format_message()
        case click.Abort() | KeyboardInterrupt():
            return INTERRUPTED
        case NotAFile():
            return f"{error}; `get` writes folders, and `ls` lists them"
        case BlockTimeoutError():
            return f"{error}; try a longer --timeout or another --peer"
        case DamagedBlockError():
            return f"{error}; add the file again, or name a peer that has it with --peer"
        case BlockUnavailableError() if not error.peers:
            return f"{error}: name a peer that has it with --peer, or who knows others: --bootstrap"
        case BlockUnavailableError():
            return f"{error}; try another --peer"
        case BaseLibp2pError():
            return str(error)
        case trio.TooSlowError():
            return LATE
        case MemoryError():
            return "out of memory"
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or error}"
        case RuntimeError() if "start new thread" in str(error):
            return "the system allows this user no more threads"
    return f"internal error, please report it: {type(error).__name__}: {error}"
