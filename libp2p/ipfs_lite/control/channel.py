"""
One question and its answer, as a line of JSON each, over a Unix socket in the repo.

A question is ``{"call": name, "words": [text, …]}``; an answer is ``{"result": …}``, or
``{"error": text}``. Only the repo's owner can open the socket.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite.errors import ControlError, NotRunningError
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    Call: TypeAlias = Callable[[Sequence[str]], Awaitable[object]]

#: The socket, in the repo's folder.
SOCKET: Final = "control.sock"
#: Bytes of a question: the largest has some hundred addresses.
MAX_QUESTION_BYTES: Final = 64 * 1024
#: Bytes of an answer: 200,000 CIDs of a wantlist.
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
#: Questions that are answered at the same time; others wait to be accepted.
MAX_QUESTIONS: Final = 16
#: Seconds in which a client has to send its question.
PATIENCE: Final = 10.0
#: Seconds in which a question has to be answered: dialling a peer that does not answer takes 30.
ANSWER_SECONDS: Final = 60.0
#: The longest path of a socket, in bytes; the system's limit is 104 to 108.
_MAX_PATH_BYTES: Final = 100


async def ask(repo: Path, call: str, words: Sequence[str] = ()) -> Any:
    """
    Ask the peer that runs on a repo.

    :raises NotRunningError: if there is none.
    :raises ControlError: with what it says went wrong.
    """
    try:
        with _within_reach(repo / SOCKET) as path:
            stream = await trio.open_unix_socket(path)
    except (OSError, RuntimeError) as error:
        raise NotRunningError(
            f"no peer runs on {repo} that could be asked: start `ipfs-lite serve`"
        ) from error
    async with stream:
        try:
            await stream.send_all(_line({"call": call, "words": list(words)}))
            answer = json.loads(await _read_line(stream, MAX_ANSWER_BYTES))
        except (ValueError, trio.BrokenResourceError) as error:
            raise ControlError(f"the peer on {repo} has ended before it answered") from error
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["result"]


async def answer_questions(repo: Path, calls: Mapping[str, Call], *, task_status: Any) -> None:
    """
    Answer until cancelled.

    :param calls: what may be called, by name; each takes words and returns what JSON can say.
    :raises ControlError: if there can be no socket in the repo.
    """
    answering = _Answering(calls)
    with _listening(repo / SOCKET) as listener:
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                await answering.free.acquire()
                connection, _ = await listener.accept()
                nursery.start_soon(answering.answer, trio.SocketStream(connection))


class _Answering:
    def __init__(self, calls: Mapping[str, Call]) -> None:
        self.free: Final = trio.Semaphore(MAX_QUESTIONS)
        self._calls = calls
        self._faults = FaultLog()

    async def answer(self, stream: trio.SocketStream) -> None:
        """Answer one question; what is wrong with it is told to who asked."""
        question = b""
        try:
            async with stream:
                with trio.move_on_after(PATIENCE):
                    question = await _read_line(stream, MAX_QUESTION_BYTES)
                with trio.move_on_after(ANSWER_SECONDS if question else 0):
                    await stream.send_all(await self._told(question))
        except (ValueError, trio.BrokenResourceError):
            pass  # no whole line, or nobody reads the answer
        finally:
            self.free.release()

    async def _told(self, question: bytes) -> bytes:
        try:
            asked = json.loads(question)
            call, words = asked["call"], asked["words"]
            if call not in self._calls or not all(isinstance(word, str) for word in words):
                raise ControlError(f"this peer does not know the call {call}")
            return _line({"result": await self._calls[call](words)})
        except BaseLibp2pError as error:
            return _line({"error": str(error)})
        except Exception as error:  # noqa: BLE001 - task's edge: it costs this question only
            self._faults.note("a command to the peer", error)
            return _line({"error": f"internal error: {type(error).__name__}: {error}"})


def _line(values: Mapping[str, object]) -> bytes:
    return json.dumps(values).encode() + b"\n"


async def _read_line(stream: trio.SocketStream, most: int) -> bytes:
    """
    Return a line.

    :raises ValueError: if it is longer than ``most`` bytes, or the stream ends before it does.
    """
    data = bytearray()
    while not data.endswith(b"\n"):
        piece = await stream.receive_some()
        data += piece
        if not piece or len(data) > most:
            raise ValueError("no whole line")
    return bytes(data)


@contextmanager
def _listening(path: Path) -> Iterator[trio.socket.SocketType]:
    """Listen at a path, in the place of a socket that a process which was killed has left."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise ControlError("this system has no sockets in folders")
    own: os.stat_result | None = None
    try:
        with socket.socket(family) as listener, _within_reach(path) as reached:
            with suppress(FileNotFoundError):
                if not stat.S_ISSOCK(path.lstat().st_mode):
                    raise ControlError(f"{path} is not a socket: remove it")
                if _is_answered(reached):
                    raise ControlError(f"another process answers for {path.parent}, and goes on")
                path.unlink()
            listener.bind(reached)
            path.chmod(0o600)
            listener.listen(MAX_QUESTIONS)
            own = path.lstat()
            yield trio.socket.from_stdlib_socket(listener)
    except OSError as error:
        raise ControlError(f"nobody can ask this peer: {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            if own is not None and path.lstat().st_ino == own.st_ino:
                path.unlink()


def _is_answered(path: str) -> bool:
    """Tell whether a process listens at a socket; a queue that is full is one's too."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


@contextmanager
def _within_reach(path: Path) -> Iterator[str]:
    """Yield a name of a socket that is short enough for the system."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    if sys.platform != "linux":
        raise ControlError(f"the path of the repo is too long for a socket: {path}")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
