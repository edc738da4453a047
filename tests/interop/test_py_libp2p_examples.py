"""The examples that py-libp2p 0.8.1 comes with run unmodified on this library."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from .build_peers import PEERS
from .need import need

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
ADDRESS: Final = re.compile(r"(/ip4/127\.0\.0\.1/tcp/\d+/p2p/\w+)")
PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Row:
    """Two runs of an example: one listens, the other is told where; or one run alone."""

    module: str
    listen: tuple[str, ...] = ("-p", "0")
    dial: tuple[str, ...] = ("-d", "{address}")
    dial_module: str = ""
    says: tuple[str, ...] = ()
    """What either of them prints."""
    typed: str = ""


PAIRS: Final = {
    "echo": Row("echo.echo", says=("Got: hi, there!", "Echoing message: hi, there!")),
    "ping": Row("ping.ping", says=("received pong from",)),
    "identify": Row(
        "identify.identify",
        says=("Agent Version: py-libp2p/0.9", "/ipfs/ping/1.0.0", "Successfully processed"),
    ),
    "identify push": Row(
        "identify_push.identify_push_listener_dialer",
        says=("Identify push completed successfully!",),
    ),
    "chat": Row("chat.chat", says=("hello",), typed="hello\n"),
    "request and response": Row(
        "request_response.request_response_demo", says=("'echo': 'HELLO'",)
    ),
    "tls": Row(
        "tls.example_tls_server",
        dial=("--server", "{address}", "--mode", "echo", "--message", "over TLS"),
        dial_module="tls.example_tls_client",
        says=("over TLS",),
    ),
    "perf": Row("perf.perf_example", says=("Uploaded:       2560 bytes",)),
}
ALONE: Final = {
    "identify push, both hosts": ("identify_push.identify_push_demo", "completed successfully!"),
    "connection management": (
        "connection_management.connmgr_demo",
        "All demos completed successfully!",
    ),
    "connections of one peer": (
        "doc-examples.multiple_connections_example",
        "All examples completed successfully!",
    ),
    "health of connections": (
        "health_monitoring.basic_example",
        "Connection Lifecycle: Health tracking integrated",
    ),
    "peer stores that stay": (
        "persistent_peerstore.example_usage",
        "All examples completed successfully!",
    ),
    "TLS, both hosts": ("tls.tls_listener_dialer_demo", "Dialer got reply: b'pong'"),
    "CIDs": ("cid.cid_usage", "verify_cid(cid_v1_raw, b'bad'): False"),
    "paths": ("path_handling.path_handling_demo", "Cleaned up temp file"),
}


class Program:
    """An example as a process; its lines come as it prints them."""

    def __init__(self, folder: Path, module: str, *words: str) -> None:
        path = os.pathsep.join([str(ROOT), str(folder)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"examples.{module}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        )
        self.said = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def wait_for(self, pattern: re.Pattern[str]) -> str:
        """Return what matches, once it was printed."""
        until = time.monotonic() + PATIENCE
        while (found := pattern.search(self.said)) is None:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            assert line is not None, self.said
            self.said += line
        return found[0]

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            self.said += line
        return self._process.wait(PATIENCE)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def running(folder: Path, module: str, *words: str) -> Iterator[Program]:
    program = Program(folder, module, *words)
    try:
        yield program
    finally:
        program.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with py-libp2p's examples, and without its library."""
    need("py-libp2p")
    home = PEERS["py-libp2p"].path().parents[1]
    [examples] = home.glob("**/site-packages/examples")
    (tmp_path / "examples").symlink_to(examples)
    return tmp_path


@pytest.mark.parametrize("name", PAIRS)
def test_two_hosts(folder: Path, name: str) -> None:
    row = PAIRS[name]
    with running(folder, row.module, *row.listen) as listener:
        address = listener.wait_for(ADDRESS)
        words = [word.format(address=address) for word in row.dial]
        with running(folder, row.dial_module or row.module, *words) as dialler:
            if row.typed:
                dialler.wait_for(re.compile("Connected"))
                dialler.type(row.typed)
                listener.wait_for(re.compile(re.escape(row.says[0])))
                return
            for text in row.says:
                wanted = re.compile(re.escape(text))
                listens = text.startswith(("Echoing", "Successfully"))
                (listener if listens else dialler).wait_for(wanted)


@pytest.mark.parametrize("name", ALONE)
def test_one_run(folder: Path, name: str) -> None:
    module, said = ALONE[name]
    with running(folder, module) as program:
        program.wait_for(re.compile(re.escape(said)))


def test_files_are_traded(folder: Path, tmp_path: Path) -> None:
    content = os.urandom(600_000)
    (tmp_path / "file.bin").write_bytes(content)
    words = ("--mode", "provider", "--port", "0", "--file", str(tmp_path / "file.bin"))
    with running(folder, "bitswap.bitswap", *words) as provider:
        address = provider.wait_for(ADDRESS)
        cid = re.search(r"\b(baf\w{50,}|Qm\w{44})\b", provider.said)
        if cid is None:
            cid = re.search(r"\w+", provider.wait_for(re.compile(r"\b(baf\w{50,}|Qm\w{44})\b")))
        assert cid is not None
        out = tmp_path / "out"
        asked = ("--mode", "client", "--provider", address, "--cid", cid[0], "--output", str(out))
        with running(folder, "bitswap.bitswap", *asked) as client:
            client.end()
            said = client.said
    [saved] = [path for path in out.rglob("*") if path.is_file()]
    assert saved.read_bytes() == content, said
