"""
Writes a fetched file beside its target and renames it when it is whole.

Whatever happens before, the target is as it was and nothing half-written is left beside it; only
SIGKILL and a power loss can leave a ``.part`` file behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from libp2p.ipfs_lite.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libp2p.custom_types import Buffer
    from libp2p.ipfs_lite.adder import Progress
    from libp2p.ipfs_lite.reader import UnixFSReader

#: What one call of ``writev`` takes on every system.
_MAX_BUFFERS: Final = 1024


async def save(reader: UnixFSReader, target: Path, progress: Progress | None = None) -> None:
    """
    Write the rest of a file to ``target``, replacing a file that is there.

    :raises OutputError: if it cannot be written there.
    """
    output = await trio.to_thread.run_sync(FileOutput, target)
    try:
        while buffers := await reader.receive():
            await trio.to_thread.run_sync(output.write, buffers)
            if progress is not None:
                progress(reader.tell(), reader.size)
        output.commit()
    finally:
        output.close()


class FileOutput:
    """One file being written; it blocks. Without `commit`, `close` removes what was written."""

    def __init__(self, target: Path) -> None:
        self._target = Path(os.path.realpath(target))  # a link stays, its file is replaced
        self._part: Path | None = None
        with self._errors_named():
            mode = self._mode()
            if mode is not None and not stat.S_ISREG(mode):
                # A device or a pipe cannot be replaced, only written into. No link stands here but
                # one that was put here just now.
                flags = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
                self._descriptor = os.open(self._target, flags)
                return
            part = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.part")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            # What is replaced may be for its owner only, and so is what takes its place.
            self._descriptor = os.open(part, flags, 0o666 if mode is None else 0o600)
            self._part = part
            if mode is not None:
                os.chmod(part, mode & 0o777)

    def _mode(self) -> int | None:
        """The target's kind and permissions; None if there is none."""
        try:
            return self._target.stat().st_mode
        except FileNotFoundError:
            return None

    def write(self, buffers: Sequence[Buffer]) -> None:
        with self._errors_named():
            write_all(self._descriptor, buffers)

    def commit(self) -> None:
        """Make the file visible under its name."""
        with self._errors_named():
            self._close_descriptor()
            if self._part is not None:
                os.replace(self._part, self._target)
                self._part = None

    def close(self) -> None:
        """Give up what was not committed; after `commit` it does nothing."""
        with contextlib.suppress(OSError):
            self._close_descriptor()
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._part.unlink()
            self._part = None

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self._target}: {error.strerror}") from error


def write_all(descriptor: int, buffers: Sequence[Buffer]) -> None:
    """Write buffers one after the other, without joining them where the system can do that."""
    rest = [memoryview(buffer) for buffer in buffers if len(buffer)]
    rest.reverse()
    while rest:
        if hasattr(os, "writev"):
            written = os.writev(descriptor, rest[: -_MAX_BUFFERS - 1 : -1])
        else:
            written = os.write(descriptor, rest[-1])
        while rest and written >= len(rest[-1]):
            written -= len(rest.pop())
        if written:
            rest[-1] = rest[-1][written:]
