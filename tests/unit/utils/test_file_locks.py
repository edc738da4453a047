"""Locks of files: shared, exclusive, waited for, gone with their process, not kept by children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from libp2p.utils import file_locks
from libp2p.utils.file_locks import LiveFile, SharedLock, lock, lock_patiently, release, sweep

if TYPE_CHECKING:
    from pathlib import Path

#: Longer than any of these threads takes on a busy machine.
LONG = 60.0
#: Long enough for a thread to have gone on that should not.
SHORT = 0.2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR)


# -- one file -------------------------------------------------------------------------------------


def test_shared_locks_go_together_and_an_exclusive_one_with_none(path: Path) -> None:
    one, two, three = opened(path), opened(path), opened(path)
    lock(one, shared=True)
    lock(two, shared=True)
    with pytest.raises(BlockingIOError):
        lock(three)
    release(one)
    release(two)
    lock(three)
    with pytest.raises(BlockingIOError):
        lock_patiently(four := opened(path), 0.01, shared=True)
    release(three)
    release(four)


def test_a_lock_is_waited_for(path: Path) -> None:
    first, second = opened(path), opened(path)
    lock(first)
    threading.Timer(SHORT, release, [first]).start()
    lock_patiently(second, LONG)
    with pytest.raises(BlockingIOError):
        lock(third := opened(path))
    release(second)
    lock(third)
    release(third)


def test_who_has_stopped_waiting_does_not_get_the_lock_later(path: Path) -> None:
    first, second, third = opened(path), opened(path), opened(path)
    lock(first)
    with pytest.raises(BlockingIOError):
        lock_patiently(second, 0.01)
    release(second)
    release(first)
    lock_patiently(third, LONG)
    release(third)


# -- files that say that a process lives ----------------------------------------------------------


def test_a_live_file_is_there_until_it_is_closed(tmp_path: Path) -> None:
    file = LiveFile(tmp_path, "mark-", b"text")
    assert file.path.read_bytes() == b"text"
    assert not sweep(file.path)
    file.close()
    file.close()
    assert os.listdir(tmp_path) == []
    assert sweep(file.path)


def test_a_live_file_ends_with_its_process(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from libp2p.utils.file_locks import LiveFile
file = LiveFile(Path({str(tmp_path)!r}), "mark-")
print(file.path, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        path = holder.stdout.readline().strip()
        assert not sweep(path)
        holder.kill()
    assert sweep(path)
    assert os.listdir(tmp_path) == []


def test_a_child_neither_keeps_nor_removes_a_live_file(tmp_path: Path) -> None:
    file = LiveFile(tmp_path, "mark-")
    (go, going), (ready, getting_ready) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(going)
            file.close()
            os.write(getting_ready, b".")
            os.read(go, 1)
        finally:
            os._exit(0)
    os.read(ready, 1)
    try:
        assert not sweep(file.path)
        file_locks._unlock(file._descriptor)  # as at the end of the parent
        assert sweep(file.path)
    finally:
        os.close(going)
        os.waitpid(child, 0)


def test_a_live_file_that_was_swept_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = file_locks._flock
    swept: list[Path] = []

    def slow(descriptor: int, shared: bool, wait: bool) -> None:
        if not swept:
            [path] = tmp_path.iterdir()
            path.unlink()
            swept.append(path)
        real(descriptor, shared, wait)

    monkeypatch.setattr(file_locks, "_flock", slow)
    file = LiveFile(tmp_path, "")
    assert [file.path] == list(tmp_path.iterdir()) != swept


def test_nothing_is_swept_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(file_locks, "_flock", broken)
    file = LiveFile(tmp_path, "")
    assert not sweep(file.path)
    assert file.path.exists()
    file.close()
    (tmp_path / "folder").mkdir()
    assert not sweep(tmp_path / "folder")


# -- held by many or by one -----------------------------------------------------------------------


def in_thread(call: object) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def holding(lock: SharedLock) -> None:
    with lock.shared():
        pass


@pytest.mark.parametrize("is_other_process", [False, True])
def test_one_alone_or_many(path: Path, is_other_process: bool) -> None:
    lock = SharedLock(path)
    other = SharedLock(path) if is_other_process else lock
    with lock.shared(), other.shared(), lock.shared():
        pass
    with lock.exclusive():
        waiting = in_thread(lambda: holding(other))
        waiting.join(SHORT)
        assert waiting.is_alive()
    waiting.join(LONG)
    assert not waiting.is_alive()
    with lock.shared():

        def alone() -> None:
            with other.exclusive():
                pass

        waiting = in_thread(alone)
        waiting.join(SHORT)
        assert waiting.is_alive()
        late = in_thread(lambda: holding(SharedLock(path)))  # it does not overtake who waits
        late.join(SHORT)
        assert late.is_alive()
    for thread in (waiting, late):
        thread.join(LONG)
        assert not thread.is_alive()
    lock.close()
    holding(lock)


@pytest.mark.parametrize("wanted", ["shared", "alone"])
def test_closing_does_not_wait_for_others(path: Path, wanted: str) -> None:
    """A thread that was left behind waits for as long as another process is stopped."""
    lock, other = SharedLock(path), SharedLock(path)

    def wait() -> None:
        with lock.shared() if wanted == "shared" else lock.exclusive():
            pass

    with other.exclusive():
        waiting = in_thread(wait)
        waiting.join(SHORT)
        closing = in_thread(lock.close)
        closing.join(LONG / 10)
        assert not closing.is_alive()
        assert waiting.is_alive()
    waiting.join(LONG)
    assert not waiting.is_alive()
    limit = time.monotonic() + LONG
    while lock._descriptors is not None:
        assert time.monotonic() < limit
        time.sleep(0.01)  # time: a thread closes them
    holding(lock)


def test_a_child_begins_anew(path: Path) -> None:
    lock = SharedLock(path)
    with lock.shared():
        child = os.fork()
        if child == 0:
            try:
                holding(lock)
                lock.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        waiting = in_thread(lambda: SharedLock(path).exclusive().__enter__())
        waiting.join(SHORT)
        assert waiting.is_alive()
    waiting.join(LONG)
