"""
A link with a long round trip on one machine: two network namespaces and a program that delays.

netem is not in every kernel, TUN devices nearly always are. `delay.c` carries packets from the one
namespace's device to the other's; it is compiled at first use. It is not what limits: plain TCP
does more than 500 MB/s over 50 ms, TCP's slow start included.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.contestants import NotHere
from tests.interop.build_peers import cache_root
from tests.interop.child import Child

SOURCE = Path(__file__).with_name("delay.c")
DEVICE = "link0"
ADDRESSES = ("10.111.0.1", "10.111.0.2")
"""Of the near and the far end; nobody else is in these namespaces."""
MTU = 1500
SOCKET_BYTES = 64 << 20
"""The most that the kernel buffers for a socket, so that TCP is not what limits the rate either."""
QUEUED_PACKETS = 4096
CONGESTION_CONTROL = ""
"""The machine's own; a namespace may only choose another one that the machine allows to all."""

_numbers = count()


class LongLink:
    """Two namespaces, `near` and `far`, that see each other with a round trip of ``seconds``."""

    def __init__(self, seconds: float, bytes_per_second: float = 0) -> None:
        """At most ``bytes_per_second`` each way; 0 means as fast as the machine can."""
        self.seconds = seconds
        self._bytes_per_second = bytes_per_second
        name = f"bench-{os.getpid()}-{next(_numbers)}"
        self.near, self.far = f"{name}-near", f"{name}-far"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Build the link; `NotHere` where that is not allowed or cannot be done."""
        program = _program()
        try:
            for namespace, address in zip((self.near, self.far), ADDRESSES, strict=True):
                self._add_namespace(namespace, address)
            delay = str(round(self.seconds / 2 * 1e6))
            command = [program, self.near, self.far, DEVICE, delay, str(self._bytes_per_second)]
            self._stack.enter_context(Child(command)).wait_for("ready")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take it down."""
        self._stack.close()

    def inside(self, namespace: str) -> list[str]:
        """What to put before a command so that it runs in ``namespace``."""
        return ["ip", "netns", "exec", namespace]

    def _add_namespace(self, namespace: str, address: str) -> None:
        _ip("netns", "add", namespace)
        self._stack.callback(_ip, "netns", "del", namespace)
        inside = ["-n", namespace]
        _ip(*inside, "tuntap", "add", "dev", DEVICE, "mode", "tun", "vnet_hdr")
        _ip(*inside, "addr", "add", f"{address}/24", "dev", DEVICE)
        _ip(*inside, "link", "set", "lo", "up")
        size = ["mtu", str(MTU), "txqueuelen", str(QUEUED_PACKETS)]
        _ip(*inside, "link", "set", DEVICE, *size, "up")
        settings = {
            "tcp_rmem": f"4096 131072 {SOCKET_BYTES}",
            "tcp_wmem": f"4096 65536 {SOCKET_BYTES}",
            "tcp_no_metrics_save": "1",  # or each connection learns from the contestant before
        }
        if CONGESTION_CONTROL:
            settings["tcp_congestion_control"] = CONGESTION_CONTROL
        script = "; ".join(
            f"echo {value} > /proc/sys/net/ipv4/{name}" for name, value in settings.items()
        )
        _run([*self.inside(namespace), "sh", "-ec", script])


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> None:
    """Run a command that must succeed; `NotHere` with its last line where it does not."""
    if shutil.which(command[0]) is None:
        raise NotHere(f"there is no {command[0]!r} (Debian: iproute2 and gcc)")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NotHere(f"no network namespaces here: {' '.join(command[:4])}: {lines[-1]}")


def _program() -> str:
    """The delay program, compiled now if it is new."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    path = cache_root() / f"delay-{digest}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        _run(["gcc", "-O2", "-pthread", "-o", str(unfinished), str(SOURCE)])
        unfinished.replace(path)
    return str(path)
