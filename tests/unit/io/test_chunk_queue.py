"""The receive buffer of every layer, compared with a plain bytearray."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libp2p.io.chunk_queue import COPY_BELOW, JOIN_BELOW, ChunkQueue
from tests.support.ends import octets

if TYPE_CHECKING:
    from libp2p.base_types import Buffer


def _read_only_view(data: bytes) -> Buffer:
    return memoryview(data)


def _inner_view(data: bytes) -> Buffer:
    return memoryview(b"<" + data + b">")[1:-1]


SHAPES: list[Callable[[bytes], Buffer]] = [bytes, bytearray, _read_only_view, _inner_view]

# Small ones, and ones around the size from which views are kept.
contents = st.one_of(octets(20), octets(COPY_BELOW + 1, COPY_BELOW - 1), octets(3 * COPY_BELOW))
buffers = st.builds(lambda shape, data: shape(data), st.sampled_from(SHAPES), contents)


class QueueModel(RuleBasedStateMachine):
    """The queue does what a bytearray does, whatever the order of the calls."""

    @initialize()
    def start(self) -> None:
        self.queue = ChunkQueue()
        self.model = bytearray()

    def _amount(self, data: st.DataObject, beyond: int = 0) -> int:
        return data.draw(st.integers(0, len(self.model) + beyond))

    @rule(buffer=buffers)
    def append(self, buffer: Buffer) -> None:
        self.queue.append(buffer)
        self.model += buffer

    @rule(buffer=buffers)
    def prepend(self, buffer: Buffer) -> None:
        self.queue.prepend(buffer)
        self.model[:0] = buffer

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        count = self._amount(data)
        taken = self.queue.take(count)
        assert type(taken) is bytes
        assert taken == self.model[:count]
        del self.model[:count]

    @rule(data=st.data())
    def take_too_much(self, data: st.DataObject) -> None:
        with pytest.raises(ValueError, match="asked for"):
            self.queue.take(len(self.model) + data.draw(st.integers(1, 10)))

    @rule(data=st.data())
    def take_buffers(self, data: st.DataObject) -> None:
        limit = self._amount(data, beyond=10)
        taken = self.queue.take_buffers(limit)
        assert all(len(piece) for piece in taken)
        assert b"".join(taken) == self.model[:limit]
        del self.model[:limit]

    @rule()
    def take_all(self) -> None:
        assert b"".join(self.queue.take_all()) == self.model
        self.model.clear()

    @rule(data=st.data())
    def peek(self, data: st.DataObject) -> None:
        count = self._amount(data, beyond=10)
        assert self.queue.peek(count) == self.model[:count]

    @precondition(lambda self: len(self.model) > 4 * COPY_BELOW)
    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.model.clear()

    @invariant()
    def holds_the_same_bytes(self) -> None:
        assert len(self.queue) == len(self.model)
        assert bool(self.queue) == bool(self.model)
        assert self.queue.peek(len(self.model)) == self.model


@pytest.mark.slow
@pytest.mark.hypothesis  # set by hypothesis on the tests that it wraps; `make fuzz` goes by it
def test_the_queue_does_what_a_bytearray_does() -> None:
    half = settings(QueueModel.TestCase.settings, max_examples=settings().max_examples // 2)
    run_state_machine_as_test(QueueModel, settings=half)  # each is fifty steps


@given(
    st.lists(st.one_of(octets(20), octets(1000))),
    st.lists(st.integers(1, 3 * COPY_BELOW), min_size=1),
)
def test_bytes_come_out_in_order_whatever_the_pieces(pieces: list[bytes], takes: list[int]) -> None:
    queue = ChunkQueue()
    for piece in pieces:
        queue.append(piece)
    out, turn = b"", 0
    while queue:
        out += b"".join(queue.take_buffers(takes[turn % len(takes)]))
        turn += 1
    assert out == b"".join(pieces)


def test_a_large_piece_is_handed_on_without_a_copy() -> None:
    record = bytes(2 * COPY_BELOW)
    queue = ChunkQueue()
    queue.append(record)
    (piece,) = queue.take_all()
    assert piece is record


def test_a_whole_piece_of_bytes_is_taken_without_a_copy() -> None:
    record = bytes(2 * COPY_BELOW)
    queue = ChunkQueue()
    queue.append(record)
    queue.append(b"next")
    assert queue.take(len(record)) is record


def test_a_cut_piece_is_handed_on_as_views_of_it() -> None:
    record = bytes(2 * COPY_BELOW)
    queue = ChunkQueue()
    queue.append(record)
    for piece in (*queue.take_buffers(COPY_BELOW), *queue.take_all()):
        assert isinstance(piece, memoryview)
        assert piece.obj is record


def test_a_small_view_does_not_keep_its_record_in_memory() -> None:
    record = bytearray(64 * 1024)
    queue = ChunkQueue()
    queue.append(memoryview(record)[: COPY_BELOW - 1])
    record.append(0)  # fails while a view exists
    assert len(queue) == COPY_BELOW - 1


def test_views_that_stay_can_be_cut_loose_from_what_they_show_a_part_of() -> None:
    record = bytes(64 * 1024)
    three_quarters = len(record) // 4 * 3
    queue = ChunkQueue()
    for size in (COPY_BELOW, COPY_BELOW, three_quarters, three_quarters + 1):
        queue.append(memoryview(record)[:size])
    queue.append(record)
    size = len(queue)
    queue.detach(4)
    assert len(queue) == size
    kinds = [type(chunk) for chunk in queue.take_all()]
    assert kinds == [memoryview, bytes, bytes, memoryview, bytes]
    queue.detach(4)


def test_tiny_pieces_cost_little_more_than_their_bytes() -> None:
    queue = ChunkQueue()
    for n in range(100_000):
        queue.append(bytes([n & 0xFF, n >> 8 & 0xFF]))
    pieces = queue.take_all()
    assert len(pieces) < 200_000 / JOIN_BELOW + 1
    assert b"".join(pieces)[:4] == b"\0\0\1\0"


def test_a_large_piece_is_not_joined_with_a_tiny_one() -> None:
    record = bytes(2 * COPY_BELOW)
    queue = ChunkQueue()
    for piece in (b"tiny", record, b"tiny"):
        queue.append(piece)
    _, middle, _ = queue.take_all()
    assert middle is record


def test_a_small_buffer_that_is_changed_afterwards_stays_as_it_was() -> None:
    buffer = bytearray(b"before")
    queue = ChunkQueue()
    queue.append(buffer)
    buffer[:] = b"after!"
    assert queue.take(6) == b"before"


def test_a_peek_takes_from_as_many_pieces_as_it_needs() -> None:
    queue = ChunkQueue()
    data = bytes(range(256)) * 6
    for start in range(0, len(data), JOIN_BELOW):
        queue.append(data[start : start + JOIN_BELOW])
    assert queue.peek(JOIN_BELOW + 1) == data[: JOIN_BELOW + 1]
    assert len(queue) == len(data)
