"""Where a fetched file may be written, and what is there afterwards."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.errors import BlockNotFoundError
from libp2p.blockstore import MemoryBlockStore
from libp2p.ipfs_lite import Peer, Repo, output, save
from libp2p.ipfs_lite.errors import OutputError
from libp2p.ipfs_lite.output import PartFile, give_up_all
from libp2p.utils import file_locks

if TYPE_CHECKING:
    from libp2p.ipfs_lite.reader import UnixFSReader

DATA = bytes(range(256)) * 20_000


@asynccontextmanager
async def opened(data: bytes = DATA) -> AsyncIterator[UnixFSReader]:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        added = await peer.add_file(data)
        async with await peer.get_file(added.cid) as reader:
            yield reader


async def saved(target: Path | str) -> None:
    async with opened() as reader:
        await save(reader, target)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o777])
async def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    target.chmod(mode)
    await saved(target)
    assert target.read_bytes() == DATA
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert names(tmp_path) == ["out"]


async def test_hard_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old" * 3_000_000)
    os.link(tmp_path / "out", tmp_path / "other")
    await saved(tmp_path / "out")
    assert (tmp_path / "other").read_bytes() == DATA
    assert os.path.samefile(tmp_path / "out", tmp_path / "other")  # noqa: ASYNC240


async def test_a_link_stays_a_link_also_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    for _ in range(2):
        await saved(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "file").read_bytes() == DATA
    assert names(tmp_path / "folder") == ["file"]


@pytest.mark.parametrize("length", [240, 250, 255])
@pytest.mark.parametrize("letter", ["n", "ä"])
async def test_a_long_name(tmp_path: Path, length: int, letter: str) -> None:
    name = letter * (length // len(letter.encode()))
    await saved(tmp_path / name)
    assert names(tmp_path) == [name]
    part = PartFile.beside(tmp_path / name)
    assert part is not None
    [beside] = {*names(tmp_path)} - {name}
    assert beside.startswith(f".{letter}")
    part.close()


async def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    for length in (1, 250):
        target = tmp_path / os.fsdecode(b"\xff" * length)
        await saved(target)
        assert target.read_bytes() == DATA


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES])
async def test_what_cannot_be_replaced_is_written_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(code, os.strerror(code))

    target = tmp_path / "out"
    target.write_bytes(b"old" * 3_000_000)
    monkeypatch.setattr(os, "replace", refuse)
    await saved(target)
    assert target.read_bytes() == DATA
    assert names(tmp_path) == ["out"]
    with pytest.raises(OutputError, match="new"):
        await saved(tmp_path / "new")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
async def test_a_folder_that_takes_no_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = os.open

    def refuse(path: str | Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *mode)

    target = tmp_path / "out"
    target.write_bytes(b"old" * 3_000_000)
    monkeypatch.setattr(os, "open", refuse)
    await saved(target)
    assert target.read_bytes() == DATA
    with pytest.raises(OutputError, match="new"):
        await saved(tmp_path / "new")


async def test_what_cannot_be_had_costs_nothing_that_is_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    os.link(target, tmp_path / "other")
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        added = await peer.add_file(DATA, chunker="size-262144")
        lost = (await peer.add_file(DATA[4 * 262_144 : 5 * 262_144])).cid
        await peer.store.delete_block(lost)
        async with await peer.get_file(added.cid) as reader:
            with pytest.raises(BlockNotFoundError):
                await save(reader, target)
    assert target.read_bytes() == b"old"


async def test_what_is_interrupted_in_its_place_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    os.link(target, tmp_path / "other")

    def fail(self: object, buffers: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(output.InPlace, "write", fail)
    with pytest.raises(OutputError, match="No space left"):
        await saved(target)
    assert target.read_bytes() == b""


async def test_a_file_that_may_not_be_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *args, **options: False)
    monkeypatch.setattr(os, "supports_effective_ids", set())
    with pytest.raises(OutputError, match="Permission denied"):
        await saved(target)
    assert target.read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    os.chown(target, 12345, 12346)
    await saved(target)
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 12346)


async def test_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    for target in (tmp_path / "nowhere" / "out", tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            await saved(target)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OutputError, match="loop"):
        await saved(tmp_path / "loop")


# -- parts ----------------------------------------------------------------------------------------


async def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    for target in (tmp_path / "out", tmp_path / ("n" * 250)):
        script = (
            "import os, signal, sys; from pathlib import Path\n"
            "from libp2p.ipfs_lite.output import PartFile\n"
            "part = PartFile.beside(Path(sys.argv[1])); part.write([bytes(1000)])\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        await trio.run_process([sys.executable, "-c", script, str(target)], check=False)
        assert len(names(tmp_path)) == 1
        await saved(target)
        assert names(tmp_path) == [target.name]
        target.unlink()


async def test_what_others_are_writing_is_left(tmp_path: Path) -> None:
    (tmp_path / ".out.0123abcd.part.txt").touch()
    (tmp_path / ".other.0123abcd.part").touch()
    os.mkfifo(tmp_path / ".out.0123abcd.part")
    (tmp_path / ".out.0123abce.part").symlink_to(tmp_path / ".other.0123abcd.part")
    mine = PartFile.beside(tmp_path / "out")
    before = names(tmp_path)
    await saved(tmp_path / "out")
    assert names(tmp_path) == sorted([*before, "out"])
    assert mine is not None
    assert mine.commit()
    assert names(tmp_path) == sorted([*before[:-1], "out"])[: len(before)]


async def test_a_part_that_is_swept_before_its_lock_is_taken_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, turns = file_locks.lock, []

    def lock(descriptor: int) -> None:
        turns.append(descriptor)
        if len(turns) == 1:
            next(tmp_path.iterdir()).unlink()
        real(descriptor)

    monkeypatch.setattr(file_locks, "lock", lock)
    await saved(tmp_path / "out")
    assert len(turns) == 2
    assert names(tmp_path) == ["out"]


def test_all_is_given_up_at_once(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    os.link(tmp_path / "there", tmp_path / "other")
    part, in_place = PartFile.beside(tmp_path / "out"), output.InPlace(tmp_path / "there")
    assert part is not None
    part.write([b"half"])
    in_place.write([b"half"])
    give_up_all()
    assert names(tmp_path) == ["other", "there"]
    assert (tmp_path / "other").read_bytes() == b""
    part.close()
    in_place.close()


# -- pipes and devices ----------------------------------------------------------------------------


def read_to_the_end(source: Path | int) -> Callable[[], bytes]:
    """Read in a thread; the call that this gives waits for the end."""
    got: list[bytes] = []

    def read() -> None:
        with open(source, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()

    def wait() -> bytes:
        reader.join()
        return got[0]

    return wait


async def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    read = read_to_the_end(tmp_path / "fifo")
    await saved(tmp_path / "fifo")
    assert read() == DATA
    assert names(tmp_path) == ["fifo"]


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "LINK"])
@pytest.mark.parametrize("blocks", [True, False])
async def test_a_descriptor_by_its_name(tmp_path: Path, form: str, blocks: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, blocks)
    target = Path(form.format(writing))
    if form == "LINK":
        target = tmp_path / "link"
        target.symlink_to(f"/dev/fd/{writing}")
    read = read_to_the_end(reading)
    await saved(target)
    os.close(writing)
    assert read() == DATA


async def test_a_descriptor_of_a_file_is_written_where_it_stands(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"before")
    await saved(f"/dev/fd/{descriptor}")
    os.close(descriptor)
    assert (tmp_path / "out").read_bytes() == b"before" + DATA
    with pytest.raises(OutputError, match="it is closed"):
        await saved(f"/dev/fd/{descriptor}")


async def test_a_fifo_that_nobody_opens_can_be_left(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with trio.move_on_after(0.05) as scope:
        await saved(tmp_path / "fifo")
    assert scope.cancelled_caught
    assert await trio.to_thread.run_sync(read_to_the_end(tmp_path / "fifo")) == b""


async def test_a_full_pipe_can_be_left() -> None:
    reading, writing = os.pipe()
    with trio.move_on_after(0.05) as scope:
        await saved(f"/dev/fd/{writing}")
    assert scope.cancelled_caught
    os.close(writing)
    assert len(await trio.to_thread.run_sync(read_to_the_end(reading))) < len(DATA)


async def test_a_full_device_is_named() -> None:
    with pytest.raises(OutputError, match="/dev/full: No space left"):
        await saved("/dev/full")
    await saved(os.devnull)


async def test_a_link_that_appears_in_the_place_of_a_device_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    monkeypatch.setattr(output, "_is_file_place", lambda path: False)
    with pytest.raises(OutputError):
        await saved(tmp_path / "link")
    assert (tmp_path / "precious").read_bytes() == b"old"


# -- children -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_child_of_a_fork_holds_no_lock(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
from pathlib import Path
from libp2p.ipfs_lite.output import PartFile
from libp2p.ipfs_lite.repo import Repo
repo = Repo.open({str(tmp_path / "repo")!r})
part = PartFile.beside(Path({str(tmp_path / "out")!r}))
if os.fork():
    os._exit(0)
print("alive", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"alive\n"
        parent.wait()
        Repo.open(tmp_path / "repo").close()
        trio.run(saved, tmp_path / "out")
        assert names(tmp_path) == ["out", "repo"]
