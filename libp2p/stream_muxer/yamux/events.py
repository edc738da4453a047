"""The events that a yamux session returns to its driver (sans-I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.stream_state import StreamState


@dataclass(slots=True)
class StreamReadable:
    """Something changed for a reader: data after none, the end, or a reset."""

    stream: StreamState


@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream; `YamuxSession.accept` accepts it."""

    stream: StreamState


@dataclass(slots=True)
class StreamWritable:
    """Something changed for a writer: credit after none, or a reset."""

    stream: StreamState
    #: The stream has ended, and this is the last event of it.
    is_last: bool = False


@dataclass(slots=True)
class OpenAllowed:
    """An open stream was acknowledged or ended: another may be opened."""


@dataclass(slots=True)
class GoAwayReceived:
    """The peer is closing the connection, and gives ``code`` as its reason."""

    code: int


Event: TypeAlias = StreamOpened | StreamReadable | StreamWritable | OpenAllowed | GoAwayReceived
