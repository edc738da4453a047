"""
The standard streams, which may be anything: closed, full, non-blocking, of another encoding.

Python's own `sys.stdout` fails on most of these, or waits where no signal ends it. So the command
writes to the descriptors.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from libp2p.ipfs_lite.descriptors import SharedDescriptor, reason_of, wait_until_ready, write_all
from libp2p.utils.printable import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from libp2p.ipfs_lite.errors import OutputError

PROGRAM: Final = "ipfs-lite"
STDIN, STDOUT, STDERR = 0, 1, 2
#: What names the standard input where a path could stand, and the standard output.
DASH: Final = "-"
STDOUT_NAME: Final = "to the standard output"

#: A line for a person is lost if nobody has taken what came before it for so long.
_PATIENCE: Final = 0.2


def take_closed_numbers() -> None:
    """
    Have the standard streams' numbers taken, if the command was started without them.

    Otherwise the next files that are opened get these numbers, the repo's lock for one, and what is
    printed is written into them. Reading and writing still fail, for each is opened the other way.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == STDIN else os.O_RDONLY)


# -- lines ----------------------------------------------------------------------------------------


async def say(text: str, *, needed: bool = True) -> None:
    """
    Print a line, which whoever started us may be waiting for.

    :param needed: False for what is good to know only: it is left out if the output is closed.
    :raises OutputError: if it cannot be written.
    """
    data = encoded(f"{printable(text)}\n", sys.__stdout__)
    try:
        await SharedDescriptor(STDOUT).use(lambda number: write_all(number, [data]))
    except OSError as error:
        if needed or error.errno != errno.EBADF:
            raise unwritable(error) from error


async def say_json(values: Mapping[str, object], *, needed: bool = True) -> None:
    """Print an object on a line of its own."""
    await say(as_json(values), needed=needed)


def say_now(text: str) -> None:
    """Print texts of the command line itself, outside of any task."""
    try:
        write_all(STDOUT, [encoded(text, sys.__stdout__)])
    except OSError as error:
        raise unwritable(error) from error


def tell(text: str) -> None:
    """Tell the person at the terminal, if they can be told; one line."""
    data = encoded(f"{PROGRAM}: {text}\n", sys.__stderr__)
    try:
        # A pipe that is ready takes a line as a whole, without waiting.
        if wait_until_ready(STDERR, to_write=True, seconds=_PATIENCE):
            os.write(STDERR, data)
    except OSError:
        pass


class Warnings(logging.Handler):
    """Shows what the library warns of."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(f"warning: {one_line(record.getMessage())}")


def unwritable(error: OSError) -> OutputError:
    """Name what could not be written."""
    from libp2p.ipfs_lite.errors import OutputError  # it brings bitswap along

    return OutputError(f"cannot write {STDOUT_NAME}: {reason_of(error)}")


# -- texts ----------------------------------------------------------------------------------------


def encoded(text: str, stream: TextIO | None) -> bytes:
    """Encode as the user's terminal asks; letters that it does not have are written as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace")


def as_json(values: Mapping[str, object]) -> str:
    """Write an object that any terminal can take."""
    return "".join(map(_in_json, json.dumps(values, ensure_ascii=False)))


def _in_json(letter: str) -> str:
    r"""Write it as ``\u001b`` and the like, which readers of JSON take for the letter itself."""
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    if letter.isprintable():
        try:
            letter.encode(encoding)
        except UnicodeEncodeError:
            pass
        else:
            return letter
    return json.dumps(letter)[1:-1]
