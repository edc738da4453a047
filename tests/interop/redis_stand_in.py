"""SET and GET of redis, for tests on machines without a redis server."""

from __future__ import annotations

import shutil
import socket
import socketserver
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Handler(socketserver.StreamRequestHandler):
    values: dict[bytes, bytes]

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = [self._word() for _ in range(int(line[1:]))]
            if words[0].upper() == b"SET":
                self.values[words[1]] = words[2]
                self.wfile.write(b"+OK\r\n")
            else:
                value = self.values.get(words[1])
                found = b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
                self.wfile.write(found)

    def _word(self) -> bytes:
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2]


@contextmanager
def running_redis() -> Iterator[str]:
    """Run a redis server, or the stand-in; give its ``host:port``."""
    command = shutil.which("redis-server")
    if command is not None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with subprocess.Popen([command, *flags], stdout=subprocess.DEVNULL) as server:
            try:
                wait_until(lambda: _answers(port), "redis answers")
                yield f"127.0.0.1:{port}"
            finally:
                server.terminate()
        return
    handler = type("Handler", (_Handler,), {"values": {}})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as stand_in:
        stand_in.daemon_threads = True
        thread = threading.Thread(target=stand_in.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{stand_in.server_address[1]}"
        finally:
            stand_in.shutdown()
            thread.join()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
