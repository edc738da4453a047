"""
From the process to a command and back: exit codes, and one line for each error.

Exit codes: 0 done, 1 it failed, 2 it was asked wrongly.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "ipfs-lite"
DONE, FAILED, MISUSED = 0, 1, 2

#: Set to anything to see where an error came from.
DEBUG_VARIABLE: Final = "IPFS_LITE_DEBUG"


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; all errors have been told then."""
    try:
        import click

        from libp2p.ipfs_lite.cli.commands import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        return _tell("the command line needs more packages: pip install 'libp2p[cli]'", FAILED)
    # What the library logs is not for the terminal: errors are told below. What the repo warns of
    # is: only its owner can mend it.
    logging.getLogger("libp2p").addHandler(logging.NullHandler())
    warnings = logging.StreamHandler()
    warnings.setFormatter(logging.Formatter(f"{PROGRAM}: warning: %(message)s"))
    logging.getLogger("libp2p.ipfs_lite").addHandler(warnings)
    try:
        # Not `cli.main`: it ends the process with 1 where a closed pipe is no failure.
        with cli.make_context(PROGRAM, list(sys.argv[1:] if args is None else args)) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_request:  # --help and --version
        return exit_request.exit_code
    except BaseException as error:  # noqa: BLE001 - task's edge: the process ends here
        return _report(error)
    finally:
        logging.getLogger("libp2p.ipfs_lite").removeHandler(warnings)
    return DONE


def _report(error: BaseException) -> int:
    from libp2p.ipfs_lite.cli.explain import explain
    from libp2p.ipfs_lite.errors import leaves_of

    if DEBUG_VARIABLE in os.environ:
        traceback.print_exception(error)
    leaves = list(leaves_of(error))
    if any(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        # Whoever read our output has seen enough. Python must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    text, misused = explain(leaves)
    return _tell(text, MISUSED if misused else FAILED)


def _tell(text: str, code: int) -> int:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return code
