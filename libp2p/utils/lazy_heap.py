"""A heap whose items may be dropped or given another key (sans-I/O)."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Entries that are out of date stay in the heap until they come up; it is rebuilt when they are
#: more than the live ones and than this.
HEAP_SLACK: Final = 64

_T = TypeVar("_T")


class LazyHeap(Generic[_T]):
    """
    Items by key, the smallest first; of equal keys the one that was pushed first.

    An item is in the heap once at most. Dropping one costs as much as a dict does: its entry is
    passed over when it comes up.
    """

    __slots__ = ("_count", "_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[Any, int, _T]] = []
        self._count = 0
        self._numbers: dict[_T, int] = {}  # of each item's entry; others are out of date

    def __len__(self) -> int:
        """Count the items."""
        return len(self._numbers)

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def __contains__(self, item: _T) -> bool:
        return item in self._numbers

    def __iter__(self) -> Iterator[_T]:
        """Go over the items, in no order."""
        return iter(self._numbers)

    def push(self, item: _T, key: Any) -> None:
        """Enter an item, or give it another key."""
        self._count = number = self._count + 1
        self._numbers[item] = number
        heappush(self._heap, (key, number, item))
        self._tidy()

    def discard(self, item: _T) -> None:
        """Drop an item; it is no error if it is not in the heap."""
        if self._numbers.pop(item, None) is not None:
            self._tidy()

    def first(self) -> tuple[Any, _T] | None:
        """Return the key and the item that `pop` removes next; None if the heap is empty."""
        heap, numbers = self._heap, self._numbers
        while heap:
            key, number, item = heap[0]
            if numbers.get(item) == number:
                return key, item
            heappop(heap)
        return None

    def pop(self) -> _T:
        """
        Remove and return the item with the smallest key.

        :raises IndexError: if the heap is empty.
        """
        while True:
            _, number, item = heappop(self._heap)
            if self._numbers.get(item) == number:
                del self._numbers[item]
                return item

    def clear(self) -> None:
        """Drop all items."""
        self._heap.clear()
        self._numbers.clear()

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._numbers) + HEAP_SLACK:
            numbers = self._numbers
            self._heap = [entry for entry in self._heap if numbers.get(entry[2]) == entry[1]]
            heapify(self._heap)
