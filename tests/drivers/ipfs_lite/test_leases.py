"""Leases of several processes: who sees which, and what they cost."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.leases import Leases, RepoLeases
from libp2p.ipld.cid import CID
from libp2p.utils.file_locks import SharedLock

if TYPE_CHECKING:
    from pathlib import Path

A, B = (CID.for_block(name) for name in (b"a", b"b"))


def leases(tmp_path: Path) -> RepoLeases:
    """Those of one more process."""
    return RepoLeases(tmp_path / "leases", SharedLock(tmp_path / "gc.lock"))


@pytest.fixture(params=["memory", "repo"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Leases, Leases]:
    if request.param == "memory":
        both = Leases()
        return both, both
    return leases(tmp_path), leases(tmp_path)


def test_one_sees_what_another_holds(two: tuple[Leases, Leases]) -> None:
    one, other = two
    assert other.live() == []
    with one.hold([A, B]):
        [lease] = other.live()
        assert set(lease.roots) == {A, B}
        with other.hold():
            assert sorted(len(lease.roots) for lease in one.live()) == [0, 2]
    assert other.live() == one.live() == []


def test_a_lease_that_has_begun_is_noticed(two: tuple[Leases, Leases]) -> None:
    one, other = two
    before = one.begun
    with other.hold():
        pass
    assert one.begun != before


async def test_who_begins_waits_for_a_removal(two: tuple[Leases, Leases]) -> None:
    one, other = two
    settled = trio.Event()

    async def settle() -> None:
        await other.settled()
        settled.set()

    async with trio.open_nursery() as nursery:
        async with one.removal():
            nursery.start_soon(settle)
            await trio.sleep(0.1)  # time: long enough for what should not happen
            assert not settled.is_set()
        with trio.fail_after(60):
            await settled.wait()


@pytest.mark.parametrize("what", ["settled", "removal"])
async def test_waiting_for_a_process_that_is_stopped_can_be_cancelled(
    tmp_path: Path, what: str
) -> None:
    own, others = leases(tmp_path), SharedLock(tmp_path / "gc.lock")
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with others.exclusive():
            held.set()
            go_on.wait(5)  # time: much longer than what is cancelled below

    async def wait() -> None:
        if what == "settled":
            await own.settled()
        else:
            async with own.removal():
                pass

    threads = trio.to_thread.current_default_thread_limiter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, hold)
        await trio.to_thread.run_sync(held.wait)
        for _ in range(3):
            with trio.move_on_after(0.1) as scope:  # time: nothing else ends the wait
                await wait()
            assert scope.cancelled_caught
        assert threads.borrowed_tokens == 1  # of `hold`: others can use threads
        go_on.set()
    with trio.fail_after(60):
        await wait()
        await trio.to_thread.run_sync(others.exclusive().__enter__)  # it is not held any more


def test_leases_without_roots_share_a_file_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("libp2p.ipfs_lite.leases.monotonic", lambda: now)
    own = leases(tmp_path)
    with own.hold():
        first = os.listdir(tmp_path / "leases")
        with own.hold(), own.hold():
            assert os.listdir(tmp_path / "leases") == first
        with own.hold([A]):
            assert len(os.listdir(tmp_path / "leases")) == 2
        now += 1.1
        with own.hold(), own.hold():
            assert len(os.listdir(tmp_path / "leases")) == 2
        assert os.listdir(tmp_path / "leases") == first
    assert os.listdir(tmp_path / "leases") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_child_has_leases_of_its_own(tmp_path: Path) -> None:
    own = leases(tmp_path)
    with own.hold():
        first = os.listdir(tmp_path / "leases")
        child = os.fork()
        if child == 0:
            try:
                with own.hold():
                    os._exit(len(os.listdir(tmp_path / "leases")))
            finally:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        assert [lease.name for lease in leases(tmp_path).live()] == first


def test_on_a_full_disk_a_lease_is_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = leases(tmp_path)
    with own.hold():
        pass

    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with own.hold([A]):
        [lease] = leases(tmp_path).live()
        assert lease.roots == ()
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(RepoError, match="No space left"), own.hold():
        pass


def test_lines_that_are_no_cids_are_passed_over(tmp_path: Path) -> None:
    own = leases(tmp_path)
    with own.hold([A]):
        [name] = os.listdir(tmp_path / "leases")
        with open(tmp_path / "leases" / name, "a") as file:
            file.write("half of a l")
        [lease] = own.live()
        assert lease.roots == (A,)
