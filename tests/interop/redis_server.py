"""A redis server of its own for a test."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .bitswap_peer import binary_of
from .child import Child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.namespaces import Machine


@contextmanager
def running_redis(machine: Machine | None = None) -> Iterator[str]:
    """Run a redis server on loopback, or on the cable of ``machine``; give its ``host:port``."""
    ip, port = (machine.lan, 6379) if machine else ("127.0.0.1", _free_port())
    command = [str(binary_of("redis-server")), "--bind", ip, "--port", str(port)]
    command += ["--save", "", "--appendonly", "no", "--protected-mode", "no"]
    with Child(machine.command(*command) if machine else command) as server:
        server.wait_for("Ready to accept connections")
        yield f"{ip}:{port}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
