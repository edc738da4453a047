"""
Keep the pauses for garbage collection short in a program that holds many objects.

The interpreter's full collection visits every object of the program while nothing else runs: 0.2 to
0.9 us for each, so 130 ms for a server with 400 busy connections. Nothing of this library waits for
it: what ends here leaves no circle of references.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: A collection of the middle generation begins after so many of the youngest, each of which is made
#: for 700 objects that are new, and a full one after so many of the middle one: it visits about
#: 7,000 objects.
MIDDLE_COLLECTION_AFTER: Final = 4
FULL_COLLECTION_AFTER: Final = 1
#: Everything is visited again as often as this, if that is quick.
THOROUGH_SECONDS: Final = 60.0
#: That is quick for so many objects: 45 ms on a busy machine. This library has 45,000.
THOROUGH_OBJECTS: Final = 60_000
#: Everything is visited as often as this, however long it takes: circles that your program leaves
#: among old objects would stay for ever.
LATEST_SECONDS: Final = 3600.0


@contextmanager
def short_collections(
    thorough_objects: int = THOROUGH_OBJECTS, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """
    Let a full collection visit only what is newer than the last one, for as long as it is entered.

    What one full collection has visited is exempt from the next (`gc.freeze`), and is visited again
    after a minute if that is quick, and after an hour in any case. It is freed as always when its
    last reference goes. This is for the whole process, so it is the program that enters
    it, once; no library should.

    :param thorough_objects: so many objects of any age are visited quickly.
    :param clock: seconds that only grow.
    """
    thorough_at = looked_at = clock()

    def on_collection(phase: str, info: dict[str, int]) -> None:
        nonlocal thorough_at, looked_at
        if phase != "stop" or info["generation"] != 2:
            return
        now = clock()
        if now - looked_at >= THOROUGH_SECONDS:
            looked_at = now
            few = gc.get_freeze_count() <= thorough_objects  # counting takes 5 ms for 200,000
            if few or now - thorough_at >= LATEST_SECONDS:
                thorough_at = now
                gc.unfreeze()  # the next full collection visits everything
                return
        gc.freeze()

    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(thresholds[0], MIDDLE_COLLECTION_AFTER, FULL_COLLECTION_AFTER)
    gc.callbacks.append(on_collection)
    try:
        yield
    finally:
        gc.callbacks.remove(on_collection)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
