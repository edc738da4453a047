"""`ipfs-lite`, our own command, run as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .child import Child, ChildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOOPBACK = "/ip4/127.0.0.1/tcp/0"

_ROOT = Path(__file__).resolve().parents[2]
_RUNNER = Path(__file__).with_name("lite_runner.py")


class LiteError(Exception):
    """An `ipfs-lite` command failed; the text has the command and what it said."""


@dataclass(frozen=True)
class Measured:
    """What a command printed, and the most memory that it had."""

    text: str
    peak_rss: int


class LiteServer(Child):
    """
    `ipfs-lite serve`, from the lines with its addresses until it is stopped or killed.

    There is a line for each address listened on; ``lines`` of them where one is all interfaces.
    ``flags`` are further ones of ``serve``.
    """

    def __init__(
        self,
        command: Sequence[str],
        listen: Sequence[str],
        lines: int | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        where = [text for addr in listen for text in ("--listen", addr)]
        super().__init__([*command, "serve", *where, *flags], env=_environment())
        self.addrs: list[str] = []
        try:
            self.addrs += [self.line() for _ in range(lines or len(listen))]
        except ChildError:
            self.kill()
            raise

    @property
    def addr(self) -> str:
        """Its first full multiaddr."""
        return self.addrs[0]


class Lite:
    """
    One repo of ours, and the commands on it. The repo is made by the first that needs it.

    ``prefix`` is a command that runs them, such as one that enters a namespace.
    """

    def __init__(self, repo: Path, *, prefix: Sequence[str] = ()) -> None:
        self.repo = repo
        self._prefix = list(prefix)

    @property
    def blocks(self) -> Path:
        """The folder of the repo's blocks."""
        return self.repo / "blocks"

    @property
    def _flags(self) -> list[str]:
        return ["--repo", str(self.repo)]

    @property
    def command(self) -> list[str]:
        """What a verb is put behind."""
        return [*self._prefix, sys.executable, "-m", "libp2p.ipfs_lite", *self._flags]

    def run(
        self,
        *args: str | os.PathLike[str],
        input: bytes | None = None,
        timeout: float | None = 300.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `ipfs-lite ARGS`; `LiteError` when it fails, unless `check` is off.

        `subprocess.TimeoutExpired` when it takes longer than `timeout` seconds.
        """
        return _run([*self.command, *args], input, timeout, check)

    def text(self, *args: str | os.PathLike[str], input: bytes | None = None) -> str:
        """Run `ipfs-lite ARGS` and return its output as text, without the last newline."""
        return self.run(*args, input=input).stdout.decode().rstrip("\n")

    def measured(self, *args: str | os.PathLike[str], timeout: float | None = 300.0) -> Measured:
        """Run `ipfs-lite ARGS` and measure its peak memory too (Linux only)."""
        with tempfile.TemporaryDirectory(prefix="ipfs-lite-") as folder:
            report = Path(folder) / "peak"
            command = [sys.executable, str(_RUNNER), str(report), *self._flags, *args]
            done = _run(command, None, timeout, True)
            return Measured(done.stdout.decode().rstrip("\n"), int(report.read_text()))

    def start(self, *args: str | os.PathLike[str]) -> Child:
        """Start `ipfs-lite ARGS` and leave it running, to be killed or talked to."""
        return Child([*self.command, *args], env=_environment())

    def add(self, path: str | os.PathLike[str], *flags: str) -> str:
        """`ipfs-lite add -Q FLAGS PATH`: the root CID."""
        return self.text("add", "-Q", *flags, path)

    def add_bytes(self, data: bytes, *flags: str) -> str:
        """`ipfs-lite add -Q FLAGS -` of standard input: the root CID."""
        return self.text("add", "-Q", *flags, "-", input=data)

    def get(self, cid: str, output: str | os.PathLike[str], *flags: str) -> None:
        """`ipfs-lite get FLAGS -o OUTPUT CID`."""
        self.run("get", *flags, "-o", output, cid)

    def cat(self, cid: str, *flags: str) -> bytes:
        """`ipfs-lite cat FLAGS CID`: the bytes."""
        return self.run("cat", *flags, cid).stdout

    @contextmanager
    def serve(self, *listen: str) -> Iterator[LiteServer]:
        """Serve the repo's blocks for the length of the block, on loopback or on `listen`."""
        with LiteServer(self.command, listen or [LOOPBACK]) as server:
            yield server


def _environment() -> dict[str, str]:
    """Let the command import this source tree, whatever is installed and wherever it runs."""
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(_ROOT), *([inherited] if inherited else [])])}


def _run(
    command: Sequence[str | os.PathLike[str]],
    input: bytes | None,
    timeout: float | None,
    check: bool,
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        command,
        input=b"" if input is None else input,
        capture_output=True,
        env={**os.environ, **_environment()},
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        words = " ".join(os.fspath(arg) for arg in command[3:])
        said = done.stderr.decode("utf-8", "replace").strip()
        raise LiteError(f"ipfs-lite {words}: exit code {done.returncode}: {said}")
    return done
