"""
A default host in a process of its own, whose memory and speed are its own.

Run as a module it prints its address and serves until SIGTERM: echo, a handler that takes its
stream and never looks at it, and one that writes without end.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from tests.interop.child import Child
from tests.support.hosts import ECHO, HOLD, LOOPBACK, echo, hold

if TYPE_CHECKING:
    from libp2p.abc import INetStream

POUR: Final = TProtocol("/pour/1.0.0")
ROOT: Final = Path(__file__).resolve().parents[2]


class Victim(Child):
    """The process, as its parent sees it."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-m", "tests.support.victim"], cwd=ROOT)
        self.info = info_from_p2p_addr(Multiaddr(self.line()))

    def resident_bytes(self) -> int:
        """The memory that it has now; 0 where the system does not tell (Linux does)."""
        return self._memory("VmRSS:")

    def peak_bytes(self) -> int:
        """The most that it has had since `forget_peak`."""
        return self._memory("VmHWM:")

    def forget_peak(self) -> None:
        """Let `peak_bytes` begin anew."""
        self._proc("clear_refs").write_text("5")

    def _memory(self, name: str) -> int:
        for line in self._proc("status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise LookupError(name)

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.pid}/{name}")


async def pour(stream: INetStream) -> None:
    piece = bytes(64 * 1024)
    while True:
        await stream.write(piece)


async def serve() -> None:
    host = new_host()
    for protocol, handler in ((ECHO, echo), (HOLD, hold), (POUR, pour)):
        host.set_stream_handler(protocol, handler)
    async with host.run(listen_addrs=[LOOPBACK]):
        print(host.get_addrs()[0], flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(serve)
