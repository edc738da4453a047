"""
``python -m libp2p.ipfs_lite.demo [FILE]``: a file goes from one peer to another over bitswap.

The provider is the command ``ipfs-lite`` in a process of its own; the second peer is this process.
Without FILE it is the project's docs folder, as one tar file. Nothing is left behind.
"""

from __future__ import annotations

import filecmp
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import trio

from libp2p.ipfs_lite import Peer, save

_COMMAND = [sys.executable, "-m", "libp2p.ipfs_lite", "--repo"]


def pack(folder: Path, target: Path) -> None:
    """Write a tar file that depends on names and contents alone."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder.parent)), recursive=False, filter=plain)


@contextmanager
def provider(repo: Path) -> Iterator[str]:
    """Serve a repo from a process of its own; yield that peer's address."""
    command = [*_COMMAND, str(repo), "serve", "--listen", "/ip4/127.0.0.1/tcp/0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class Percent:
    """Prints the progress, in steps of a tenth."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, done: int, total: int | None) -> None:
        tenths = 10 * done // total if total else 10
        if tenths > self._told:
            self._told = tenths
            click.echo(f"  {10 * tenths:3} %  {done:,} bytes")


async def fetch(repo: Path, cid: str, address: str, target: Path) -> float:
    """Fetch a file as a second peer; return the seconds that it took."""
    async with Peer.open(repo) as peer:
        await peer.connect(address)
        started_at = time.perf_counter()
        async with await peer.get_file(cid) as reader:
            await save(reader, target, Percent())
        return time.perf_counter() - started_at


def demonstrate(source: Path, folder: Path) -> None:
    """Add, serve, fetch, compare."""
    first, second, copy = folder / "provider", folder / "second", folder / "copy"
    click.echo(f"adding {source.name}, {source.stat().st_size:,} bytes, to the provider's repo")
    add = [*_COMMAND, str(first), "add", "-Q", str(source)]
    cid = subprocess.run(add, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with provider(first) as address:
        click.echo(f"the provider listens on {address}")
        click.echo("fetching it by its CID")
        seconds = trio.run(fetch, second, cid, address, copy)
    size = copy.stat().st_size
    identical = filecmp.cmp(source, copy, shallow=False)
    click.echo(f"CID    {cid}")
    click.echo(f"size   {size:,} bytes")
    click.echo(f"speed  {size / seconds / 1e6:.1f} MB/s")
    click.echo("identical" if identical else "DIFFERENT")
    if not identical:
        raise click.ClickException("the copy differs from the original")


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def main(file: Path | None) -> None:
    """Show FILE, or the project's docs, going from one peer to another."""
    with tempfile.TemporaryDirectory(prefix="ipfs-lite-demo-") as name:
        folder = Path(name)
        if file is None:
            docs = Path(__file__).parents[2] / "docs"
            if not docs.is_dir():
                raise click.UsageError("there is no docs folder here: name a FILE")
            file = folder / "docs.tar"
            pack(docs, file)
        demonstrate(file, folder)


if __name__ == "__main__":
    main()
