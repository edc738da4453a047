"""
What one connection holds of its host's budgets (sans-I/O).

Four things are counted over all connections of a host: growth of receive windows, unread bytes,
bytes that wait to be sent, and inbound streams. The scopes are updated in steps, so that a
connection that is read and written promptly costs next to nothing.

Unread bytes lie in views of what was decrypted together, which stays in memory as a whole. So as
long as something of the last batch is unread, the whole batch counts. With the next batch, or when
memory is short, what is still unread is copied out of it where that saves something.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from libp2p.io.chunk_queue import COPY_BELOW
from libp2p.resources import Scope

if TYPE_CHECKING:
    from libp2p.resources import Resources
    from libp2p.stream_muxer.yamux.stream_state import StreamState

#: Growth of all receive windows of a host, if its configuration says nothing else.
HOST_RECEIVE_BUDGET: Final = 256 * 1024 * 1024
#: Bytes that may lie unread in all streams of a host: the first 256 KiB of 192 slow readers. Where
#: there are more, the connection with the most loses its fullest stream.
MAX_UNREAD_BYTES: Final = 48 * 1024 * 1024
#: Bytes that may wait for sockets in all connections of a host. Where there are more, each
#: connection may queue only as many as keep it going.
MAX_QUEUED_BYTES: Final = 32 * 1024 * 1024
#: Inbound streams of a host. For a further one, the connection with the most loses idle ones.
MAX_HOST_INBOUND_STREAMS: Final = 8192
#: What an inbound stream takes in memory, about, without its handler.
STREAM_BYTES: Final = 4 * 1024
#: By how many bytes a scope may differ from what is really held.
ACCOUNT_STEP: Final = 32 * 1024
#: More pieces than an inbox has.
_ALL_PIECES: Final = sys.maxsize // 2
#: What a queued control frame takes as a Python object.
CONTROL_FRAME_BYTES: Final = 56


class Holdings:
    """The scopes of a connection, and what was last reported to them."""

    __slots__ = (
        "_batch_bytes",
        "_fresh",
        "_host_queued",
        "_inbound",
        "_pinned",
        "_queued",
        "_queued_limit",
        "_queued_reported",
        "_reported",
        "_unread",
        "_unread_scope",
        "sealed",
        "windows",
    )

    def __init__(
        self,
        resources: Resources,
        name: str,
        receive_budget: int,
        cut_unread: Callable[[], object],
        cut_inbound: Callable[[], object],
    ) -> None:
        #: Growth of receive windows.
        self.windows = resources.scope("receive windows", HOST_RECEIVE_BUDGET).open(
            name, receive_budget
        )
        self._unread_scope = resources.scope("unread bytes", MAX_UNREAD_BYTES).open(
            name, cut=cut_unread
        )
        self._host_queued = resources.scope("queued bytes", MAX_QUEUED_BYTES)
        self._queued_limit = inf if self._host_queued.limit is None else self._host_queued.limit
        self._queued = self._host_queued.open(name)
        self._inbound = resources.scope(
            "inbound streams", MAX_HOST_INBOUND_STREAMS, each=STREAM_BYTES
        ).open(name, cut=cut_inbound)
        self._unread = 0
        # Streams with unread data of the last batch, and the number of its pieces.
        self._fresh: dict[StreamState, int] = {}
        self._batch_bytes = 0
        self._pinned = 0  # size of the last batch while any of it is unread
        self._reported = 0
        #: Encrypted bytes that wait for the socket.
        self.sealed = 0
        self._queued_reported = 0

    def close(self) -> None:
        """Hold nothing any more."""
        for scope in (self.windows, self._unread_scope, self._queued, self._inbound):
            scope.close()
        self._queued = Scope("closed")  # counts what a driver still tries to send

    # -- unread bytes -------------------------------------------------------------------------

    def begin_batch(self, size: int) -> None:
        """Note that ``size`` bytes were decrypted together; copy what is unread of earlier ones."""
        if self._fresh:
            self._copy_out()
        self._batch_bytes = size

    def on_body(self, stream: StreamState, size: int) -> None:
        """Note that ``size`` bytes of the batch were put into a stream's inbox."""
        self._unread += size
        if self._batch_bytes >= COPY_BELOW:  # of less, everything has been copied
            try:
                self._fresh[stream] += 1
            except KeyError:
                self._fresh[stream] = 1

    def end_batch(self) -> None:
        """Tell the host what lies unread now; the host may cut off streams of this connection."""
        self._pinned = self._batch_bytes if self._fresh else 0
        if self._unread + self._pinned - self._reported >= ACCOUNT_STEP:
            self._report_unread()

    def on_read(self, stream: StreamState, size: int) -> None:
        """Note that ``size`` bytes were taken out of a stream's inbox."""
        if stream.is_counted:
            self._unread -= size
            if self._fresh and not stream.inbox.size:
                self._no_longer_fresh(stream)
            if self._reported - self._unread - self._pinned >= ACCOUNT_STEP:
                self._report_unread()

    def on_put_back(self, stream: StreamState, size: int) -> None:
        """Note that ``size`` bytes were put back into a stream's inbox."""
        if stream.is_counted:
            self._unread += size
            # Mostly they are of the last batch, and read again before the next one.
            self._fresh[stream] = _ALL_PIECES
            self._pinned = self._batch_bytes

    def forget(self, stream: StreamState) -> None:
        """Count a stream's unread bytes no more: they were dropped, or only its user has them."""
        if stream.stop_counting():
            self._unread -= stream.inbox.size
            self._no_longer_fresh(stream)
            if self._reported - self._unread - self._pinned >= ACCOUNT_STEP:
                self._report_unread()

    def settle(self) -> bool:
        """Copy what is unread out of the last batch; return True if that gave memory back."""
        pinned = self._pinned
        self._copy_out()
        self._report_unread()
        return pinned > 0

    def _no_longer_fresh(self, stream: StreamState) -> None:
        if self._fresh.pop(stream, None) is not None and not self._fresh:
            self._pinned = 0

    def _copy_out(self) -> None:
        for stream, pieces in self._fresh.items():
            stream.inbox.detach(pieces)
        self._fresh.clear()
        self._pinned = 0

    def _report_unread(self) -> None:
        held = self._unread + self._pinned
        change, self._reported = held - self._reported, held
        self._unread_scope.hold(change)

    # -- what waits to be sent ----------------------------------------------------------------

    def on_socket(self, sealed: int) -> None:
        """Note that the socket has not taken ``sealed`` encrypted bytes; 0 if it took all."""
        self.sealed = sealed

    def on_queued(self, size: int) -> None:
        """Note that ``size`` bytes wait to be encrypted."""
        held = size + self.sealed if self.sealed else 0
        change = held - self._queued_reported
        if abs(change) >= ACCOUNT_STEP or (change and not held):
            self._queued_reported = held
            self._queued.hold(change)

    @property
    def must_queue_less(self) -> bool:
        """True if too much waits for the sockets of the host."""
        return self._host_queued.held >= self._queued_limit

    # -- inbound streams ----------------------------------------------------------------------

    def add_inbound(self) -> bool:
        """Count one more inbound stream; False if there is no room for it."""
        return self._inbound.claim(1)

    def remove_inbound(self) -> None:
        """Count one inbound stream less."""
        self._inbound.release(1)
