"""A line for each burst of blocks to a peer, at INFO only."""

from __future__ import annotations

import logging

import pytest

from libp2p.bitswap.serve.served import LONG_SECONDS, ServedLog
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID

FIRST, OTHER = CID.for_block(b"first"), CID.for_block(b"other")
ANN, BOB = ID(b"\x00\x03ann"), ID(b"\x00\x03bob")


class Timed:
    """A log, and the timer that it is given, which moves forward only."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timer: float | None = None
        self.log = ServedLog(self._call_at)

    def _call_at(self, when: float) -> None:
        self._timer = when if self._timer is None else min(self._timer, when)

    def note(self, peer_id: ID, first: CID, blocks: int, size: int) -> None:
        self.log.note(peer_id, first, blocks, size, self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timer is not None and self._timer <= end:
            self.now, self._timer = self._timer, None
            self.log.tell(self.now)
        self.now = end


@pytest.fixture
def timed(caplog: pytest.LogCaptureFixture) -> Timed:
    caplog.set_level(logging.INFO)
    return Timed()


def test_each_burst_is_told_once(timed: Timed, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        timed.note(ANN, FIRST, 2, 100)
        timed.note(BOB, OTHER, 1, 10)
        timed.wait(0.5)
    timed.log.forget(BOB)  # it has gone
    timed.wait(10)
    timed.note(ANN, OTHER, 1, 10)
    timed.wait(10)
    assert caplog.messages == [
        f"served: {BOB} got 3 blocks of 30 bytes in 1.00 s, the first was {OTHER}",
        f"served: {ANN} got 6 blocks of 300 bytes in 1.00 s, the first was {FIRST}",
        f"served: {ANN} got 1 blocks of 10 bytes in 0.00 s, the first was {OTHER}",
    ]


def test_what_does_not_end_is_told_in_parts(timed: Timed, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(int(3 * LONG_SECONDS)):
        timed.note(ANN, FIRST, 1, 1)
        timed.wait(0.6)
    timed.wait(10)
    assert len(caplog.messages) in (2, 3)


def test_what_a_peer_got_is_told_when_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = ServedLog(lambda when: None)  # a client that has stopped calls at no time
    log.note(ANN, FIRST, 1, 1, 0)
    log.forget(BOB)
    log.forget(ANN)
    log.tell(1000)
    assert len(caplog.messages) == 1


def test_nothing_is_counted_where_the_log_is_off() -> None:
    log = ServedLog(lambda when: pytest.fail("a timer was set"))
    log.note(ANN, FIRST, 1, 1, 0)
    log.forget(ANN)
