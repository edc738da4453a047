"""What the verbs of ``files`` do and print."""

from __future__ import annotations

import stat as modes
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import NotAFile, ValidationError
from libp2p.ipfs_lite.cli.fetching import write_part
from libp2p.ipfs_lite.cli.inputs import source_of
from libp2p.ipfs_lite.cli.terminal import say, say_json, tell
from libp2p.ipfs_lite.errors import NotFoundError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.unixfs import Mtime
from libp2p.utils.printable import one_line

if TYPE_CHECKING:
    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.files import FileStat, PeerFiles
    from libp2p.ipld.cid import CID

_UNSET: Final = "not set"
_LAYOUT: Final = """<hash>
Size: <size>
CumulativeSize: <cumulsize>
ChildBlocks: <childs>
Type: <type>
Mode: <mode> (<mode-octal>)
Mtime: <mtime>"""


async def change(at: At, work: Callable[[PeerFiles], Awaitable[object]]) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        await work(peer.files)


async def ls(at: At, path: str, long: bool) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        if not long and not at.as_json:
            for name in await peer.files.names(path):
                await say(name)
            return
        for name, there in await peer.files.ls(path):
            is_directory = there.kind == "directory"
            if at.as_json:
                await say_json({"name": name, **_described(there)})
            else:
                await say(name + "/" * is_directory, str(there.cid), str(there.size))


async def read(at: At, path: str, offset: int, count: int | None) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        cid, size = await peer.files.cid_of_file(path)
        if offset > size:
            raise NotAFile(f"{path} ends at {size}, before the offset {offset}")
        left = size - offset if count is None else min(count, size - offset)
        async with await peer.get_file(cid) as file:
            file.seek(offset)
            await write_part(file, left)


async def write(at: At, path: str, data: str, choices: Mapping[str, object]) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        await peer.files.write(path, source_of(data), now=_now(), **choices)  # type: ignore[arg-type]


async def cp(at: At, source: str, target: str, force: bool, parents: bool) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        wanted: str | CID = source.rstrip("/")
        if content := _immutable(source):
            if target.endswith("/"):
                target += source.rstrip("/").rpartition("/")[2]
            wanted = await peer.resolve(*content)
        await peer.files.cp(wanted, target, parents=parents, force=force)


async def rm(at: At, paths: Sequence[str], recursive: bool, force: bool) -> None:
    failed = 0
    async with Peer.open(at.repo, online=False) as peer:
        for path in paths:
            try:
                await peer.files.rm(path, recursive=recursive, force=force)
            except ValidationError as error:
                tell(one_line(str(error)))
                failed += 1
    if failed:
        raise NotFoundError("some files could not be removed")


async def stat(at: At, path: str, layout: str | None) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        if content := _immutable(path):
            there = await peer.files.stat_of(await peer.resolve(*content))
        else:
            there = await peer.files.stat(path)
        text = layout or _LAYOUT
        for token, value in _tokens(there).items():
            text = text.replace(f"<{token}>", value)
        await at.say(_described(there), *text.split("\n"))


def _immutable(path: str) -> tuple[str, str] | None:
    """Return the CID and the rest of a path that is not of the mutable tree."""
    if not path.startswith(("/ipfs/", "ipfs://")):
        return None
    root, _, below = path.removeprefix("/ipfs/").removeprefix("ipfs://").partition("/")
    return root, below


def _now() -> Mtime:
    return Mtime(*divmod(time.time_ns(), 10**9))


def _described(there: FileStat) -> dict[str, object]:
    described: dict[str, object] = {
        "cid": str(there.cid),
        "type": there.kind,
        "size": there.size,
        "cumulative_size": there.dag_size,
        "blocks": there.blocks,
    }
    if there.mode:
        described["mode"] = f"{there.mode & 0o7777:04o}"
    if there.mtime is not None:
        described |= {"mtime": there.mtime.seconds, "mtime_nsecs": there.mtime.nanos}
    return described


def _tokens(there: FileStat) -> dict[str, str]:
    mode = there.mode or (0o777 if there.is_link else 0)
    mtime = there.mtime if there.mtime is not None and there.mtime.seconds > 0 else None
    shown = _UNSET
    if mtime is not None:
        when = datetime.fromtimestamp(mtime.seconds, UTC)
        shown = f"{when.day} {when:%b %Y, %H:%M:%S} UTC"
    return {
        "hash": str(there.cid),
        "size": str(there.size),
        "cumulsize": str(there.dag_size),
        "childs": str(there.blocks),
        "type": there.kind,
        "mode": _letters(there, mode) if mode else _UNSET,
        "mode-octal": f"0{mode & 0o777:o}" if mode else _UNSET,
        "mtime": shown,
        "mtime-secs": _UNSET if mtime is None else str(mtime.seconds),
        "mtime-nsecs": _UNSET if mtime is None else str(mtime.nanos),
    }


def _letters(there: FileStat, mode: int) -> str:
    """Return permissions as Kubo shows them: a letter for each other bit, or a dash, is first."""
    bits = {
        "d": there.kind == "directory",
        "l": there.is_link,
        "u": mode & modes.S_ISUID,
        "g": mode & modes.S_ISGID,
        "t": mode & modes.S_ISVTX,
    }
    others = "".join(letter for letter, is_set in bits.items() if is_set)
    return (others or "-") + modes.filemode(mode & 0o777)[1:]


async def flush(at: At, path: str) -> None:
    async with Peer.open(at.repo, online=False) as peer:
        await peer.files.root()
        cid = str((await peer.files.stat(path)).cid)
        await at.say({"cid": cid}, cid)


async def touch(at: At, path: str, mtime: int | None, nanos: int) -> None:
    when = Mtime(mtime, nanos) if mtime else _now()
    await change(at, lambda tree: tree.touch(path, when))
