"""What a yamux connection does between its last frame and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.stream_muxer.yamux.yamux import CLOSE_GRACE
from tests.support.ends import GO_AWAY, PING, SYN, WINDOW_UPDATE, RawFrame, frame
from tests.support.memory_session import against_raw_peer

if TYPE_CHECKING:
    from trio.testing import MockClock


@pytest.mark.parametrize(
    "late", [frame(PING, SYN, 0, 7), frame(WINDOW_UPDATE, SYN, 2)], ids=["a ping", "a new stream"]
)
async def test_what_would_need_an_answer_does_not_cut_the_grace_short(
    autojump_clock: MockClock, late: bytes
) -> None:
    """The peer has not seen our end yet; it still reads what was sent before."""
    async with against_raw_peer() as (connection, peer), trio.open_nursery() as nursery:
        await peer.receive()
        started = trio.current_time()
        nursery.start_soon(connection.close, 0x1006)
        assert await peer.receive_all() == [RawFrame(GO_AWAY, 0, 0, 0x1006)]
        await peer.send(late)
        await connection.event_closed.wait()
        assert trio.current_time() - started == pytest.approx(CLOSE_GRACE)
