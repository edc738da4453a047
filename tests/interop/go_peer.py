"""Drivers of our own small Go programs: a go-libp2p host and a bare boxo bitswap peer."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .build_peers import find_peer
from .child import Child, ChildError, JsonChild

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Security: TypeAlias = Literal["both", "noise", "tls"]
Mode: TypeAlias = Literal["echo", "sink", "source", "ping", "connect", "open"]

_LOOPBACK = "/ip4/127.0.0.1/tcp/0"
_ANSWER_SLACK = 30.0
"""How much longer than the Go side's own timeout the driver waits for the answer."""


def _binary(name: str) -> Path:
    path = find_peer(name)
    if path is None:
        raise ChildError(f"{name} is not built: run tests/interop/build_peers.py {name}")
    return path


class GoPeer(Child):
    """A go-libp2p host that serves /echo, /sink, /source, ping and identify until stopped."""

    def __init__(
        self, *, security: Security = "both", listen: str = _LOOPBACK, key_seed: int = 0
    ) -> None:
        """`security` is what it offers; a `key_seed` other than 0 fixes its peer id."""
        flags = ["-listen", listen, "-security", security, "-key-seed", str(key_seed)]
        super().__init__([_binary("libp2p-peer"), *flags, "-until-eof"])
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
    security: Security = "both",
    timeout: float = 300.0,
) -> Measurement:
    """Let a fresh go-libp2p host dial `addr` and do `mode`; `ChildError` if it fails.

    echo, sink and source move `size` bytes in all over `parallel` streams; ping, connect and open
    repeat `count` times, open on `parallel` streams at once. Whatever comes back is checked.
    """
    flags = {
        "dial": addr,
        "mode": mode,
        "bytes": size,
        "write-size": write_size,
        "count": count,
        "parallel": parallel,
        "security": security,
        "timeout": f"{timeout}s",
    }
    command = [str(_binary("libp2p-peer"))]
    command += [text for key, value in flags.items() for text in (f"-{key}", str(value))]
    return _measurement(mode, _run_client(command, timeout + _ANSWER_SLACK))


def _run_client(command: Sequence[str], timeout: float) -> str:
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
class FetchedBlock:
    """One block that a boxo peer fetched."""

    size: int
    sha256: str
    data: bytes | None
    """The bytes of a block of up to 64 KiB."""


@dataclass(frozen=True)
class FetchedBlocks:
    """What one GetBlocks call of a boxo peer brought before its timeout."""

    count: int
    bytes: int
    seconds: float
    cpu_seconds: float


class BoxoPeer(JsonChild):
    """A bare boxo bitswap peer with its blocks in memory; methods may run side by side."""

    def __init__(
        self, *, security: Security = "both", listen: str = _LOOPBACK, key_seed: int = 0
    ) -> None:
        """`security` is what it offers; a `key_seed` other than 0 fixes its peer id."""
        flags = ["-listen", listen, "-security", security, "-key-seed", str(key_seed)]
        super().__init__([_binary("boxo-peer"), *flags])
        self.id: str = self.hello["id"]
        self.addrs: list[str] = self.hello["addrs"]

    @property
    def addr(self) -> str:
        """Its first full multiaddr."""
        return self.addrs[0]

    def connect(self, addr: str, timeout: float = 30.0) -> str:
        """Dial a full multiaddr and wait for identify; the peer id."""
        answer = self.request("connect", wait=timeout + _ANSWER_SLACK, addr=addr, timeout=timeout)
        return str(answer["peer"])

    def disconnect(self, peer_id: str) -> None:
        """Close every connection to `peer_id`."""
        self.request("disconnect", peer=peer_id)

    def add(
        self,
        data: bytes,
        *,
        codec: str | None = None,
        hash_name: str | None = None,
        version: int | None = None,
    ) -> str:
        """Store a block and announce it to those who want it; its CID.

        Names as in multicodec's table; the default is CIDv1, raw, sha2-256.
        """
        encoded = base64.b64encode(data).decode()
        given = {"codec": codec, "hash": hash_name, "version": version}
        fields: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return str(self.request("add", data=encoded, **fields)["cid"])

    def fill(self, count: int, size: int, seed: int = 0) -> list[str]:
        """Add `count` random raw blocks of `size` bytes; their CIDs depend on the seed alone."""
        answer = self.request("fill", wait=300.0, count=count, size=size, seed=seed, timeout=300)
        return [str(cid) for cid in answer["cids"]]

    def get(self, cid: str, timeout: float = 30.0, *, store: bool = False) -> FetchedBlock:
        """Fetch one block by bitswap; `store` keeps it, so that it is served on."""
        found = self.request(
            "get", wait=timeout + _ANSWER_SLACK, cid=cid, timeout=timeout, store=store
        )
        data = found.get("data")
        return FetchedBlock(
            size=found["size"],
            sha256=found["sha256"],
            data=None if data is None else base64.b64decode(data),
        )

    def get_many(
        self, cids: Sequence[str], timeout: float = 60.0, *, store: bool = False
    ) -> FetchedBlocks:
        """Fetch blocks in one GetBlocks; `count` tells how many came before the timeout."""
        found = self.request(
            "get_many",
            wait=timeout + _ANSWER_SLACK,
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
