"""An iteration across threads whose questions are late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import trio
import trio.testing

from libp2p.bridge.across import MAX_ITEMS_AHEAD, Pumped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class LateThread:
    """Runs tasks in a nursery; what is to be called soon waits until `deliver`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._late: list[Callable[[], object]] = []

    def start(self, task: Callable[[], Awaitable[None]], _on_end: object) -> None:
        async def run() -> None:
            await task()

        self._nursery.start_soon(run)

    def soon(self, function: Callable[[], object]) -> None:
        self._late.append(function)

    async def deliver(self, count: int) -> None:
        for _ in range(count):
            self._late.pop(0)()
            await trio.testing.wait_all_tasks_blocked()


class TrioSide:
    def signal(self) -> trio.Event:
        return trio.Event()


async def test_a_question_that_crossed_with_an_answer_allows_nothing_more() -> None:
    made: list[int] = []
    taken: list[int] = []
    go_on = trio.Event()

    async def numbers() -> AsyncIterator[int]:
        for number in range(1000):
            if number == 20:
                await go_on.wait()
            made.append(number)
            yield number

    async with trio.open_nursery() as nursery:
        thread = LateThread(nursery)
        pumped = Pumped[int](cast("Any", thread), cast("Any", TrioSide()), numbers)

        async def take(count: int) -> None:
            for _ in range(count):
                taken.append(await pumped.next())

        nursery.start_soon(take, 32)
        await trio.testing.wait_all_tasks_blocked()
        await thread.deliver(5)  # questions for 1, 2, 4, 8 and 16 items
        assert taken == list(range(20))
        # What was allowed comes while a question is on its way, and so there are two of them.
        go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert taken == list(range(31))
        await thread.deliver(2)
        assert taken == list(range(32))
        assert len(made) <= len(taken) + MAX_ITEMS_AHEAD
        nursery.cancel_scope.cancel()
