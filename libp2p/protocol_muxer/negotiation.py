"""
multistream-select 1.0: agreeing on a protocol by its name, both roles (sans-I/O).

https://github.com/multiformats/multistream-select. Every message is a varint length and that many
bytes of text ending in a line feed. The initiator proposes, the responder echoes what it accepts
and answers ``na`` to everything else::

    initiator                               responder
    /multistream/1.0.0, /tls/1.0.0   ──►    (one buffer: the proposal does not wait)
                                     ◄──    /multistream/1.0.0          (nor does this header)
                                     ◄──    na
    /noise                           ──►
                                     ◄──    /noise                      agreed

Negotiations run before the peer has proved anything, so their cost is bounded here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    IncompleteVarint,
    LocalProtocolError,
    NegotiationError,
    ParseError,
    ProtocolNotSupportedError,
)
from libp2p.io.chunk_queue import ChunkQueue
from libp2p.utils.varint import decode_uvarint, encode_varint_prefixed

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

HEADER: Final = "/multistream/1.0.0"
NOT_AVAILABLE: Final = "na"

#: The line feed included. What go and js accept; rust's 16 KiB is more than any name needs, and
#: this much is buffered for a peer that is not known yet.
MAX_MESSAGE_BYTES: Final = 1024

#: Enough for 16,383, so the length of a huge message is refused at its second byte.
MAX_LENGTH_BYTES: Final = 2

#: Per negotiation. An honest initiator offers a handful; the responder's work ends here.
MAX_PROPOSALS: Final = 64

#: What a responder accepts: the names themselves, or a test of one.
Supported: TypeAlias = Container[TProtocol] | Callable[[TProtocol], bool]


class Step(NamedTuple):
    """What `receive` asks of its caller: send the bytes, and stop if there is a protocol."""

    to_send: bytes
    protocol: TProtocol | None


def encode_message(text: str) -> bytes:
    """Put ``text`` on the wire."""
    return encode_varint_prefixed(f"{text}\n".encode())


class MessageReader:
    """Messages out of any split of their bytes, one at a time."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue = ChunkQueue()

    def feed(self, buffers: Iterable[Buffer]) -> None:
        """Take in bytes from the peer."""
        self._queue.extend(buffers)

    def next_message(self) -> str | None:
        """
        Return the next message without its line feed; None if it is not complete.

        :raises NegotiationError: if it breaks the format or a limit.
        """
        queue = self._queue
        try:
            length, start = decode_uvarint(queue.peek(MAX_LENGTH_BYTES), max_bytes=MAX_LENGTH_BYTES)
        except IncompleteVarint:
            return None
        except ParseError as error:
            raise NegotiationError(f"multistream length: {error}") from error
        if not 0 < length <= MAX_MESSAGE_BYTES:
            raise NegotiationError(
                f"multistream message of {length} bytes, 1 to {MAX_MESSAGE_BYTES} are allowed"
            )
        if len(queue) < start + length:
            return None
        message = queue.take(start + length)[start:]
        if not message.endswith(b"\n"):
            raise NegotiationError("multistream message does not end in a line feed")
        try:
            return message[:-1].decode()
        except UnicodeDecodeError as error:
            raise NegotiationError("multistream message is not UTF-8") from error

    def take_leftover(self) -> list[Buffer]:
        """Remove and return the bytes after the last message: they are the next protocol's."""
        return self._queue.take_all()


class _Awaiting(Enum):
    """What the peer's next message must be."""

    HEADER = auto()
    ANSWER = auto()
    NOTHING = auto()  # agreed or failed


def _check_header(message: str) -> None:
    if message != HEADER:
        raise NegotiationError(f"peer speaks {message!r}, not {HEADER}")


def _is_name(protocol: TProtocol) -> bool:
    """Tell whether a proposal of ``protocol`` could be sent, and its echo be understood."""
    size = len(protocol.encode())
    return 0 < size < MAX_MESSAGE_BYTES and "\n" not in protocol and protocol != NOT_AVAILABLE


class Initiator:
    """
    The side that proposes, in its order of preference.

    With one protocol this is also the core of lazy negotiation: the driver sends `start` together
    with the first application data, and feeds `receive` with what comes before it reads any.
    """

    def __init__(self, protocols: Iterable[TProtocol]) -> None:
        """:raises LocalProtocolError: if ``protocols`` cannot be proposed."""
        self._proposals = tuple(protocols)
        if not 0 < len(self._proposals) <= MAX_PROPOSALS:
            raise LocalProtocolError(
                f"{len(self._proposals)} protocols to propose, 1 to {MAX_PROPOSALS} are allowed"
            )
        for protocol in self._proposals:
            if not _is_name(protocol):
                raise LocalProtocolError(f"{protocol!r} cannot be a protocol's name")
        self._refused = 0
        self._awaiting = _Awaiting.HEADER
        self._reader = MessageReader()

    def start(self) -> bytes:
        """Return the header and the first proposal, to be sent at once."""
        return encode_message(HEADER) + encode_message(self._proposals[0])

    def receive(self, buffers: Iterable[Buffer]) -> Step:
        """
        Take in what the responder sent.

        :raises ProtocolNotSupportedError: if it has refused every proposal.
        :raises NegotiationError: if it broke the protocol.
        """
        if self._awaiting is _Awaiting.NOTHING:
            raise LocalProtocolError("this negotiation is over")
        self._reader.feed(buffers)
        to_send = b""
        while (message := self._reader.next_message()) is not None:
            proposal = self._proposals[self._refused]
            if self._awaiting is _Awaiting.HEADER:
                _check_header(message)
                self._awaiting = _Awaiting.ANSWER
            elif message == proposal:
                self._awaiting = _Awaiting.NOTHING
                return Step(to_send, proposal)
            elif message == NOT_AVAILABLE:
                to_send += self._next_proposal()
            else:
                raise NegotiationError(f"peer answered {message!r} to the proposal {proposal!r}")
        return Step(to_send, None)

    def take_leftover(self) -> list[Buffer]:
        """Remove and return what the responder sent after it had agreed."""
        return self._reader.take_leftover()

    def _next_proposal(self) -> bytes:
        self._refused += 1
        if self._refused == len(self._proposals):
            self._awaiting = _Awaiting.NOTHING
            raise ProtocolNotSupportedError(f"peer supports none of {', '.join(self._proposals)}")
        return encode_message(self._proposals[self._refused])


class Responder:
    """The side that picks the first proposal which it supports."""

    def __init__(self, supported: Supported) -> None:
        self._is_supported = supported if callable(supported) else supported.__contains__
        self._proposals_left = MAX_PROPOSALS
        self._awaiting = _Awaiting.HEADER
        self._reader = MessageReader()

    def start(self) -> bytes:
        """Return the header, which need not wait for the initiator's."""
        return encode_message(HEADER)

    def receive(self, buffers: Iterable[Buffer]) -> Step:
        """
        Take in what the initiator sent.

        ``ls``, which once asked for a list, is answered as a protocol that is not supported.

        :raises NegotiationError: if the initiator broke the protocol or goes on without end.
        """
        if self._awaiting is _Awaiting.NOTHING:
            raise LocalProtocolError("this negotiation is over")
        self._reader.feed(buffers)
        to_send = b""
        while (message := self._reader.next_message()) is not None:
            if self._awaiting is _Awaiting.HEADER:
                _check_header(message)
                self._awaiting = _Awaiting.ANSWER
                continue
            proposal = TProtocol(message)
            if message != NOT_AVAILABLE and self._is_supported(proposal):
                self._awaiting = _Awaiting.NOTHING
                return Step(to_send + encode_message(message), proposal)
            self._proposals_left -= 1
            if not self._proposals_left:
                self._awaiting = _Awaiting.NOTHING
                raise NegotiationError(f"none of {MAX_PROPOSALS} proposals is supported")
            to_send += encode_message(NOT_AVAILABLE)
        return Step(to_send, None)

    def take_leftover(self) -> list[Buffer]:
        """Remove and return what the initiator sent after the proposal that was accepted."""
        return self._reader.take_leftover()
