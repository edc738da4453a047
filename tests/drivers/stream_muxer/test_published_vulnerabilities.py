"""What was published about waiting in other yamux implementations, named after the advisory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.exceptions import MuxedConnError, MuxedConnUnavailable, MuxedStreamReset
from libp2p.stream_muxer.yamux.config import MAX_UNACKNOWLEDGED, WRITE_PROGRESS_TIMEOUT
from tests.support.ends import PING, SYN, frame
from tests.support.memory_session import against_raw_peer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MIB = 1024 * 1024


async def test_ghsa_29qp_crvh_w22m_a_write_timeout_ends_the_connection_and_wakes_everybody(
    autojump_clock: MockClock,
) -> None:
    # hashicorp's yamux: after a write timeout, whoever waited for a frame to go out hung for ever.
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        woken: list[tuple[str, float]] = []

        async def expect(
            name: str, error: type[Exception], act: Callable[[], Awaitable[object]]
        ) -> None:
            with pytest.raises(error) as caught:
                await act()
            assert caught.value.__cause__ is connection.close_cause
            woken.append((name, trio.current_time()))

        async def keep_talking() -> None:  # it lives, but it reads nothing
            while not connection.is_closed:
                await peer.send(frame(PING, SYN, 0, 1))
                await trio.sleep(1)

        streams = [await connection.open_stream() for _ in range(MAX_UNACKNOWLEDGED)]
        for number in (2, 3, 4):
            streams[number].state.send_credit = 2 * MIB
        waiting: dict[str, Callable[[], Awaitable[object]]] = {
            "reader": streams[0].receive,
            "writer without credit": lambda: streams[1].write(bytes(MIB)),
            "writers for the socket": lambda: streams[2].write(bytes(2 * MIB)),
            "the next in line": lambda: streams[3].write(bytes(2 * MIB)),
            "the last in line": lambda: streams[4].write(bytes(2 * MIB)),
        }
        nursery.start_soon(keep_talking)
        for name, act in waiting.items():
            nursery.start_soon(expect, name, MuxedStreamReset, act)
        nursery.start_soon(expect, "opener", MuxedConnUnavailable, connection.open_stream)
        nursery.start_soon(expect, "accepter", MuxedConnUnavailable, connection.accept_stream)
        await wait_all_tasks_blocked()
        assert not woken
        await connection.event_closed.wait()
        await wait_all_tasks_blocked()
        assert {name for name, _ in woken} == {*waiting, "opener", "accepter"}
        assert [when for _, when in woken] == [pytest.approx(WRITE_PROGRESS_TIMEOUT)] * len(woken)
        assert isinstance(connection.close_cause, MuxedConnError)
        assert "read nothing" in str(connection.close_cause)
        nursery.cancel_scope.cancel()
