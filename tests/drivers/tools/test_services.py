"""py-libp2p's services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.kad_dht import KadDHT
from libp2p.tools.anyio_service import (
    DaemonTaskExit,
    LifecycleError,
    Service,
    TrioManager,
    as_service,
    background_trio_service,
)
from libp2p.tools.async_service.trio_service import background_trio_service as of_version_0_6
from tests.support.dht_hosts import memory_host

if TYPE_CHECKING:
    from trio.testing import MockClock


class Worker(Service):
    """A service with a task."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def run(self) -> None:
        self.manager.run_daemon_task(self._task)
        self.events.append("runs")
        try:
            await trio.sleep_forever()
        finally:
            self.events.append("ended")

    async def _task(self) -> None:
        self.events.append("task")
        await trio.sleep_forever()


async def test_a_service_runs_while_the_block_is_entered() -> None:
    worker = Worker()
    with pytest.raises(LifecycleError, match="not been run"):
        worker.get_manager()
    async with background_trio_service(worker) as manager:
        assert manager is worker.get_manager()
        await trio.testing.wait_all_tasks_blocked()
        assert manager.is_started
        assert manager.is_running
        assert worker.events == ["runs", "task"]
        with pytest.raises(LifecycleError, match="running already"):
            async with background_trio_service(worker):
                pass
    assert worker.events[-1] == "ended"
    assert manager.is_finished
    assert manager.is_cancelled
    assert not manager.did_error
    with pytest.raises(LifecycleError, match="not running"):
        manager.run_task(trio.sleep, 1)
    async with of_version_0_6(worker):
        assert worker.get_manager() is not manager


async def test_a_service_may_end_by_itself() -> None:
    @as_service
    async def greet(manager: TrioManager, name: str, *, to: list[str]) -> None:
        """Say hello."""
        to.append(f"hello {name}")

    greeted: list[str] = []
    async with background_trio_service(greet("you", to=greeted)) as manager:  # type: ignore[call-arg]
        await manager.wait_started()
        await manager.wait_finished()
        assert greeted == ["hello you"]
        assert not manager.is_running
    assert greet.__name__ == "greet"
    assert greet.__doc__ == "Say hello."


async def test_a_failure_is_raised_where_the_service_was_started() -> None:
    @as_service
    async def fail(manager: TrioManager) -> None:
        raise KeyError("broken")

    with pytest.raises(ExceptionGroup) as caught:
        async with background_trio_service(fail()) as manager:
            await trio.sleep_forever()
    assert caught.group_contains(KeyError, match="broken")
    assert manager.did_error


async def test_a_task_that_is_to_run_for_ever_must_not_return() -> None:
    @as_service
    async def serve(manager: TrioManager) -> None:
        async def returns() -> None:
            await trio.lowlevel.checkpoint()

        manager.run_daemon_task(returns)
        await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        async with background_trio_service(serve()):
            await trio.sleep_forever()
    assert caught.group_contains(DaemonTaskExit, match="for ever")


async def test_a_service_has_children() -> None:
    worker = Worker()

    @as_service
    async def parent(manager: TrioManager) -> None:
        child = manager.run_daemon_child_service(worker)
        await child.wait_started()
        await trio.sleep_forever()

    async with background_trio_service(parent()):
        await trio.testing.wait_all_tasks_blocked()
        assert worker.events == ["runs", "task"]
    assert worker.events[-1] == "ended"


async def test_a_dht_is_run_as_a_service(autojump_clock: MockClock) -> None:
    host = memory_host()
    dht = KadDHT(host, lan=True)
    async with host.run():
        async with background_trio_service(dht):
            assert dht.active_mode == "server"
        assert dht.active_mode == "client"
        with pytest.raises(ExceptionGroup) as caught:
            async with background_trio_service(dht):
                raise KeyError("mine")
    assert caught.group_contains(KeyError)
