"""
From the process to a command and back: exit codes, and one line for each error.

Little is imported before `main` sets up signals: until then, an interrupt prints a traceback.

Exit codes: 0 done, 1 failed, 2 wrong usage. Shells report a command that a signal ended as 130
(SIGINT), 143 (SIGTERM), 129 (SIGHUP), or 141 if the reader of the output is gone.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Final, NoReturn

DONE, FAILED, MISUSED = 0, 1, 2

#: Set to anything to see where an error came from.
DEBUG_VARIABLE: Final = "IPFS_LITE_DEBUG"
#: In it a shell's completion script says what it wants.
COMPLETE_VARIABLE: Final = "_IPFS_LITE_COMPLETE"


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process."""
    # Until there is something to clean up, a signal just ends the process. So does SIGINT where a
    # shell has it ignored, in a script's background.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What is imported stays till the end. Looking through it for garbage, while it is loaded (the
    # command's work switches that on) and when the process ends, is a fifth of a short command.
    gc.disable()
    code = run(args)
    gc.freeze()
    if code > MISUSED and os.name == "posix":
        from libp2p.ipfs_lite.cli.ending import BY_SIGNAL, end_by_signal

        end_by_signal(code - BY_SIGNAL)
    sys.exit(code)


def run(args: Sequence[str] | None = None) -> int:
    """Run one command, print its errors, and return its exit code."""
    import logging

    from libp2p.ipfs_lite.cli import terminal

    terminal.take_closed_numbers()
    try:
        import click

        from libp2p.ipfs_lite.cli.commands import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        terminal.tell("the command line needs more packages: pip install 'libp2p[cli]'")
        return FAILED
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, terminal.PROGRAM, COMPLETE_VARIABLE, instruction)
    # The library's log is not printed: errors are printed below. Warnings about the repo and about
    # its first peers are, for only its owner can mend them.
    warnings = terminal.Warnings()
    loggers = [logging.getLogger(name) for name in ("libp2p.ipfs_lite", "libp2p.discovery")]
    for logger in loggers:
        logger.addHandler(warnings)
    code, printed = DONE, io.StringIO()
    try:
        try:
            # Not `cli.main`: it has exit codes and lines of its own.
            with (
                redirect_stdout(printed),
                cli.make_context(
                    terminal.PROGRAM, list(sys.argv[1:] if args is None else args)
                ) as context,
            ):
                cli.invoke(context)
        except click.exceptions.Exit as exit_request:  # --help and --version
            code = exit_request.exit_code
        terminal.say_now(printed.getvalue())
    except BaseException as error:  # noqa: BLE001 - task's edge: the process ends here
        return _report(error)
    finally:
        for logger in loggers:
            logger.removeHandler(warnings)
    return code


def _report(error: BaseException) -> int:
    from libp2p.ipfs_lite.cli.ending import BY_SIGNAL, Interrupted
    from libp2p.ipfs_lite.cli.explain import explain
    from libp2p.ipfs_lite.cli.terminal import tell
    from libp2p.ipfs_lite.errors import OutputError, leaves_of

    if DEBUG_VARIABLE in os.environ:
        import traceback

        traceback.print_exception(error)
    leaves = list(leaves_of(error))
    for leaf in leaves:
        if isinstance(leaf, OutputError) and isinstance(leaf.__cause__, BrokenPipeError):
            # The reader of the output has closed it.
            return BY_SIGNAL + getattr(signal, "SIGPIPE", 13)
    text, misused = explain(leaves)
    tell(text)
    for leaf in leaves:
        if isinstance(leaf, Interrupted):
            return BY_SIGNAL + leaf.number
    return MISUSED if misused else FAILED
