"""
A random walk over a real host: all that a program may do with it, all that peers may do to it.

Run as a module it walks so many steps in a process of its own and prints what it found as JSON. All
choices are made from the seed and the number of the step, so that a walk can be repeated; what
happens at the same time is up to the kernel.

    python -m tests.support.random_walk --steps 500 --seed 7
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import socket
import struct
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final

import trio
import trio.testing

from libp2p import BasicHost, new_host
from libp2p.bitswap import (
    BitswapClient,
    BitswapError,
    ClientClosedError,
    MemoryBlockStore,
    ServerOptions,
)
from libp2p.exceptions import BaseLibp2pError, HostException, IOException, OpenConnectionError
from libp2p.host.ping import PingService
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStore
from tests.support.blocks import block
from tests.support.hosts import LOOPBACK, info_of
from tests.support.identities import ed25519_pair, peer_id_of
from tests.support.walk_cast import (
    NOBODYS,
    NOWHERE,
    OURS,
    PROTOCOLS,
    STRANGERS,
    THEIRS,
    Friend,
    Log,
    Mine,
    Notifee,
    Router,
    Tracer,
    Whim,
    set_handlers,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

FRIENDS: Final = 5
AT_ONCE: Final = 8
#: Nothing that is asked of a host here may take longer; what waits for more has a deadline.
STEP_SECONDS: Final = 30.0
#: Tiny deadlines, so that cancellation comes anywhere.
DEADLINES: Final = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.03)
SETTLE_SECONDS: Final = 15.0

#: What memory may grow by from the first quarter of the walk to its end.
MAX_GROWN_OBJECTS: Final = 5_000
MAX_GROWN_BYTES: Final = 24 * 2**20


class Walk:
    """One walk."""

    def __init__(self, seed: int, steps: int) -> None:
        self._seed = seed
        self._steps = steps
        self.faults: list[str] = []
        self.tally: Counter[str] = Counter()
        self.marks: dict[str, dict[str, int]] = {}
        self.friends: list[Friend] = []
        self.log = Log()
        self._filter = Whim()
        self._router = Router(self.friends)
        self._tracer = Tracer()
        self._notifees: list[Notifee] = []
        self._kept: list[Any] = []
        self._town: trio.Nursery
        self._later = 0.0
        self.host = new_host(
            key_pair=ed25519_pair("the host"),
            peerstore_opt=PeerStore(clock=lambda: time.monotonic() + self._later),
        )
        self.client = BitswapClient(
            self.host,
            MemoryBlockStore(),
            content_router=self._router,
            server_options=ServerOptions(request_filter=self._judge),
            tracer=self._tracer,
        )
        self._actions = [
            (getattr(self, name), WEIGHTS.get(name, 2))
            for name in sorted(dir(self))
            if name.startswith("step_")
        ]

    def _judge(self, peer_id: ID, cid: CID, want_type: object) -> bool:
        self._filter.act()
        return True

    # -- the way ------------------------------------------------------------------------------

    async def run(self) -> None:
        set_handlers(self.host)
        for cid, data in OURS:
            await self.client.block_store.put_block(cid, data)
        async with trio.open_nursery() as self._town:
            async with self.host.run([LOOPBACK]), self.client.run():
                await trio.testing.wait_all_tasks_blocked(0.01)
                self.marks["start"] = self._measure()
                quarter = self._steps // 4
                await self._walk(0, quarter)
                await self._settle("a quarter")
                await self._walk(quarter, self._steps)
                await self._settle("the end")
                await self._still_alive()
                self._compare()
            self._town.cancel_scope.cancel()

    async def _walk(self, start: int, stop: int) -> None:
        free = trio.Semaphore(AT_ONCE)
        while len(self.friends) < FRIENDS:
            await self._befriend(len(self.friends))
        async with trio.open_nursery() as nursery:
            for number in range(start, stop):
                await free.acquire()
                nursery.start_soon(self._step, number, free)

    async def _step(self, number: int, free: trio.Semaphore) -> None:
        rng = Random(f"{self._seed}/{number}")
        functions, weights = zip(*self._actions, strict=True)
        [action] = rng.choices(functions, weights)
        name = action.__name__.removeprefix("step_")
        hasty = rng.random() < 0.3
        try:
            with trio.move_on_after(rng.choice(DEADLINES) if hasty else STEP_SECONDS) as scope:
                await action(rng)
            if scope.cancelled_caught:
                self.tally["cancelled"] += 1
                if not hasty:
                    self.faults.append(f"step {number}, {name}: {STEP_SECONDS:.0f} s went by")
        except Exception as error:  # noqa: BLE001 - it is what the walk is for
            trace = "".join(format_exception(error))
            self.faults.append(f"step {number}, {name}: {trace[-3000:]}")
        finally:
            self.tally[name] += 1
            free.release()

    async def _befriend(self, place: int) -> None:
        friend = Friend(place)
        await self._town.start(friend.live)
        replaced = self.friends[place : place + 1]
        self.friends[place : place + 1] = [friend]
        for old in replaced:
            old.leave.set()

    def _friend(self, rng: Random) -> Friend:
        return rng.choice(self.friends)

    def _somebody(self, rng: Random) -> PeerInfo:
        """A friend mostly, or somebody who cannot be reached, for any reason."""
        friend = self._friend(rng)
        store = self.host.get_peerstore()
        stranger = peer_id_of(rng.choice(STRANGERS))
        draw = rng.randrange(10)
        if draw < 6:
            return rng.choice((friend.info, info_of(friend.host), PeerInfo(friend.peer_id, [])))
        if draw == 6:
            return PeerInfo(stranger, [])
        if draw == 7:
            return PeerInfo(stranger, rng.choice(([NOWHERE], friend.info.addrs)))
        if draw == 8:
            store.add_addrs(stranger, [NOWHERE], 10)
            self._later += 11
            return PeerInfo(stranger, [])
        return info_of(self.host)

    # -- connections ----------------------------------------------------------------------------

    async def step_connect(self, rng: Random) -> None:
        with suppress(HostException):
            await self.host.connect(self._somebody(rng))

    async def step_connect_by_several(self, rng: Random) -> None:
        info = self._somebody(rng)

        async def one(seconds: float) -> None:
            with trio.move_on_after(seconds), suppress(HostException):
                await self.host.connect(info)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(one, rng.choice((*DEADLINES, STEP_SECONDS / 2)))

    async def step_be_connected(self, rng: Random) -> None:
        with suppress(HostException):
            await self._friend(rng).host.connect(info_of(self.host))

    async def step_disconnect(self, rng: Random) -> None:
        await self.host.disconnect(self._somebody(rng).peer_id)

    async def step_be_disconnected(self, rng: Random) -> None:
        await self._friend(rng).host.disconnect(self.host.get_id())

    async def step_dial_while_shut(self, rng: Random) -> None:
        friend = self._friend(rng)
        friend.proxy.shut()
        try:
            with trio.move_on_after(rng.choice(DEADLINES)), suppress(HostException):
                await self.host.connect(friend.info)
        finally:
            friend.proxy.gate.set()

    async def step_replace_friend(self, rng: Random) -> None:
        place = rng.randrange(len(self.friends))
        old = self.friends[place]
        if rng.random() < 0.5:
            old.leave.set()
        else:
            old.scope.cancel()
        with trio.CancelScope(shield=True):
            await self._befriend(place)

    async def step_abort_sockets(self, rng: Random) -> None:
        self._friend(rng).proxy.abort()

    async def step_listen_anew(self, rng: Random) -> None:
        swarm = self.host.get_network()
        with suppress(OpenConnectionError):
            await swarm.listen(LOOPBACK)
        await self._close_listeners()

    async def _close_listeners(self) -> None:
        """Close all but the newest."""
        listeners = self.host.get_network().listeners
        with trio.CancelScope(shield=True):
            while len(listeners) > 1:
                await listeners.pop(next(iter(listeners))).close()

    async def step_stranger_on_tcp(self, rng: Random) -> None:
        """Somebody says nonsense, or nothing, and goes with a bang."""
        addresses = self.host.get_transport_addrs()
        if not addresses:
            return
        port = int(addresses[-1].value_for_protocol("tcp"))
        words = (b"", b"\x13/multistream/1.0.0\n", rng.randbytes(200), b"GET / HTTP/1.1\r\n\r\n")
        with suppress(OSError), trio.socket.socket() as sock:
            await sock.connect(("127.0.0.1", port))
            await sock.send(rng.choice(words) or b"\x13")
            await trio.sleep(rng.choice(DEADLINES))
            if rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    # -- streams ----------------------------------------------------------------------------------

    async def _use(self, host: BasicHost, peer_id: ID, rng: Random) -> None:
        """Open a stream and end it in some way."""
        with suppress(HostException, IOException):
            stream = await host.new_stream(peer_id, rng.sample(PROTOCOLS, rng.randrange(1, 3)))
            await stream.write(rng.randbytes(rng.choice((1, 1000, 100_000))))
            way = rng.randrange(6)
            if way == 0:
                await stream.reset()
            elif way == 1:
                await stream.close_write()
                with trio.move_on_after(rng.choice(DEADLINES)):
                    await stream.read()
                await stream.reset()
            elif way == 2:
                await stream.close()
            elif way == 3:
                with trio.move_on_after(0.02):
                    await stream.read(1)
                await stream.close()
            elif way == 4:
                stream.set_deadline(0.01)
                await stream.read()
            # else it is forgotten

    async def step_stream(self, rng: Random) -> None:
        await self._use(self.host, self._somebody(rng).peer_id, rng)

    async def step_be_streamed_to(self, rng: Random) -> None:
        await self._use(self._friend(rng).host, self.host.get_id(), rng)

    async def step_ping(self, rng: Random) -> None:
        with suppress(BaseLibp2pError):
            await PingService(self.host).ping(self._somebody(rng).peer_id, rng.choice((1, 3)))

    async def step_change_handlers(self, rng: Random) -> None:
        protocol = rng.choice(PROTOCOLS[1:])
        self.host.remove_stream_handler(protocol)
        await trio.sleep(rng.choice(DEADLINES))
        set_handlers(self.host)

    # -- blocks -----------------------------------------------------------------------------------

    def _some_cids(self, rng: Random, most: int) -> list[CID]:
        cids = [cid for cid, _ in rng.sample(THEIRS, rng.randrange(1, most))]
        return [*cids, rng.choice(NOBODYS)] if rng.random() < 0.2 else cids

    async def _forget(self, cids: list[CID]) -> None:
        for cid in cids:
            await self.client.block_store.delete_block(cid)

    async def step_get(self, rng: Random) -> None:
        [cid, *_] = cids = self._some_cids(rng, 2)[-1:]
        peer_id = self._somebody(rng).peer_id if rng.random() < 0.5 else None
        with _fetching():
            await self.client.get_block(cid, peer_id, timeout=rng.choice((0.01, 0.5, 2)))
        await self._forget(cids)

    async def step_get_many(self, rng: Random) -> None:
        cids = self._some_cids(rng, 40)
        with _fetching():
            async for _ in self.client.get_blocks(cids, timeout=2, ordered=rng.random() < 0.5):
                pass
        await self._forget(cids)

    async def step_drop_iterators(self, rng: Random) -> None:
        """Begin to read from many iterators, and forget some while others are cancelled."""

        async def begin() -> None:
            with _fetching():
                async for _ in self.client.get_blocks(self._some_cids(rng, 10), timeout=2):
                    if rng.random() < 0.3:
                        break

        with trio.move_on_after(rng.choice(DEADLINES)):
            async with trio.open_nursery() as nursery:
                for _ in range(rng.choice((1, 5, 40, 400))):
                    nursery.start_soon(begin)
        await self._forget([cid for cid, _ in THEIRS])

    async def step_keep_iterator(self, rng: Random) -> None:
        """Begin an iterator in one step and forget it in a later one."""
        iterator = self.client.get_blocks(self._some_cids(rng, 10), timeout=2)
        with _fetching(), suppress(StopAsyncIteration):
            await anext(iterator)
        self._kept.append(iterator)
        if len(self._kept) > 4:
            del self._kept[0]

    async def step_have(self, rng: Random) -> None:
        peer_id = self._somebody(rng).peer_id if rng.random() < 0.5 else None
        cid = rng.choice((rng.choice(THEIRS)[0], rng.choice(NOBODYS)))
        await self.client.have_block(cid, peer_id, timeout=0.5)

    async def step_want_and_cancel(self, rng: Random) -> None:
        cid = self._some_cids(rng, 2)[-1]
        try:
            await self.client.want_block(cid)
            await trio.sleep(rng.choice(DEADLINES))
        finally:
            with trio.CancelScope(shield=True):
                await self.client.cancel_want(cid)

    async def step_serve(self, rng: Random) -> None:
        friend = self._friend(rng)
        cid, _ = rng.choice(OURS)
        with suppress(BitswapError):  # it may have left
            await friend.client.get_block(cid, timeout=rng.choice((0.01, 1)))
        await friend.client.block_store.delete_block(cid)

    async def step_refilter(self, rng: Random) -> None:
        await self.client.refilter()

    # -- what the user's code does -----------------------------------------------------------------

    async def step_moods(self, rng: Random) -> None:
        for whim in (self._filter, self._router.whim, self._tracer.whim):
            whim.raises = rng.random() < 0.3

    async def step_notifee(self, rng: Random) -> None:
        network = self.host.get_network()
        self._notifees.append(Notifee(rng))
        network.register_notifee(self._notifees[-1])
        if len(self._notifees) > 3:
            network.remove_notifee(self._notifees.pop(0))

    async def step_service(self, rng: Random) -> None:
        async def service() -> None:
            await trio.sleep(rng.choice(DEADLINES))
            raise Mine

        self.host.start_service(service)

    async def step_collect(self, rng: Random) -> None:
        gc.collect()

    async def step_short_life(self, rng: Random) -> None:
        """Another host lives for a moment, is cancelled anywhere in it, and is used afterwards."""
        host = new_host(key_pair=ed25519_pair(f"guest {rng.randrange(16)}"))
        client = BitswapClient(host, MemoryBlockStore())
        info = rng.choice((info_of(self.host), self._friend(rng).info))
        [cid] = self._some_cids(rng, 2)[:1]

        async def change(call: Callable[[], Awaitable[None]]) -> None:
            with suppress(BitswapError):  # stopped while it started
                await call()

        with trio.move_on_after(rng.choice((*DEADLINES, 1.0))):
            async with host.run([LOOPBACK]):
                async with trio.open_nursery() as nursery:
                    for call in rng.choices((client.start, client.stop), (3, 1), k=3):
                        nursery.start_soon(change, call)
                with suppress(HostException):
                    await host.connect(info)
                with suppress(BitswapError):
                    await client.get_block(cid, timeout=rng.choice((0.01, 0.3)))
                if rng.random() < 0.5:
                    await client.stop()
        with trio.fail_after(1):
            try:
                await host.connect(info)
            except HostException:
                pass
            else:
                raise AssertionError("a closed host has connected")
            with suppress(BitswapError):
                await client.get_block(rng.choice(NOBODYS), info.peer_id)
                raise AssertionError("a closed host has fetched")

    # -- afterwards -------------------------------------------------------------------------------

    async def _settle(self, name: str) -> None:
        """Undo what steps have left behind, and let the host come to rest."""
        for whim in (self._filter, self._router.whim, self._tracer.whim):
            whim.raises = False
        for notifee in self._notifees:
            self.host.get_network().remove_notifee(notifee)
        self._notifees.clear()
        self._kept.clear()
        gc.collect()
        for friend in self.friends:
            friend.leave.set()
        for peer_id in self.host.get_connected_peers():
            await self.host.disconnect(peer_id)
        self.friends.clear()
        await self._close_listeners()
        start = self.marks["start"]
        with trio.move_on_after(SETTLE_SECONDS):
            while True:
                now = self._measure()
                if now["tasks"] <= start["tasks"] and now["sockets"] <= start["sockets"]:
                    break
                await trio.sleep(0.05)
        self.marks[name] = self._measure()

    async def _still_alive(self) -> None:
        """Let somebody new ping the host and trade blocks with it."""
        (theirs, data), (ours, our_data) = block(5000), OURS[0]
        visitor = new_host()
        client = BitswapClient(visitor, MemoryBlockStore())
        await client.block_store.put_block(theirs, data)
        with trio.fail_after(10):
            async with visitor.run([LOOPBACK]), client.run():
                await visitor.connect(info_of(self.host))
                await PingService(visitor).ping(self.host.get_id())
                if await client.get_block(ours, self.host.get_id()) != our_data:
                    self.faults.append("the host's block is another one")
                if await self.client.get_block(theirs, visitor.get_id()) != data:
                    self.faults.append("the visitor's block is another one")
                for cid, _ in THEIRS[:3]:  # nothing of the walk makes them impossible to get
                    await self.client.block_store.delete_block(cid)
                    await client.add_block(cid, dict(THEIRS)[cid])
                    await self.client.get_block(cid, timeout=5)

    def _measure(self) -> dict[str, int]:
        """Count what a host that rests should have no more of than before."""
        gc.collect()
        status = Path("/proc/self/status").read_text()
        [resident] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return {
            "tasks": len(list(_tasks(trio.lowlevel.current_root_task()))),
            "sockets": sum(_is_socket(name) for name in os.listdir("/proc/self/fd")),
            "objects": len(gc.get_objects()),
            "bytes": int(resident.split()[1]) * 1024,
        }

    def _compare(self) -> None:
        start, quarter, end = self.marks.values()
        for name in ("tasks", "sockets"):
            if end[name] > start[name]:
                tasks = Counter(task.name for task in _tasks(trio.lowlevel.current_root_task()))
                self.faults.append(
                    f"{end[name]} {name} at the end, {start[name]} at the start: {tasks}"
                )
        for name, most in (("objects", MAX_GROWN_OBJECTS), ("bytes", MAX_GROWN_BYTES)):
            if (grown := end[name] - quarter[name]) > most:
                self.faults.append(f"{grown} more {name} at the end than after a quarter")


#: Steps that are taken more often, or less, than others.
WEIGHTS: Final = {
    "step_connect": 6,
    "step_be_connected": 4,
    "step_stream": 6,
    "step_be_streamed_to": 4,
    "step_get": 6,
    "step_replace_friend": 1,
    "step_collect": 1,
}


@contextmanager
def _fetching() -> Iterator[None]:
    """A fetch may fail, but not because bitswap had ended: it runs all the time."""
    try:
        yield
    except ClientClosedError:
        raise
    except BitswapError:
        pass


def _tasks(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks(child)


def _is_socket(descriptor: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=BytesWarning, module="varint")
    walk = Walk(options.seed, options.steps)
    logging.getLogger().addHandler(walk.log)
    sys.unraisablehook = lambda what: walk.faults.append(
        f"unraisable in {what.object!r}: {what.exc_value!r}"
    )
    try:
        trio.run(walk.run)
    except BaseException as error:  # noqa: BLE001 - the host has died
        walk.faults.append("the host has died: " + "".join(format_exception(error))[-6000:])
    gc.collect()
    faults = [*walk.faults, *walk.log.unexpected]
    print(json.dumps({"faults": faults, "tally": walk.tally, "marks": walk.marks}, indent=1))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
