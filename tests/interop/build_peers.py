"""Builds the Go peers of the interop tests and the bench, and finds the built ones.

The binaries live in the user's cache folder, outside the source tree, under a name that
carries a hash of the Go module they come from: a changed version or source file gives a new
folder, an unchanged one is never built twice. Run as a script it builds what is named
(default: everything); tests only call `find_peer`. Standard library only, so that it runs
before any environment exists.
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
from dataclasses import dataclass
from pathlib import Path

_GO_ROOT = Path(__file__).resolve().parent / "go"


class BuildError(Exception):
    """A peer cannot be built; the text is one line for the user."""


@dataclass(frozen=True)
class PeerSource:
    """Where one binary comes from."""

    name: str
    module_dir: str
    package: str
    binary: str
    versioned_module: str
    """The dependency whose version names the peer's version."""

    @property
    def directory(self) -> Path:
        """The folder of the Go module."""
        return _GO_ROOT / self.module_dir

    def version(self) -> str:
        """The version go.mod pins for the library this peer stands for."""
        text = (self.directory / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"{re.escape(self.versioned_module)} v(\S+)", text)
        if found is None:
            raise BuildError(f"{self.name}: go.mod does not require {self.versioned_module}")
        return found.group(1)

    def digest(self) -> str:
        """A short hash of everything that decides what the binary is."""
        files = [self.directory / "go.mod", self.directory / "go.sum"]
        files += sorted(self.directory.rglob("*.go"))
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.relative_to(self.directory).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def path(self) -> Path:
        """Where the built binary is, or will be."""
        return cache_root() / f"{self.name}-{self.digest()}" / self.binary


PEERS: dict[str, PeerSource] = {
    peer.name: peer
    for peer in (
        PeerSource("kubo", "kubo", "github.com/ipfs/kubo/cmd/ipfs", "ipfs", "github.com/ipfs/kubo"),
        PeerSource(
            "libp2p-peer",
            "peers",
            "./cmd/libp2p-peer",
            "libp2p-peer",
            "github.com/libp2p/go-libp2p",
        ),
        PeerSource("boxo-peer", "peers", "./cmd/boxo-peer", "boxo-peer", "github.com/ipfs/boxo"),
    )
}


def cache_root() -> Path:
    """The user's cache folder for built peers (`$XDG_CACHE_HOME`, else `~/.cache`)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "py-libp2p-interop"


def find_peer(name: str) -> Path | None:
    """The built binary of `name` (a key of `PEERS`), or None where it was not built."""
    path = PEERS[name].path()
    return path if path.is_file() else None


def build_peer(name: str) -> Path:
    """Build `name` unless it is there already; return the binary's path.

    The build goes to a temporary folder beside the final one and is renamed into place, so
    an interrupted build leaves nothing that looks finished and two at once do no harm.
    """
    source = PEERS[name]
    target = source.path()
    if target.is_file():
        return target
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as scratch:
        made = Path(scratch) / target.parent.name
        made.mkdir()
        _go_build(source, made / source.binary)
        try:
            made.rename(target.parent)
        except OSError:
            if not target.is_file():
                raise
    return target


def _go_build(source: PeerSource, output: Path) -> None:
    """Run `go build` for one peer, turning its failure into one line."""
    go = shutil.which("go")
    if go is None:
        raise BuildError(f"{source.name}: the `go` command is missing; install Go 1.26 or newer")
    done = subprocess.run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", str(output), source.package],
        cwd=source.directory,
        env={**os.environ, "GOWORK": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("go: downl")]
        reason = " | ".join(lines[-4:]) or f"exit code {done.returncode}"
        raise BuildError(f"{source.name}: go build failed: {reason}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--path", metavar="NAME", choices=PEERS, help="print a built peer's path")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Build what is asked, print one line per binary; 1 on the first failure."""
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
            path = build_peer(name)
            print(f"{name} {PEERS[name].version()} {path}", flush=True)
    except (BuildError, OSError) as error:
        print(f"build_peers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
