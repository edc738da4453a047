"""
How the processes that have one repo open hear of each other.

A process that is online has a FIFO in ``listeners/``. Whoever has stored something writes a byte
into each of them. What was stored is not told: who hears it looks for what somebody waits for. So
nothing is lost when a FIFO is full, for its reader has not looked yet then, and a thousand writes
cost a reader one look.

A FIFO that nobody reads is of a process that has ended: whoever finds it removes it. Where there
are no FIFOs, as on Windows, a process finds what others have stored when it is asked for it anew.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from libp2p.utils import file_locks
from libp2p.utils.logs import get_logger

#: Bytes that are read at once: more than a FIFO holds, so that one look answers all calls.
FIFO_BYTES: Final = 64 * 1024
#: The pause after a look, as a multiple of the time that the look took. So a process that many
#: peers ask spends at most a fifth of its time on looks, even beside one that stores without a
#: pause.
PAUSE: Final = 4

logger = get_logger(__name__)


class Neighbours:
    """
    The other processes that have a repo open.

    :param folder: of their FIFOs; made when the first one listens.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: set[str] = set()

    def tell(self) -> None:
        """Tell the others that something was stored. It blocks for a few file operations."""
        self._send(b".")

    def _send(self, call: bytes) -> None:
        """Write into the FIFO of each of the others, and remove those that nobody reads."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return
        for name in names:
            if name not in self._own:
                _ring(os.path.join(self._folder, name), call)

    async def listen(self, look: Callable[[], Awaitable[object]]) -> None:
        """Call ``look`` now, and whenever others have stored something since, until cancelled."""
        try:
            with self._listening() as descriptor:
                while True:
                    started = trio.current_time()
                    await look()
                    took = trio.current_time() - started
                    await trio.sleep(PAUSE * took)  # time: see `PAUSE`
                    await trio.lowlevel.wait_readable(descriptor)
                    with suppress(BlockingIOError):
                        os.read(descriptor, FIFO_BYTES)
        except (OSError, AttributeError) as error:
            logger.info("blocks that other processes store are found when asked for: %s", error)

    @contextmanager
    def _listening(self) -> Iterator[int]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            path = self._folder / secrets.token_hex(8)
            os.mkfifo(path, 0o600)
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            if path.exists():
                break
            os.close(descriptor)  # a process has removed it: nobody read it yet
        file_locks.close_in_children(descriptor)  # or a child would keep it open longer
        # Without a writer of its own the FIFO would be at its end, which counts as readable.
        writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        self._own.add(path.name)
        self._send(b"")  # removes the FIFOs of processes that were killed
        try:
            yield descriptor
        finally:
            path.unlink(missing_ok=True)
            file_locks.release(descriptor)
            os.close(writer)
            self._own.discard(path.name)


def _ring(path: str, call: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no process reads it
            with suppress(OSError):
                os.unlink(path)
        return
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.write(descriptor, call)
    except OSError:  # it is full, or its reader has just ended
        pass
    finally:
        os.close(descriptor)
