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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TextIO

from libp2p.ipfs_lite.descriptors import SharedDescriptor, reason_of
from libp2p.utils.printable import one_line, printable
from libp2p.utils.writing import wait_until_ready, write_all

if TYPE_CHECKING:
    from libp2p.ipfs_lite.errors import OutputError

PROGRAM: Final = "ipfs-lite"
STDIN, STDOUT, STDERR = 0, 1, 2
#: Names the standard input, or output, in place of a path.
DASH: Final = "-"
STDIN_NAME: Final = "the standard input"
STDOUT_NAME: Final = "to the standard output"

#: Seconds after which a line for a person is dropped because the terminal is not read.
_PATIENCE: Final = 0.2


def take_closed_numbers() -> None:
    """
    Open the standard streams' numbers, if the command was started without them.

    Otherwise the next files that are opened get these numbers, the repo's lock for one, and what is
    printed is written into them. Reading and writing still fail, for each is opened the other way.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == STDIN else os.O_RDONLY)


# -- output ---------------------------------------------------------------------------------------


async def say(*columns: str, needed: bool = True) -> None:
    """
    Print a line, also if the output is slow to be read; columns have a tab between them.

    :param needed: False for a line that may be lost if the output is closed.
    :raises OutputError: if it cannot be written.
    """
    text = "\t".join(map(printable, columns))
    await write_bytes(encoded(f"{text}\n", sys.__stdout__), needed=needed)


async def write_bytes(data: bytes, *, needed: bool = True) -> None:
    """
    Write bytes to the standard output.

    :param needed: False if they may be lost when the output is closed.
    :raises OutputError: if they cannot be written.
    """
    try:
        await SharedDescriptor(STDOUT).use(lambda number: write_all(number, [data]))
    except OSError as error:
        if needed or error.errno != errno.EBADF:
            raise unwritable(error) from error


async def say_json(values: Mapping[str, object], *, needed: bool = True) -> None:
    """Print an object on a line of its own."""
    await say(as_json(values), needed=needed)


def say_now(text: str) -> None:
    """Print texts such as the help, outside of any task."""
    try:
        write_all(STDOUT, [encoded(text, sys.__stdout__)])
    except OSError as error:
        raise unwritable(error) from error


def tell(text: str) -> None:
    """Print one line to the standard error, if it can be written."""
    data = encoded(f"{PROGRAM}: {text}\n", sys.__stderr__)
    try:
        # A pipe that is ready takes a line as a whole, without waiting.
        if wait_until_ready(STDERR, to_write=True, seconds=_PATIENCE):
            os.write(STDERR, data)
    except OSError:
        pass


class Warnings(logging.Handler):
    """Prints the library's warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(f"warning: {one_line(record.getMessage())}")


def unwritable(error: OSError) -> OutputError:
    """Return the error for an output that cannot be written."""
    from libp2p.ipfs_lite.errors import OutputError  # it loads bitswap's errors

    return OutputError(f"cannot write {STDOUT_NAME}: {reason_of(error)}")


# -- texts ----------------------------------------------------------------------------------------


def encoded(text: str, stream: TextIO | None) -> bytes:
    """Encode for the user's terminal; characters that it does not have become escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace")


def as_json(values: Mapping[str, object]) -> str:
    """Return an object as JSON in characters that the terminal has."""
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
