"""A heap whose items may be dropped or moved, beside a list that is sorted each time."""

from __future__ import annotations

from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libp2p.utils.lazy_heap import HEAP_SLACK, LazyHeap

STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "discard", "pop", "first"]), st.text("abcde", max_size=1)),
    max_size=60,
)


@given(STEPS, st.lists(st.integers(-2, 2), min_size=60, max_size=60))
def test_it_does_what_a_sorted_list_does(steps: list[tuple[str, str]], keys: list[int]) -> None:
    heap: LazyHeap[str] = LazyHeap()
    model: dict[str, tuple[int, int]] = {}
    for number, (step, item) in enumerate(steps):
        least = min(model, key=model.__getitem__, default=None)
        if step == "push":
            heap.push(item, keys[number])
            model[item] = keys[number], number
        elif step == "discard":
            heap.discard(item)
            model.pop(item, None)
        elif step == "first":
            assert heap.first() == (None if least is None else (model[least][0], least))
        elif least is None:
            with pytest.raises(IndexError):
                heap.pop()
        else:
            assert heap.pop() == least
            del model[least]
        assert (len(heap), bool(heap), set(heap)) == (len(model), bool(model), set(model))
        assert (item in heap) == (item in model)
        assert heap.key_of(item) == (model[item][0] if item in model else None)
    heap.clear()
    assert heap.first() is None


def test_what_is_out_of_date_does_not_pile_up() -> None:
    heap: LazyHeap[int] = LazyHeap()
    heap.push(0, 0)
    for number in range(10_000):
        heap.push(1, number)
        heap.push(2, number)
        heap.discard(2)
        assert len(heap._heap) <= 2 * len(heap) + HEAP_SLACK + 1
    assert [heap.pop(), heap.pop()] == [0, 1]


class Item:
    """Something that can be referred to weakly."""


@pytest.mark.parametrize("end", ["discard", "pop"])
def test_an_empty_heap_keeps_nothing_that_was_in_it(end: str) -> None:
    heap: LazyHeap[Item] = LazyHeap()
    dropped, last = Item(), Item()
    heap.push(dropped, 2)
    heap.push(last, 1)
    watched = ref(dropped)
    heap.discard(dropped)
    del dropped
    if end == "discard":
        heap.discard(last)
    else:
        assert heap.pop() is last
    assert watched() is None
