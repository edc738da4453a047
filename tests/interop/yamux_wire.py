"""Watches the frames between our yamux and a peer's, without any code of ours that is tested."""

from __future__ import annotations

from collections import defaultdict
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.security.channel import PlainChannel
from tests.support.ends import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libp2p.base_types import Buffer

KIB: Final = 1 << 10
FIRST_WINDOW: Final = 256 * KIB
"""What the specification lets either side send before any window update."""
LARGEST_BODY: Final = 65_507
"""One frame of ours fits one Noise record."""

_HEADER: Final = Struct(">BBHII")


class Seen(NamedTuple):
    """The header of a frame that passed."""

    ours: bool
    """Whether we sent it."""
    kind: int
    flags: int
    stream_id: int
    length: int


class _Headers:
    """Cuts one direction into frames; keeps no bodies."""

    def __init__(self, ours: bool) -> None:
        self._ours = ours
        self._partial = bytearray()
        self._body_left = 0

    def feed(self, data: Buffer) -> list[Seen]:
        """The headers that are complete now."""
        found = []
        rest = memoryview(data)
        while len(rest):
            if self._body_left:
                step = min(self._body_left, len(rest))
                self._body_left -= step
            else:
                step = min(_HEADER.size - len(self._partial), len(rest))
                self._partial += rest[:step]
                if len(self._partial) == _HEADER.size:
                    found.append(self._take())
            rest = rest[step:]
        return found

    def _take(self) -> Seen:
        version, kind, flags, stream_id, length = _HEADER.unpack(self._partial)
        assert version == 0
        self._partial.clear()
        self._body_left = length if kind == DATA else 0
        return Seen(self._ours, kind, flags, stream_id, length)


class WireTap(PlainChannel):
    """No encryption, and a look at every frame: ours as they are sent, the peer's as they come."""

    def __init__(self) -> None:
        self.frames: list[Seen] = []
        self._sent, self._received = _Headers(True), _Headers(False)
        self._changed = trio.lowlevel.ParkingLot()

    def open(self, data: memoryview) -> tuple[list[Buffer], int]:
        """Look at what the peer sent."""
        self._add(self._received.feed(data))
        return super().open(data)

    def seal(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Look at what we send."""
        for buffer in buffers:
            self._add(self._sent.feed(buffer))
        return super().seal(buffers)

    def _add(self, frames: list[Seen]) -> None:
        self.frames += frames
        self._changed.unpark_all()

    def select(
        self, *, ours: bool, kind: int, flags: int = 0, stream_id: int | None = None
    ) -> list[Seen]:
        """The frames of one side and kind that have all of ``flags``."""
        return [
            seen
            for seen in self.frames
            if (seen.ours, seen.kind, seen.flags & flags) == (ours, kind, flags)
            and stream_id in (None, seen.stream_id)
        ]

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until the frames that have passed satisfy ``check``."""
        while not check():
            await self._changed.park()

    def check(self, is_initiator: bool) -> None:
        """Assert that we kept every rule, and that the peer took our credit for what it is."""
        for seen in self.frames:
            if seen.ours:
                _check_ours(seen, is_initiator)
        assert GO_AWAY not in [seen.kind for seen in self.frames if seen.ours][:-1]
        self.most_credit(ours=True)
        pings = [seen.length for seen in self.select(ours=False, kind=PING, flags=SYN)]
        pongs = [seen.length for seen in self.select(ours=True, kind=PING, flags=ACK)]
        assert pongs == pings[: len(pongs)]
        assert len(pings) - len(pongs) <= 1, "a ping was not answered"

    def most_credit(self, *, ours: bool) -> int:
        """
        The most that one side was allowed to send at any moment just after a window update.

        Asserts on the way that neither side ever sends more than it may.
        """
        credit: defaultdict[tuple[bool, int], int] = defaultdict(lambda: FIRST_WINDOW)
        most = 0
        for seen in self.frames:
            if seen.kind == DATA:
                credit[seen.ours, seen.stream_id] -= seen.length
                assert credit[seen.ours, seen.stream_id] >= 0, f"{seen} is beyond the window"
            elif seen.kind == WINDOW_UPDATE and seen.length and not seen.flags & RST:
                receiver = not seen.ours
                credit[receiver, seen.stream_id] += seen.length
                if receiver == ours:
                    most = max(most, credit[receiver, seen.stream_id])
        return most


def _check_ours(seen: Seen, is_initiator: bool) -> None:
    """Control frames are window updates, those with flags grant nothing, and data has no flags."""
    if seen.kind == DATA:
        assert seen.flags == 0
        assert 0 < seen.length <= LARGEST_BODY
    if seen.kind == WINDOW_UPDATE:
        assert seen.flags in (0, SYN, ACK, FIN, ACK | FIN, RST)
        if seen.flags != RST:  # whose length is a code
            assert (seen.length > 0) == (seen.flags == 0)
        if seen.flags == SYN:
            assert seen.stream_id % 2 == is_initiator
