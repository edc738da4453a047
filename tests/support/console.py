"""Types what a page shows into a console, and compares what is printed with what the page says."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pages import Command

SERVERS = ("ipfs-lite serve", "ipfs-lite -v serve", "--mode provider", "uvicorn ")
"""Commands that run until they are ended."""
SECONDS = 300
_VARIES = re.compile(r"…|/ip4/[\d.]+/tcp/\d+|\d{4,}")
"""What differs from run to run: what is left out, addresses, and large numbers."""


class Console:
    """A person at a terminal, who copies what was printed where the page leaves it out."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._servers: list[subprocess.Popen[str]] = []
        self._learned: dict[str, str] = {}

    def run(self, command: Command, folder: Path) -> None:
        """
        Run a command in a folder; a server goes on when it has said what the page shows.

        :raises AssertionError: if it fails, or prints something else.
        """
        line = self._filled_in(command.line)
        environment = {**self._environment, "HOME": str(folder / "home")}
        process = subprocess.Popen(
            ["bash", "-c", line if _serves(line) is None else f"exec {line}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if _serves(line):
            self._servers.append(process)
            self._read(process, command.output or ["running on"])
            return
        printed, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, f"$ {line}\n{printed}"
        expected = list(command.output)
        for told in printed.splitlines():
            if expected and self._is_like(expected[0], told):
                del expected[0]
        assert not expected, f"$ {line}\n{printed}\nwithout {expected}"

    def _read(self, process: subprocess.Popen[str], expected: list[str]) -> None:
        assert process.stdout is not None
        printed: list[str] = []
        expected = list(expected)
        while expected:
            told = process.stdout.readline()
            assert told, f"it ended: {printed}, without {expected}"
            printed.append(told)
            if self._is_like(expected[0], told.rstrip()):
                del expected[0]

    def _is_like(self, shown: str, told: str) -> bool:
        """Compare a line with what was printed, and remember what stands for each ``…``."""
        words = shown.split()
        patterns = [_pattern(word) for word in words]
        found = re.search(r"\s+".join(f"({pattern})" for pattern in patterns), told)
        if found is None:
            return False
        for word, value in zip(words, found.groups(), strict=True):
            if _VARIES.search(word):
                self._learned[_pattern(word)] = value.replace("0.0.0.0", "127.0.0.1")
        return True

    def _filled_in(self, line: str) -> str:
        """Put in what was learned; ports are free ones."""
        line, _, _ = line.partition("  #")
        line = line.replace("--port 8000", "--port 0")
        words = [self._learned.get(_pattern(word), word) for word in line.split(" ")]
        filled = " ".join(words).strip()
        return filled.replace("/tcp/4001", "/tcp/0") if _serves(filled) else filled

    def end(self) -> None:
        """End the servers."""
        for process in self._servers:
            process.terminate()
        for process in self._servers:
            process.communicate(timeout=SECONDS)


def _serves(line: str) -> bool | None:
    return any(server in line for server in SERVERS) or None


def _pattern(word: str) -> str:
    """Turn a word of a page into a pattern for what may stand there."""
    pieces = [re.escape(piece) for piece in _VARIES.split(word)]
    kinds = [r"\S*" if found == "…" else r"[\w./]+" for found in _VARIES.findall(word)]
    return "".join(a + b for a, b in zip(pieces, [*kinds, ""], strict=True))
