"""Memory that goes back to the system when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.utils import allocator
from libp2p.utils.allocator import GIVE_BACK_PAUSE, find_in_glibc, give_back

if TYPE_CHECKING:
    from trio.testing import MockClock

WORK = """
import threading
import trio
from libp2p.utils.allocator import give_back, keep_freed_memory

def rss():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))

keep_freed_memory()
keep_freed_memory()
before = rss()
{work}
trio.run(give_back)
print(rss() - before)
"""
BURST = """
pieces = [bytes([1]) * 100_000 for _ in range(1000)]
survivors = pieces[::50]
del pieces
assert rss() - before > 80
"""
# Each thread had a heap of its own, whose end stayed for good: 8 threads kept 80 MiB.
THREADS = """
def work():
    together.wait()
    pieces = [bytes([1]) * 100_000 for _ in range(120)]
    together.wait()

together = threading.Barrier(8)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(find_in_glibc("malloc_trim") is None, reason="another allocator than glibc's")
@pytest.mark.parametrize("work", [BURST, THREADS], ids=["one thread", "many threads"])
def test_what_a_burst_needed_is_given_back(work: str) -> None:
    command = [sys.executable, "-c", WORK.format(work=work)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One item for each time that memory was given back."""
    done: list[int] = []
    monkeypatch.setattr(allocator, "find_in_glibc", lambda _name: done.append)
    monkeypatch.setattr(allocator._allocator, "_given_back_at", -10.0)
    return done


async def test_many_calls_at_once_are_two(autojump_clock: MockClock, trims: list[int]) -> None:
    async with trio.open_nursery() as nursery:
        await give_back()
        started = trio.current_time()
        for _ in range(10):
            nursery.start_soon(give_back)
    assert trio.current_time() - started == pytest.approx(GIVE_BACK_PAUSE)
    assert len(trims) == 2
    await trio.sleep(2 * GIVE_BACK_PAUSE)
    await give_back()
    assert len(trims) == 3


async def test_a_call_that_is_cancelled_while_it_waits_is_not_in_the_way(
    autojump_clock: MockClock, trims: list[int]
) -> None:
    await give_back()
    with trio.move_on_after(GIVE_BACK_PAUSE / 2):
        await give_back()
    assert len(trims) == 1
    await give_back()
    assert len(trims) == 2


async def test_it_does_nothing_with_another_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "find_in_glibc", lambda _name: None)
    await give_back()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert find_in_glibc("malloc_trim") is None
