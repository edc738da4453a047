"""The command ``ipfs-lite`` as a process among others: its streams, its end, and what it leaves."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import click

from libp2p.ipfs_lite.cli.commands import cli
from tests.support.fair_time import waited_seconds

ROOT = Path(__file__).parents[2]

#: Whoever waits longer than this for a command of a test has found one that hangs.
PATIENCE = 20.0
#: A process that has used no processor for so long is waiting for something.
_REST = 0.25


def verbs() -> dict[str, click.Command]:
    """Return the command's verbs by name, groups among them."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


@dataclass
class Surroundings:
    """What a command finds: a file or number for each standard stream, variables, and so on."""

    stdin: int | IO[bytes] | None = subprocess.DEVNULL
    stdout: int | IO[bytes] | None = subprocess.PIPE
    stderr: int | IO[bytes] | None = subprocess.PIPE
    variables: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    """Called in the new process."""
    close_fds: bool = True


class Running:
    """A command that was started."""

    def __init__(
        self, args: Sequence[str | bytes | os.PathLike[str]], around: Surroundings
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling takes longer than the command
        environment |= around.variables
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "libp2p.ipfs_lite", *args],
            stdin=around.stdin,
            stdout=around.stdout,
            stderr=around.stderr,
            env=environment,
            close_fds=around.close_fds,
            preexec_fn=around.before,
        )
        self._waited = 0.0
        self._exit = os.pidfd_open(self.process.pid)

    @property
    def pid(self) -> int:
        return self.process.pid

    def rest(self) -> None:
        """Wait until the process waits for something, or has ended."""
        used, since = -1.0, time.monotonic()
        while self._ends_within(0.02) is False and time.monotonic() - self.began < PATIENCE:
            now, is_asleep = self._used()
            if now != used or not is_asleep:
                used, since = now, time.monotonic()
            elif used > 0.05 and time.monotonic() - since > _REST:
                return

    def signal(self, number: int) -> None:
        self.began = time.monotonic()
        self._waited = waited_seconds(self.pid)
        self.process.send_signal(number)

    def end(self) -> float:
        """
        Wait for the end; return how long it took from the signal, or else from the start.

        What the machine did meanwhile for others does not count.
        """
        assert self._ends_within(PATIENCE), "it hangs"
        seconds = time.monotonic() - self.began
        return seconds - min(waited_seconds(self.pid) - self._waited, seconds)

    def read(self) -> Ended:
        """Wait for the end, and give all that it has written."""
        out, errors = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out or b"", errors or b"")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._exit)

    def _ends_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._exit, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _used(self) -> tuple[float, bool]:
        """Give the processor time of all its threads, and whether the first of them sleeps."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK"), fields[0] == "S"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    errors: bytes

    def assert_polite(self) -> None:
        """Check that it said nothing, or one line for people."""
        text = self.errors.decode("utf-8")
        assert text.count("\n") == (1 if text else 0), text
        assert not text or text.startswith("ipfs-lite: "), text
        assert text.removesuffix("\n").isprintable(), repr(text)
        assert "Traceback" not in text
        assert "internal error" not in text


def full_pipe() -> tuple[int, int]:
    """Make a pipe that takes no more byte; its ends, for reading and for writing."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for piece in (bytes(4096), b"\0"):
        try:
            while os.write(writing, piece):
                pass
        except BlockingIOError:
            pass
    os.set_blocking(writing, True)
    return reading, writing


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Give what is below a folder: the names, and size and time of change of what is a file."""
    found: dict[str, tuple[int, int]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[os.fsencode(path.relative_to(folder)).decode("latin-1")] = (
            (status.st_size, status.st_mtime_ns) if path.is_file() else (0, 0)
        )
    return found
