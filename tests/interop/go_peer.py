"""Drivers of our own small Go programs: a go-libp2p host and a bare boxo bitswap peer."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .bitswap_peer import ANSWER_SLACK, BitswapPeer, binary_of
from .child import Child, ChildError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Security: TypeAlias = Literal["both", "noise", "tls"]
Mode: TypeAlias = Literal["echo", "sink", "source", "ping", "connect", "open", "reset"]

_LOOPBACK = "/ip4/127.0.0.1/tcp/0"


class GoPeer(Child):
    """A go-libp2p host that serves /echo, /sink, /source, /reset, /push, ping and identify."""

    def __init__(
        self,
        *,
        security: Security = "both",
        listen: str = _LOOPBACK,
        key_seed: int = 0,
        swarm_key: Path | None = None,
        tell_pushes: bool = False,
    ) -> None:
        """
        `security` is what it offers; a `key_seed` other than 0 fixes its peer id.

        With a `swarm_key` it is in a private network; `tell_pushes` lets it print a line ``pushed
        PROTOCOL`` for each protocol that identify push adds to a peer.
        """
        flags = ["-listen", listen, "-security", security, "-key-seed", str(key_seed)]
        flags += ["-swarm-key", "" if swarm_key is None else str(swarm_key)]
        flags += ["-tell-pushes"] if tell_pushes else []
        super().__init__([binary_of("libp2p-peer"), *flags, "-until-eof"])
        try:
            self.addr = self.line()
        except ChildError:
            self.kill()
            raise
        self.id = self.addr.rpartition("/p2p/")[2]

    def stop_and_cost(self) -> float:
        """Stop the host; the CPU seconds it used in all its life."""
        self.stop()
        return float(json.loads(self.stderr_text().splitlines()[-1])["cpu_seconds"])


@dataclass(frozen=True)
class Measurement:
    """What a go-libp2p client measured. Times are seconds; those of the set-up are left out."""

    mode: Mode
    bytes: int
    """How many bytes were moved (echo: one way)."""
    seconds: float
    cpu_seconds: float
    """Processor time of the client during `seconds`."""
    count: int
    """How many pings, connects or opens."""
    median: float
    """The median of one ping, connect or open; 0 in the other modes."""
    p99: float

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds


def go_client(
    mode: Mode,
    addr: str,
    *,
    size: int = 1 << 20,
    write_size: int = 65536,
    count: int = 10,
    parallel: int = 1,
    code: int = 0,
    security: Security = "both",
    swarm_key: Path | str = "",
    timeout: float = 300.0,
) -> Measurement:
    """Let a fresh go-libp2p host dial `addr` and do `mode`; `ChildError` if it fails.

    echo, sink and source move `size` bytes in all over `parallel` streams; ping, connect and open
    repeat `count` times, open on `parallel` streams at once; reset resets one stream with `code`.
    Whatever comes back is checked.
    """
    flags = {
        "dial": addr,
        "mode": mode,
        "bytes": size,
        "write-size": write_size,
        "count": count,
        "parallel": parallel,
        "code": code,
        "security": security,
        "swarm-key": swarm_key,
        "timeout": f"{timeout}s",
    }
    command = [str(binary_of("libp2p-peer"))]
    command += [text for key, value in flags.items() for text in (f"-{key}", str(value))]
    return _measurement(mode, run_client(command, timeout + ANSWER_SLACK))


def run_client(command: Sequence[str], timeout: float) -> str:
    """Run a client to its end; the line it printed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise ChildError(done.stderr.strip() or f"libp2p-peer: exit code {done.returncode}")
    return done.stdout


def _measurement(mode: Mode, line: str) -> Measurement:
    found: dict[str, Any] = json.loads(line)
    return Measurement(
        mode=mode,
        bytes=found["bytes"],
        seconds=found["seconds"],
        cpu_seconds=found["cpu_seconds"],
        count=found["count"],
        median=found.get("median", 0.0),
        p99=found.get("p99", 0.0),
    )


@dataclass(frozen=True)
class FetchedBlocks:
    """What one GetBlocks call of a boxo peer brought before its timeout."""

    count: int
    bytes: int
    seconds: float
    cpu_seconds: float


class BoxoPeer(BitswapPeer):
    """A bare boxo bitswap peer with its blocks in memory."""

    def __init__(
        self,
        *,
        security: Security = "both",
        listen: str = _LOOPBACK,
        key_seed: int = 0,
        protocols: Sequence[str] = (),
    ) -> None:
        """`security` is what it offers; a `key_seed` other than 0 fixes its peer id.

        Given `protocols`, it speaks these alone instead of every version of bitswap.
        """
        flags = ["-listen", listen, "-security", security, "-key-seed", str(key_seed)]
        flags += ["-protocols", ",".join(protocols)]
        super().__init__([binary_of("boxo-peer"), *flags])

    def fill(self, count: int, size: int, seed: int = 0) -> list[str]:
        """Add `count` random raw blocks of `size` bytes; their CIDs depend on the seed alone."""
        answer = self.request("fill", wait=300.0, count=count, size=size, seed=seed, timeout=300)
        return [str(cid) for cid in answer["cids"]]

    def get_many(
        self, cids: Sequence[str], timeout: float = 60.0, *, store: bool = False
    ) -> FetchedBlocks:
        """Fetch blocks in one GetBlocks; `count` tells how many came before the timeout."""
        found = self.request(
            "get_many",
            wait=timeout + ANSWER_SLACK,
            cids=list(cids),
            timeout=timeout,
            store=store,
        )
        return FetchedBlocks(
            count=found["count"],
            bytes=found["bytes"],
            seconds=found["seconds"],
            cpu_seconds=found["cpu_seconds"],
        )

    def has(self, cid: str) -> bool:
        """Whether its own store has the block."""
        return bool(self.request("has", cid=cid)["has"])

    def remove(self, cid: str) -> None:
        """Take a block out of its store."""
        self.request("remove", cid=cid)

    def stat(self) -> dict[str, Any]:
        """Counters: wants, peers, blocks_/bytes_received and _sent, duplicates, ..."""
        return self.request("stat")
