"""Who listens hears of what others store: once for many, and not of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from libp2p.ipfs_lite.neighbours import Neighbours

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs")

#: Longer than anything takes on a busy machine.
LONG = 60.0


class Listener:
    def __init__(self, folder: Path) -> None:
        self.own = Neighbours(folder)
        self.looks = 0
        self._looked = trio.lowlevel.ParkingLot()

    async def look(self) -> None:
        self.looks += 1
        self._looked.unpark_all()

    async def until(self, looks: int) -> None:
        with trio.fail_after(LONG):
            while self.looks < looks:
                await self._looked.park()


async def test_each_hears_of_the_others_and_not_of_itself(tmp_path: Path) -> None:
    folder = tmp_path / "listeners"
    Neighbours(folder).tell()  # nobody is there yet
    one, two = Listener(folder), Listener(folder)
    async with trio.open_nursery() as nursery:
        for each in (one, two):
            nursery.start_soon(each.own.listen, each.look)
            await each.until(1)  # what was stored before it listened
        one.own.tell()
        await two.until(2)
        Neighbours(folder).tell()
        await one.until(2)
        await two.until(3)
        assert one.looks == 2
        nursery.cancel_scope.cancel()
    assert os.listdir(folder) == []


async def test_what_comes_while_it_looks_costs_one_more_look(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    go_on = trio.Event()

    async def look() -> None:
        await listener.look()
        if listener.looks == 2:
            await go_on.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.own.listen, look)
        await listener.until(1)
        other = Neighbours(tmp_path)
        other.tell()
        await listener.until(2)
        for _ in range(100_000):  # more than a FIFO holds, and nobody waits
            other.tell()
        go_on.set()
        await listener.until(3)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert listener.looks == 3
        nursery.cancel_scope.cancel()


async def test_the_fifo_of_a_process_that_has_ended_goes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "left")
    (tmp_path / "no fifo").write_bytes(b"x")
    Neighbours(tmp_path).tell()
    assert os.listdir(tmp_path) == ["no fifo"]
    assert (tmp_path / "no fifo").read_bytes() == b"x"


async def test_a_fifo_that_was_removed_before_it_was_read_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, removed = Listener(tmp_path), set[str]()
    real = os.open

    def swept(path: Path, flags: int) -> int:
        descriptor = real(path, flags)
        if not removed:
            path.unlink()
            removed.add(path.name)
        return descriptor

    monkeypatch.setattr(os, "open", swept)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.own.listen, listener.look)
        await listener.until(1)
        assert {*os.listdir(tmp_path)} != removed != set()
        nursery.cancel_scope.cancel()


async def test_where_there_are_no_fifos_nothing_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "libp2p")
    monkeypatch.delattr(os, "mkfifo")
    await Neighbours(tmp_path).listen(trio.lowlevel.checkpoint)
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert "are found when asked for" in record.getMessage()
