"""
Each page is followed to the letter, in an environment that has only what the pages install.

One environment for all pages, in one test: making it takes most of the time. The programs of the
pages run there as well, with the library as it was installed and not as it lies here.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.console import Console
from tests.support.pages import PAGES, ROOT, Command, blocks_of

INPUTS = {"holiday.mp4": 3_000_000, "FILE": 100_000}
"""Files that a page takes for granted, by size."""
NOT_COPIED = shutil.ignore_patterns(".*", "_build", "__pycache__", "*.egg-info", "interop", "fuzz")


class FreshEnvironment:
    """A virtual environment with nothing in it, and a checkout to install from."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        shutil.copytree(ROOT, self.checkout, ignore=NOT_COPIED)
        venv.create(folder / "venv", with_pip=False)
        self._installed: set[str] = set()
        self.programs = folder / "venv" / "bin"
        self.python = self.programs / "python"
        # A pip of its own would take four seconds.
        pip = self.programs / "pip"
        pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip --python "{self.python}" "$@"\n')
        pip.chmod(0o755)
        keep = ("XDG_CACHE_HOME", "PIP_CACHE_DIR", "PIP_INDEX_URL", "SSL_CERT_FILE", "LANG")
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        self.variables = {
            "XDG_CACHE_HOME": cache,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **{name: os.environ[name] for name in keep if name in os.environ},
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONUNBUFFERED": "1",
        }

    def machine(self, folder: Path) -> Path:
        """Make the folder that somebody works in: what is not installed lies there."""
        folder.mkdir(parents=True)
        (folder / "examples").symlink_to(self.checkout / "examples")
        for name, size in INPUTS.items():
            (folder / name).write_bytes(random.Random(size).randbytes(size))
        return folder

    def follow(self, page: Path, folder: Path) -> None:
        """Type all that a page shows."""
        console = Console(self.variables)
        here, there = (self.machine(folder / name) for name in ("here", "there"))
        try:
            for block in blocks_of(page):
                if block.kind == "console" and not block.mark.startswith("not run"):
                    place = there if block.mark == "on another machine" else here
                    for command in block.commands():
                        if not command.line.startswith("pip install"):
                            console.run(command, place)
                        elif command.line.partition("  #")[0] not in self._installed:
                            self._installed.add(command.line.partition("  #")[0])
                            console.run(command, self.checkout)
                elif block.mark.startswith("output of "):
                    program = block.mark.removeprefix("output of ")
                    console.run(Command(f"python {program}", block.text.splitlines()), here)
        finally:
            console.end()

    def run_tests(self, *names: str) -> None:
        """Run tests here that show the pages' programs, with the installed library."""
        shutil.rmtree(self.checkout / "libp2p")
        (self.checkout / "tests" / "conftest.py").unlink()  # it is about tools of the project
        pip = [str(self.programs / "pip"), "install", "-q", "pytest", "pytest-trio"]
        subprocess.run([*pip, "prometheus-client"], check=True, env=self.variables)
        command = [str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-c", "/dev/null"]
        options = ["trio_mode=true", "pythonpath=.", "markers=slow"]
        command += [word for option in options for word in ("-o", option)]
        command += ["--rootdir=.", "--import-mode=importlib", *names]
        done = subprocess.run(
            command, cwd=self.checkout, env=self.variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_page_is_followed_to_the_letter(tmp_path: Path) -> None:
    fresh = FreshEnvironment(tmp_path)
    # The README first: it says how to install.
    for page in PAGES:
        fresh.follow(page, tmp_path / page.stem)
    fresh.run_tests(
        "tests/integration/test_docs_bitswap.py",
        "tests/integration/test_examples.py",
        "tests/integration/test_asyncio_examples.py",
    )


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("echo one", ["two"]),
        ("echo one; exit 3", ["one"]),
        ("printf 'b\\na\\n'", ["a", "b"]),
        ("echo size 123", ["size 124"]),
        ("no-such-command", []),
    ],
)
def test_a_console_notices_what_is_not_as_the_page_says(
    line: str, output: list[str], tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        Console(dict(os.environ)).run(Command(line, output), tmp_path)


def test_a_console_copies_what_the_page_leaves_out(tmp_path: Path) -> None:
    console = Console(dict(os.environ))
    told = "/ip4/10.1.2.3/tcp/45678/p2p/12D3KooWabc is bafyxyz, 1234567 bytes"
    shown = "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW… is bafy…, 7340032 bytes"
    console.run(Command(f"echo {told}", [shown]), tmp_path)
    asked = Command("echo --peer /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW… --cid bafy…,")
    console.run(Command(asked.line, [f"--peer {told.split()[0]} --cid bafyxyz,"]), tmp_path)
