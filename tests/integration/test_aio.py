"""The library under asyncio: `libp2p.aio`, and the bridge below it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import uvloop

from libp2p import aio
from libp2p.base_types import TProtocol
from libp2p.bridge import trio_thread
from libp2p.bridge.across import MAX_ITEMS_AHEAD
from libp2p.bridge.streams import MAX_UNSENT_BYTES
from libp2p.exceptions import BridgeClosedError, InvalidCID, LocalProtocolError, StreamReset
from libp2p.ipfs_lite import Peer, PeerClosedError, UnixFSReader
from libp2p.ipfs_lite.errors import NotPinnedError

ECHO = TProtocol("/echo/1.0.0")
LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
CONTENT = random.Random(5).randbytes(3_000_000)

#: ``NIGHTLY=1`` (``make nightly``) cancels ten thousand times.
NIGHTLY = bool(os.environ.get("NIGHTLY"))
CANCELLATIONS = 10_000 if NIGHTLY else 400

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@asynccontextmanager
async def two_peers(folder: Path) -> AsyncIterator[tuple[Peer, Peer]]:
    """Open two peers; the second has connected to the first."""
    async with (
        aio.Peer.open(folder / "a", listen=LOOPBACK) as first,
        aio.Peer.open(folder / "b") as second,
    ):
        await second.connect(first.addrs[0])
        yield first, second


@asynccontextmanager
async def two_hosts(*handlers: Callable[..., Awaitable[None]]) -> AsyncIterator[tuple[Any, Any]]:
    """Run two hosts; the second has connected to the first, which has the handler for ECHO."""
    first, second = aio.new_host(), aio.new_host()
    for handler in handlers:
        first.set_stream_handler(ECHO, handler)
    async with first.run(LOOPBACK), second.run([]):
        await second.connect(first.get_addrs()[0])
        yield first, second


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    """Return what runs a program of asyncio."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


async def tasks_of_trio() -> Counter[str]:
    """Count the tasks in trio's thread by their names."""

    async def names() -> Counter[str]:
        root = trio.lowlevel.current_root_task()
        assert root is not None
        waiting, found = [root], Counter[str]()
        while waiting:
            task = waiting.pop()
            found[task.name] += 1
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return found

    return await aio.bridge(names)()


# -- what goes over -------------------------------------------------------------------------------


def test_a_file_is_traded(run: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_peers(tmp_path) as (first, second):
            added = await first.add_file(CONTENT)
            assert isinstance(first, Peer)
            assert isinstance(first, aio.Peer)
            async with await second.get_file(added.cid) as file:
                assert isinstance(file, UnixFSReader)
                assert await file.read(1000) == CONTENT[:1000]
                assert file.tell() == 1000
                assert b"".join([part async for part in file]) == CONTENT[1000:]
            assert {pin.kind async for pin in first.pins.ls()} == {"recursive", "indirect"}
            assert second.peers() == [first.peer_id]

    run(main())


def test_errors_are_raised_as_they_are(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.Peer.open(tmp_path / "repo", online=False) as peer:
            with pytest.raises(InvalidCID):
                await peer.get_file("no cid")
            with pytest.raises(NotPinnedError):
                await peer.pins.rm("bafkqaaa")
            with pytest.raises(AttributeError):
                _ = peer._network  # what is private is not for other threads
            with pytest.raises(AttributeError):
                _ = peer.no_such_name  # type: ignore[attr-defined]
        with pytest.raises(PeerClosedError):
            await peer.add_file(b"late")
        with pytest.raises(ZeroDivisionError):
            async with aio.Peer.open(tmp_path / "repo", online=False):
                _ = 1 / 0

    asyncio.run(main())


def test_coroutine_functions_and_iterators_of_asyncio_run_in_its_loop(tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: list[str] = []

        async def parts() -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0)
                assert asyncio.get_running_loop() is loop
                yield bytes([number]) * 1000

        async def told(path: str, result: object) -> None:
            await asyncio.sleep(0)
            seen.append(path)

        reader = asyncio.StreamReader()
        reader.feed_data(b"from a socket")
        reader.feed_eof()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "name").write_bytes(b"x")
        async with aio.Peer.open(tmp_path / "repo", online=False) as peer:
            assert (await peer.add_file(parts())).size == 3000
            added = await peer.add_file(reader)
            async with await peer.get_file(added.cid) as file:
                assert await file.read() == b"from a socket"
            await peer.add_tree(tmp_path / "folder", added=told)
            assert "name" in seen

    asyncio.run(main())


def test_context_variables_go_over_in_both_directions() -> None:
    async def read() -> str:
        await trio.lowlevel.checkpoint()
        return variable.get()

    async def main() -> None:
        seen: list[str] = []

        async def handler(stream: Any) -> None:
            seen.append(variable.get())
            await stream.close()

        variable.set("handler's")
        async with two_hosts(handler) as (first, second):
            variable.set("caller's")
            assert await aio.bridge(read)() == "caller's"
            async with await second.new_stream(first.get_id(), [ECHO]) as stream:
                assert await stream.read() == b""
        assert seen == ["handler's"]

    asyncio.run(main())


def test_an_editor_sees_names_texts_and_signatures(tmp_path: Path) -> None:
    import inspect

    async def main() -> None:
        async with aio.Peer.open(tmp_path / "repo", online=False) as peer:
            assert {"add_file", "pins", "host"} <= set(dir(peer))
            assert peer.add_file.__doc__ == Peer.add_file.__doc__
            assert "profile" in inspect.signature(peer.add_file).parameters
            assert inspect.iscoroutinefunction(peer.add_file)
            assert "Peer" in repr(peer)
            with pytest.raises(LocalProtocolError):
                multiprocessing.reduction.ForkingPickler.dumps(peer)
        assert aio.Peer.__doc__ == Peer.__doc__
        assert "new_host" in dir(aio)
        with pytest.raises(AttributeError):
            _ = aio.no_such_name

    asyncio.run(main())


def test_plain_python_uses_the_same_bridge(tmp_path: Path) -> None:
    from libp2p.bridge.remote import bridged
    from libp2p.bridge.side import BlockingSide

    peer_class = bridged(BlockingSide(), Peer)
    with peer_class.open(tmp_path / "repo", online=False) as peer:
        added = peer.add_file(CONTENT)
        with peer.get_file(added.cid) as file:
            assert b"".join(file) == CONTENT
        pins = peer.pins.ls()
        assert next(pins).cid == added.cid
        pins.close()
        assert list(pins) == []
        with peer.lease():
            assert peer.has_block(added.cid)
        with pytest.raises(ZeroDivisionError), peer.get_file(added.cid):
            _ = 1 / 0


# -- cancellation ---------------------------------------------------------------------------------


class Fate:
    """What became of something that never ends by itself."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = False

    async def wait(self) -> None:
        self.begun.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled = True
            raise


def test_what_asyncio_cancels_ends_on_trio(run: Any) -> None:
    async def main() -> None:
        fate = Fate()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await aio.bridge(fate.wait)()
        assert fate.cancelled  # and not only soon

    run(main())


def test_what_trio_cancels_ends_in_asyncio() -> None:
    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def handler(stream: Any) -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        async with two_hosts(handler) as (first, second):
            await second.new_stream(first.get_id(), [ECHO])
            await begun.wait()
        assert ended.is_set()

    asyncio.run(main())


def test_a_context_that_fails_interrupts_its_block() -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[str]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            yield "entered"

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("in the background")

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as found:  # noqa: PT012
            async with aio.bridge(failing)() as value:
                assert value == "entered"
                await asyncio.sleep(60)
        assert found.group_contains(ValueError)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # nothing is left of the interruption
        with pytest.raises(ExceptionGroup):
            async with aio.bridge(failing)():
                time.sleep(0.3)  # noqa: ASYNC251 - the block learns of it at its end
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_cancelled_block_leaves_its_context(tmp_path: Path) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def work() -> None:
            async with aio.Peer.open(tmp_path / "repo", online=False):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with aio.Peer.open(tmp_path / "repo", online=False):  # it is not locked
            pass

    asyncio.run(main())


def test_a_cancelled_read_loses_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async def handler(stream: Any) -> None:
            for start in range(0, len(CONTENT), 3000):
                await stream.write(CONTENT[start : start + 3000])
                await asyncio.sleep(0)
            await stream.close_write()

        received = b""
        async with two_hosts(handler) as (first, second):
            stream = await second.new_stream(first.get_id(), [ECHO])
            chance = random.Random(1)
            while len(received) < len(CONTENT):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.random() * 0.003):
                        received += await stream.read(50_000)
        assert received == CONTENT

    asyncio.run(main())


async def echo(stream: Any) -> None:
    while data := await stream.receive():
        await stream.send(data)
    await stream.close()


async def read_a_part(peer: Any, target: Any, cid: Any) -> None:
    async with await peer.get_file(cid) as file:
        await file.read(random.randrange(2_000_000))


async def list_pins(peer: Any, target: Any, cid: Any) -> None:
    async for _ in peer.pins.ls():
        await asyncio.sleep(0)


async def add(peer: Any, target: Any, cid: Any) -> None:
    await peer.add_file(os.urandom(300_000), pin=False)


async def use_a_stream(peer: Any, target: Any, cid: Any) -> None:
    async with await peer.host.new_stream(target, [ECHO]) as stream:
        await stream.write(b"x" * 100_000)
        await stream.read_exactly(100_000)


async def read_in_a_session(peer: Any, target: Any, cid: Any) -> None:
    async with peer.session() as session, await session.get_file(cid) as file:
        await file.read(10)


async def look(peer: Any, target: Any, cid: Any) -> None:
    await peer.has_block(cid)


USES = (read_a_part, list_pins, add, use_a_stream, read_in_a_session, look)


@pytest.mark.slow
@pytest.mark.timeout(1800 if NIGHTLY else 60)
def test_cancelling_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        chance = random.Random(CANCELLATIONS)
        async with two_peers(tmp_path) as (first, second):
            first.host.set_stream_handler(ECHO, echo)
            target, cid = first.peer_id, (await first.add_file(CONTENT)).cid
            for use in USES:
                await use(second, target, cid)
            await second.remove((await second.add_file(b"x")).cid)
            before, tasks = await tasks_of_trio(), asyncio.all_tasks()
            for _ in range(CANCELLATIONS // 20):
                uses = [
                    asyncio.create_task(chance.choice(USES)(second, target, cid)) for _ in range(20)
                ]
                await asyncio.sleep(chance.random() * 0.02)
                for task in uses:
                    task.cancel()
                for result in await asyncio.gather(*uses, return_exceptions=True):
                    assert isinstance(result, asyncio.CancelledError | None), repr(result)
            gc.collect()
            await settled(lambda: asyncio.all_tasks() == tasks)
            await settled(lambda: not streams_of(first) and not streams_of(second))
            for _ in range(200):
                left = await tasks_of_trio() - before
                if not left:
                    break
                await asyncio.sleep(0.05)
            assert not left
            assert second.bitswap.get_wantlist() == []
            assert second.resources.scope("readers").held == 0

    asyncio.run(main())


def streams_of(peer: Peer) -> list[Any]:
    """Return the streams of `use_a_stream`."""
    connections = peer.host.get_network().get_connections()
    streams = [stream for connection in connections for stream in connection.get_streams()]
    return [stream for stream in streams if stream.get_protocol() == ECHO]


async def settled(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, for ten seconds."""
    for _ in range(200):
        if is_so():
            return
        await asyncio.sleep(0.05)
    assert is_so()


# -- back-pressure --------------------------------------------------------------------------------


def test_a_writer_waits_for_a_peer_that_does_not_read() -> None:
    async def main() -> None:
        go = asyncio.Event()
        sizes: list[int] = []

        async def handler(stream: Any) -> None:
            await go.wait()
            sizes.append(len(await stream.read()))

        async with two_hosts(handler) as (first, second):
            stream = await second.new_stream(first.get_id(), [ECHO])
            written = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while written < 100 * 2**20:
                        await stream.write(b"x" * 65536)
                        written += 65536
            assert written <= MAX_UNSENT_BYTES + 18 * 2**20  # and the window
            go.set()
            await stream.close_write()
            await settled(lambda: bool(sizes))
            # The write that was cancelled was accepted too.
            assert sizes[0] == written + 65536

    asyncio.run(main())


def test_an_iteration_works_ahead_by_little() -> None:
    made: list[int] = []
    ended: list[bool] = []

    async def count() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            await trio.lowlevel.checkpoint()
            ended.append(True)

    async def main() -> None:
        numbers = aio.bridge(count)()
        assert await anext(numbers) == 0
        await asyncio.sleep(0.1)
        assert made == [0]  # who ends now has caused nothing more
        for number in range(1, 100):
            assert await anext(numbers) == number
        await asyncio.sleep(0.1)
        assert len(made) <= 100 + MAX_ITEMS_AHEAD
        await numbers.aclose()  # type: ignore[attr-defined]
        assert ended == [True]  # as a generator that is closed, not one that is cancelled
        with pytest.raises(StopAsyncIteration):
            await anext(numbers)
        assert [number async for number in aio.bridge(count)()] == list(range(1000))
        async for _ in aio.bridge(count)():
            break
        gc.collect()
        await settled(lambda: len(ended) == 3)

    asyncio.run(main())


def test_what_fails_after_a_write_is_raised_by_the_next() -> None:
    async def main() -> None:
        async def handler(stream: Any) -> None:
            await stream.reset()

        async with two_hosts(handler) as (first, second):
            stream = await second.new_stream(first.get_id(), [ECHO])
            with pytest.raises(StreamReset):  # noqa: PT012
                for _ in range(1000):
                    await stream.write(b"x" * 65536)
                    await asyncio.sleep(0.001)

    asyncio.run(main())


# -- loops, threads, processes --------------------------------------------------------------------


def test_several_loops_share_one_thread_of_trio(tmp_path: Path) -> None:
    results: list[bytes] = []

    def in_thread(number: int) -> None:
        async def main() -> None:
            async with aio.Peer.open(tmp_path / str(number), online=False) as peer:
                added = await peer.add_file(b"%d" % number)
                async with await peer.get_file(added.cid) as file:
                    results.append(await file.read())

        asyncio.run(main())

    threads = [threading.Thread(target=in_thread, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [b"0", b"1", b"2", b"3"]
    assert sum(thread.name == "libp2p" for thread in threading.enumerate()) == 1


def test_an_object_is_used_by_one_loop_after_the_other() -> None:
    host = aio.new_host()

    async def connections() -> int:
        async with host.run(LOOPBACK):
            return len(host.get_addrs())

    assert [asyncio.run(connections()) for _ in range(2)] == [1, 1]


_FORKING = """
import asyncio, os, sys, warnings
from libp2p import aio
from libp2p.exceptions import BridgeClosedError

async def add(repo):
    async with aio.Peer.open(repo, online=False) as peer:
        return str((await peer.add_file(b"content")).cid)

def run(folder):
    host = aio.new_host()
    parent = asyncio.run(add(folder + "/parent"))
    child = os.fork()
    if not child:
        try:
            host.get_id()
        except BridgeClosedError:
            assert asyncio.run(add(folder + "/child")) == parent
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert asyncio.run(add(folder + "/parent")) == parent
    print("both")

run(sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_begins_anew(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORKING, str(tmp_path)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "both\n", "")


_ENDING = """
import asyncio, sys
from libp2p import aio

async def main():
    peer = await aio.Peer.open(sys.argv[1], online=False).__aenter__()
    await peer.add_file(b"content")
    print("added", flush=True)

asyncio.run(main())
"""


def test_a_process_that_closes_nothing_ends_all_the_same(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _ENDING, str(tmp_path / "repo")],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "added\n", "")
    assert time.monotonic() - began < 10


def test_after_the_end_of_the_thread_calls_say_so_and_new_objects_work(tmp_path: Path) -> None:
    host = aio.new_host()
    trio_thread.stop()
    with pytest.raises(BridgeClosedError):
        host.get_id()
    assert aio.new_host().get_addrs() == []


def test_importing_loads_neither_trio_nor_the_peer() -> None:
    code = "import sys, libp2p; print('libp2p.aio' in sys.modules, 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
