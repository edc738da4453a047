"""
Many attackers at one host, and an honest peer that fetches beside them: what the host holds, how
long its loop stands still, how fast the honest peer is.

The honest peer is this process. The machine may have fewer processors than there are processes, so
what the host or the honest peer waited for one is not counted (`fair_time`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import trio

from libp2p import new_host
from libp2p.bitswap import BitswapClient, MemoryBlockStore
from tests.interop.child import ChildError
from tests.support.attacks import Plan
from tests.support.crowd import Crowd
from tests.support.fair_time import Stopwatch
from tests.support.watched_host import BLOCK_SIZE, BLOCKS, WatchedHost, content

MIB: Final = 2**20
#: A host without bounds would take the whole machine's memory; this much ends the siege.
CEILING_BYTES: Final = 2048 * MIB
SAMPLE_SECONDS: Final = 0.05
FETCH_SECONDS: Final = 60.0
#: Honest fetches beside the attackers that a siege waits for. On a busy machine the first of them
#: may still fall into the arrival.
LEAST_FETCHES: Final = 3


@dataclass(frozen=True)
class Bounds:
    """
    What a host may hold and how long it may take; the defaults are those of docs/limits.

    :param left_bytes: what may stay: the interpreter gives its heap of small objects back only
        where a whole arena of it is free.
    :param longest_step: seconds of processor time, with the garbage collections that fell into it.
    """

    grown_bytes: int = 256 * MIB
    left_bytes: int = 64 * MIB
    settle_seconds: float = 60.0
    longest_step: float = 0.050
    least_speed: float = 0.5


@dataclass(frozen=True)
class Size:
    """
    How many attackers, in how many processes, and how long they stay.

    :param arrival: seconds that all of them need to come and to say what they have to say. The host
        is busy then, and how fast the honest peer is counts only afterwards.
    """

    attackers: int = 400
    processes: int = 4
    seconds: float = 60.0
    arrival: float = 30.0
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True)
class Fetch:
    """
    One fetch of everything.

    :param seconds: how long it took, without what it ``waited`` for a processor.
    """

    wall: float
    waited: float
    seconds: float
    victim_cpu: float


@dataclass
class Outcome:
    """What was seen."""

    alone: list[Fetch] = field(default_factory=list)
    arrival: list[Fetch] = field(default_factory=list)
    beside: list[Fetch] = field(default_factory=list)
    start_bytes: int = 0
    peak_bytes: int = 0
    left_bytes: int = 0
    settled_after: float = float("inf")
    longest_step: float = 0.0
    longest_step_of: str = ""
    longest_collection: float = 0.0
    victim_cpu: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Of the honest peer, as a part of its speed alone."""
        if not self.beside or not self.alone:
            return 0.0
        return median(f.seconds for f in self.alone) / median(f.seconds for f in self.beside)

    def faults(self, bounds: Bounds) -> Iterator[str]:
        """Say what is out of bounds."""
        yield from self.errors
        if (grown := self.peak_bytes - self.start_bytes) > bounds.grown_bytes:
            yield f"memory grew by {grown / MIB:.0f} MiB, not {bounds.grown_bytes / MIB:.0f}"
        if self.settled_after > bounds.settle_seconds:
            left = self.left_bytes - self.start_bytes
            yield f"{left / MIB:.0f} MiB are still held {bounds.settle_seconds:.0f} s afterwards"
        if self.longest_step > bounds.longest_step:
            step = f"{self.longest_step * 1000:.0f} ms in {self.longest_step_of}"
            yield f"the loop stood still for {step}, not {bounds.longest_step * 1000:.0f}"
        if self.speed < bounds.least_speed:
            yield f"the honest peer has {self.speed:.2f}x its speed, not {bounds.least_speed}"

    def table(self) -> Iterator[str]:
        """The numbers for people."""
        for name, fetches in (
            ("alone", self.alone),
            ("arrival", self.arrival),
            ("beside", self.beside),
        ):
            for fetch in fetches:
                rate = BLOCKS * BLOCK_SIZE / fetch.seconds / 1e6
                yield (
                    f"fetch {name:<7} {fetch.wall:6.2f} s, waited {fetch.waited:6.2f} s, victim"
                    f" {fetch.victim_cpu:5.2f} CPU-s, {rate:6.0f} MB/s"
                )
        yield f"speed           {self.speed:6.2f}x its speed alone"
        yield f"RSS             {self.start_bytes / MIB:6.0f} MiB at the start"
        yield f"    most        {(self.peak_bytes - self.start_bytes) / MIB:+6.0f} MiB"
        yield f"    at the end  {(self.left_bytes - self.start_bytes) / MIB:+6.0f} MiB"
        yield f"    given back  {self.settled_after:6.1f} s after they left"
        yield f"longest step    {self.longest_step * 1000:6.1f} ms CPU in {self.longest_step_of}"
        yield f"collection      {self.longest_collection * 1000:6.1f} ms CPU, the longest"
        yield f"victim          {self.victim_cpu:6.1f} CPU-s in all"


class Siege:
    """One run."""

    def __init__(self, size: Size, bounds: Bounds) -> None:
        self._size = size
        self._bounds = bounds
        self.outcome = Outcome()
        self._crowds: list[Crowd] = []
        self._fetched_beside = trio.Event()

    @property
    def _alone(self) -> float:
        return median([f.seconds for f in self.outcome.alone] or [0.0])

    async def run(self) -> Outcome:
        """Start a victim, let everybody come and leave, and tell what was seen."""
        with WatchedHost() as victim, ExitStack() as stack:
            for _ in range(self._size.processes):
                crowd = Crowd(victim.address)
                stack.callback(_end, crowd)
                self._crowds.append(crowd)
            await self._besiege(victim)
        return self.outcome

    async def _besiege(self, victim: WatchedHost) -> None:
        outcome = self.outcome
        host = new_host()
        client = BitswapClient(host, MemoryBlockStore())
        async with host.run(listen_addrs=[]), client.run():
            await host.connect(victim.info)
            for _ in range(4):
                await self._fetch(client, victim, outcome.alone)
            del outcome.alone[0]  # nothing had been used before
            await trio.to_thread.run_sync(victim.request, "forget")
            victim.forget_peak()
            outcome.start_bytes = victim.resident_bytes()
            with trio.CancelScope() as siege:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_ceiling, victim, siege)
                    nursery.start_soon(self._fetch_on, client, victim)
                    await self._attack()  # they go on until they are told to leave
                    await self._fetched_beside.wait()  # which a busy machine may delay
                    nursery.cancel_scope.cancel()
            await self._ask(victim)
            for crowd in self._crowds:
                crowd.leave()
            await self._settle(victim)
            outcome.peak_bytes = victim.peak_bytes()
            await self._ask(victim)
            outcome.victim_cpu = victim.cpu_seconds()

    async def _attack(self) -> None:
        size = self._size
        share = size.attackers // size.processes
        async with trio.open_nursery() as nursery:
            for index, crowd in enumerate(self._crowds):
                fields = {
                    "first": index * share,
                    "count": share,
                    "seconds": size.seconds,
                    "plan": size.plan.asdict(),
                }
                nursery.start_soon(self._arrive, crowd, fields)

    async def _arrive(self, crowd: Crowd, fields: dict[str, object]) -> None:
        try:
            await trio.to_thread.run_sync(
                lambda: crowd.arrive("attack", **fields), abandon_on_cancel=True
            )
        except ChildError as error:
            self.outcome.errors.append(f"a crowd of attackers ended: {error}")

    async def _keep_ceiling(self, victim: WatchedHost, siege: trio.CancelScope) -> None:
        while victim.running and victim.resident_bytes() < CEILING_BYTES:  # noqa: ASYNC110 - no event
            await trio.sleep(SAMPLE_SECONDS)
        self.outcome.errors.append("the siege was ended before the victim took the machine")
        siege.cancel()

    async def _fetch_on(self, client: BitswapClient, victim: WatchedHost) -> None:
        settled = trio.current_time() + self._size.arrival
        while True:
            is_settled = trio.current_time() >= settled
            fetches = self.outcome.beside if is_settled else self.outcome.arrival
            await self._fetch(client, victim, fetches)
            if len(self.outcome.beside) >= LEAST_FETCHES:
                self._fetched_beside.set()
            await trio.sleep(0.5)

    async def _fetch(
        self, client: BitswapClient, victim: WatchedHost, fetches: list[Fetch]
    ) -> None:
        """Fetch everything once; a fetch that fails counts as one that took for ever."""
        watch, cpu = Stopwatch(victim.pid), victim.cpu_seconds()
        try:
            with trio.fail_after(FETCH_SECONDS):
                async for cid, _ in client.get_blocks(_IDS, victim.info.peer_id):
                    await client.block_store.delete_block(cid)
        except Exception as error:  # noqa: BLE001 - it is part of the outcome
            self.outcome.errors.append(f"an honest fetch failed: {type(error).__name__}: {error}")
            await trio.sleep(1)
        finally:
            cpu = victim.cpu_seconds() - cpu
            fetch = Fetch(watch.wall, watch.waited, watch.seconds, cpu)
            # One that the end of the siege cuts short took at least so long.
            if sys.exc_info()[0] is None or fetch.seconds > 2 * self._alone:
                fetches.append(fetch)

    async def _ask(self, victim: WatchedHost) -> None:
        try:
            stands = await trio.to_thread.run_sync(victim.ask)
        except ChildError as error:
            self.outcome.errors.append(f"the victim does not answer: {error}")
            return
        self.outcome.longest_step = stands["longest_step"]
        self.outcome.longest_step_of = stands["longest_step_of"]
        self.outcome.longest_collection = stands["longest_collection"]

    async def _settle(self, victim: WatchedHost) -> None:
        outcome, began = self.outcome, time.monotonic()
        while (passed := time.monotonic() - began) <= self._bounds.settle_seconds:
            outcome.left_bytes = victim.resident_bytes()
            if outcome.left_bytes <= outcome.start_bytes + self._bounds.left_bytes:
                outcome.settled_after = passed
                return
            await trio.sleep(SAMPLE_SECONDS)


_IDS: Final = list(content())


def _end(crowd: Crowd) -> None:
    if crowd.running:
        crowd.leave()


#: What the gate runs: a tenth of the attackers, against the same bounds; a host's memory must not
#: depend on how many they are.
SMALL: Final = Size(40, 2, seconds=8, arrival=4, plan=Plan(streams=100, tickets=16))
