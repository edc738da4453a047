"""The driver of all bitswap peers that take commands over their standard streams."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .build_peers import find_peer
from .child import ChildError, JsonChild

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

ANSWER_SLACK = 30.0
"""How much longer than a peer's own timeout the driver waits for the answer."""

_UPSTREAM = Path(__file__).with_name("upstream") / "peer.py"


def binary_of(name: str) -> Path:
    """What to start for the peer `name`; `ChildError` where it was not built."""
    path = find_peer(name)
    if path is None:
        raise ChildError(f"{name} is not built: run tests/interop/build_peers.py {name}")
    return path


@dataclass(frozen=True)
class FetchedBlock:
    """One block that a peer fetched."""

    size: int
    sha256: str
    data: bytes | None
    """The bytes of a block of up to 64 KiB."""


class BitswapPeer(JsonChild):
    """A peer of another implementation; methods may run side by side in threads."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(command, env=env)
        self.id: str = self.hello["id"]
        self.addrs: list[str] = self.hello["addrs"]

    @property
    def addr(self) -> str:
        """Its first full multiaddr."""
        return self.addrs[0]

    def connect(self, addr: str, timeout: float = 30.0) -> str:
        """Dial a full multiaddr and wait for identify; the peer id."""
        answer = self.request("connect", wait=timeout + ANSWER_SLACK, addr=addr, timeout=timeout)
        return str(answer["peer"])

    def disconnect(self, peer_id: str) -> None:
        """Close every connection to `peer_id`."""
        self.request("disconnect", peer=peer_id)

    def add(
        self,
        data: bytes,
        *,
        codec: str | None = None,
        hash_name: str = "sha2-256",
        version: int = 1,
    ) -> str:
        """Store a block and announce it to those who want it; its CID.

        Names as in multicodec's table; the codec is raw, or dag-pb in version 0.
        """
        encoded = base64.b64encode(data).decode()
        codec = codec or ("raw" if version else "dag-pb")
        fields: dict[str, Any] = {"codec": codec, "hash": hash_name, "version": version}
        return str(self.request("add", data=encoded, **fields)["cid"])

    def get(self, cid: str, timeout: float = 30.0, **fields: object) -> FetchedBlock:
        """Fetch one block by bitswap."""
        found = self.request("get", wait=timeout + ANSWER_SLACK, cid=cid, timeout=timeout, **fields)
        data = found.get("data")
        return FetchedBlock(
            size=found["size"],
            sha256=found["sha256"],
            data=None if data is None else base64.b64decode(data),
        )

    def echo(self, addr: str, size: int, timeout: float = 60.0) -> int:
        """Dial `addr`, have `size` bytes sent back, compare them; how many came (not Go, Rust)."""
        answer = self.request("echo", wait=timeout, addr=addr, size=size)
        return int(answer["bytes"])


class IpfsLitePeer(BitswapPeer):
    """Go ipfs-lite as its users set it up, with a DHT that knows nobody."""

    def __init__(self) -> None:
        super().__init__([binary_of("ipfs-lite-peer")])


class HeliaPeer(BitswapPeer):
    """Helia on js-libp2p: TCP, Noise, yamux; it serves /echo too."""

    def __init__(self) -> None:
        super().__init__([binary_of("helia-peer")])


class BeetswapPeer(BitswapPeer):
    """Beetswap on rust-libp2p: TCP, Noise, yamux."""

    def __init__(self) -> None:
        super().__init__([binary_of("beetswap-peer")])


class UpstreamPeer(BitswapPeer):
    """py-libp2p 0.8.1 in an environment of its own: TCP, Noise, yamux; it serves /echo too."""

    def __init__(self) -> None:
        super().__init__([binary_of("py-libp2p"), _UPSTREAM], env={"PYTHONPATH": ""})
