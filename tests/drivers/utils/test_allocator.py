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

BURST = """
import trio
from libp2p.utils.allocator import give_back, keep_freed_memory

def rss():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))

keep_freed_memory()
keep_freed_memory()
before = rss()
pieces = [bytes([1]) * 100_000 for _ in range(1000)]
survivors = pieces[::50]
del pieces
kept = rss() - before
trio.run(give_back)
print(kept, rss() - before)
"""


@pytest.mark.skipif(find_in_glibc("malloc_trim") is None, reason="another allocator than glibc's")
def test_what_a_burst_needed_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", BURST], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 80
    assert left < 20


THREADS = """
import threading

def work():
    together.wait()
    pieces = [bytes([1]) * 100_000 for _ in range(120)]
    together.wait()

together = threading.Barrier(8)
threads = [threading.Thread(target=work) for _ in range(8)]
before = rss()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(find_in_glibc("malloc_trim") is None, reason="another allocator than glibc's")
def test_so_is_what_many_threads_needed() -> None:
    """Each thread had a heap of its own, whose end stayed for good: 8 threads kept 80 MiB."""
    beginning, end = BURST.split("before =")[0], "trio.run(give_back)\nprint(rss() - before)"
    code = f"{beginning}{THREADS}{end}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
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
