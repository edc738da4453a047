"""Child processes that the interop tests and the bench talk to over their standard streams.

Everything waits on lines or on the end of the process; nothing polls and nothing sleeps.
A background thread drains standard output, so that a chatty child never blocks on its pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_STOP_SECONDS = 20.0
"""How long a child may take to end after SIGTERM before it is killed."""


class ChildError(Exception):
    """A child process ended, stayed silent or refused a command."""


class Child:
    """A running program whose standard output is read line by line."""

    def __init__(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        merge_stderr: bool = False,
    ) -> None:
        self._name = Path(args[0]).name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _reap
        self._stderr = b""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            args,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else self._errors,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        self._reader = threading.Thread(target=self._read, name=self._name, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._on_line(line.decode("utf-8", "replace").rstrip("\n"))
        self._on_end()

    def _on_line(self, line: str) -> None:
        self._lines.put(line)

    def _on_end(self) -> None:
        self._lines.put(None)

    def line(self, timeout: float = 60.0) -> str:
        """The next line of standard output; `ChildError` if there comes none in time."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise ChildError(f"{self._name} printed nothing for {timeout} s") from None
        if line is None:
            self._lines.put(None)
            raise ChildError(f"{self._name} ended: {self.stderr_text()[-2000:].strip()}")
        return line

    def rest(self) -> str | None:
        """The next line of a child that has ended, or None after its last one."""
        if (line := self._lines.get()) is None:
            self._lines.put(None)
        return line

    def wait_for(self, text: str, timeout: float = 60.0) -> list[str]:
        """Read lines up to and including the first one that contains `text`."""
        seen: list[str] = []
        try:
            while not seen or text not in seen[-1]:
                seen.append(self.line(timeout))
        except ChildError as error:
            raise ChildError("\n".join([str(error), *seen[-20:]])) from None
        return seen

    def send(self, line: str) -> None:
        """Write one line to the child's standard input."""
        self.feed(line.encode() + b"\n")

    def feed(self, data: bytes) -> None:
        """Write bytes to the child's standard input; returns when the child's pipe has them."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise ChildError(f"{self._name} takes no input any more") from None

    def wait(self, timeout: float = 60.0) -> int:
        """Wait until the child ends by itself; its exit code."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ChildError(f"{self._name} has not ended within {timeout} s") from None
        return self._reap()

    def rss_bytes(self) -> int:
        """The peak resident memory so far (Linux only)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ChildError(f"{self._name} has ended")

    def cpu_seconds(self) -> float:
        """User and system time so far (Linux only)."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def stderr_text(self) -> str:
        """What the child wrote to standard error."""
        if not self._errors.closed:
            self._errors.seek(0, os.SEEK_END)
            size = self._errors.tell()
            self._stderr = os.pread(self._errors.fileno(), size, 0)
        return self._stderr.decode("utf-8", "replace")

    def kill(self) -> None:
        """End the child as a crash would (SIGKILL)."""
        self._process.kill()
        self._reap()

    def stop(self, timeout: float = _STOP_SECONDS) -> int:
        """Ask the child to end, kill it if it does not within `timeout`; its exit code."""
        self._ask_to_end()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._reap()

    def _ask_to_end(self) -> None:
        self._process.terminate()

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None
        # A line that the child never read has nowhere to go.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _reap(self) -> int:
        code = self._process.wait()
        self._reader.join()
        self._close_stdin()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.stderr_text()
        self._errors.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class JsonChild(Child):
    """A child that answers JSON-line commands, each with the "id" of its command.

    Requests may be made from several threads at once; each waits for its own answer.
    """

    def __init__(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        self._lock = threading.Lock()
        self._pending: dict[int, Future[dict[str, Any]]] = {}
        self._next_id = 1
        self._ended = False
        self._hello: Future[dict[str, Any]] = Future()
        super().__init__(args, env=env, cwd=cwd)
        try:
            self.hello = self._wait(self._hello, start_timeout, "start")
        except ChildError:
            self.kill()
            raise

    def _on_line(self, line: str) -> None:
        message: dict[str, Any] = json.loads(line)
        if not self._hello.done():
            self._hello.set_result(message)
            return
        with self._lock:
            waiting = self._pending.pop(message.get("id", 0), None)
        if waiting is not None:
            waiting.set_result(message)

    def _on_end(self) -> None:
        with self._lock:
            self._ended = True
            waiting = list(self._pending.values())
            self._pending.clear()
        if not self._hello.done():
            waiting.append(self._hello)
        for future in waiting:
            future.set_exception(ChildError(f"{self._name} ended: {self._last_words()}"))

    def _ask_to_end(self) -> None:
        """These children end with their input; some catch SIGTERM and stay."""
        self._close_stdin()

    def _last_words(self) -> str:
        return self.stderr_text()[-2000:].strip()

    def _wait(
        self, future: Future[dict[str, Any]], timeout: float | None, what: str
    ) -> dict[str, Any]:
        try:
            answer = future.result(timeout)
        except TimeoutError:
            raise ChildError(f"{self._name}: no answer to {what} in {timeout} s") from None
        if answer.get("error"):
            raise ChildError(f"{self._name}: {what}: {answer['error']}")
        return answer

    def request(
        self, command: str, *, wait: float | None = 60.0, **fields: object
    ) -> dict[str, Any]:
        """Send one command and wait up to `wait` seconds for its answer."""
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            if self._ended:
                raise ChildError(f"{self._name} has ended: {self._last_words()}")
            number, self._next_id = self._next_id, self._next_id + 1
            self._pending[number] = future
            self.send(json.dumps({"id": number, "command": command, **fields}))
        return self._wait(future, wait, command)
