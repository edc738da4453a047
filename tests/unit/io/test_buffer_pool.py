"""Read buffers that connections share."""

from __future__ import annotations

from libp2p.io.buffer_pool import BufferPool

LARGE, SMALL, MAX_KEPT = 1000, 10, 2


def pool() -> BufferPool:
    return BufferPool(LARGE, SMALL, MAX_KEPT)


def test_one_buffer_serves_all_who_need_it_one_after_the_other() -> None:
    buffers = pool()
    first = buffers.take()
    assert len(first) == LARGE
    buffers.release(first)
    assert buffers.take() is first
    assert buffers.take() is not first


def test_no_more_than_one_is_kept_for_the_next() -> None:
    buffers = pool()
    lent = [buffers.take() for _ in range(5)]
    for buffer in lent:
        buffers.release(buffer)
    assert [buffers.take() is buffer for buffer in lent] == [True, False, False, False, False]


def test_a_small_one_can_be_asked_for() -> None:
    buffers = pool()
    small = buffers.take(small=True)
    assert len(small) == SMALL
    buffers.keep(small)
    buffers.release(small)
    assert len(buffers.take()) == LARGE


def test_while_many_large_ones_are_kept_the_others_get_small_ones() -> None:
    buffers = pool()
    kept = [buffers.take() for _ in range(MAX_KEPT)]
    for buffer in kept:
        buffers.keep(buffer)
    small = buffers.take()
    assert len(small) == SMALL
    buffers.keep(small)
    buffers.release(kept.pop())
    assert len(buffers.take()) == LARGE


def test_what_is_kept_and_then_dropped_is_no_loss() -> None:
    buffers = pool()
    kept = [buffers.take() for _ in range(MAX_KEPT)]
    for buffer in kept:
        buffers.keep(buffer)
    del buffer
    kept.clear()
    assert len(buffers.take()) == LARGE
