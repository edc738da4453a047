"""The bitswap peers of other implementations, and what each of them cannot do."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from .bitswap_peer import BeetswapPeer, FetchedBlock, HeliaPeer, IpfsLitePeer, UpstreamPeer
from .files import MIB
from .go_peer import BoxoPeer
from .kubo import Kubo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType


@dataclass(frozen=True)
class Form:
    """A kind of CID: raw blocks in version 1, dag-pb in version 0."""

    hash_name: str
    version: int
    prefix_size: int
    """How many bytes name this form in a message, beside the block."""

    @property
    def largest(self) -> int:
        """The largest block that fits into a message of 4 MiB: 18 bytes less, prefix included."""
        return 4 * MIB - 14 - self.prefix_size

    @property
    def codec(self) -> str:
        """The codec that goes with the version."""
        return "raw" if self.version else "dag-pb"


FORMS = {
    "CIDv0": Form("sha2-256", 0, 4),
    "sha2-256": Form("sha2-256", 1, 4),
    "sha2-512": Form("sha2-512", 1, 4),
    "blake2b-256": Form("blake2b-256", 1, 6),
    "blake3": Form("blake3", 1, 4),
}
SIZES = [0, 1, 1_024, 1_025, 2 * MIB]
"""Up to 1,024 bytes a want-have is answered by the block. The largest of each form come besides."""


class BlockPeer(Protocol):
    """What the tests do with a peer; these methods block, and may run side by side."""

    @property
    def addr(self) -> str:
        """Its full multiaddr."""

    def connect(self, addr: str) -> str:
        """Dial a full multiaddr; the peer id."""

    def add(self, data: bytes, *, hash_name: str = ..., version: int = ...) -> str:
        """Store a block; its CID."""

    def get(self, cid: str, timeout: float = ...) -> FetchedBlock:
        """Fetch a block by bitswap; `ChildError` or `KuboError` when it does not come."""


class KuboPeer:
    """A Kubo daemon, block by block."""

    def __init__(self) -> None:
        self._kubo = Kubo()

    def __enter__(self) -> Self:
        self._kubo.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kubo.close()

    @property
    def addr(self) -> str:
        """The daemon's first full multiaddr."""
        return self._kubo.addr

    def connect(self, addr: str) -> str:
        """`ipfs swarm connect`; the peer id."""
        self._kubo.swarm_connect(addr)
        return addr.rpartition("/p2p/")[2]

    def add(self, data: bytes, *, hash_name: str = "sha2-256", version: int = 1) -> str:
        """`ipfs block put`, of any size; the CID."""
        kind = ["--cid-codec=raw", f"--mhtype={hash_name}"] if version else ["--format=v0"]
        return self._kubo.text("block", "put", "--allow-big-block", *kind, input=data)

    def get(self, cid: str, timeout: float = 30.0) -> FetchedBlock:
        """`ipfs block get`."""
        data = self._kubo.run("block", "get", f"--timeout={timeout}s", cid).stdout
        return FetchedBlock(len(data), hashlib.sha256(data).hexdigest(), data)


@dataclass(frozen=True)
class Kind:
    """One peer, as a row of the tests."""

    peer: str
    """What `need` is asked for."""
    start: Callable[[], AbstractContextManager[BlockPeer]]
    cannot_serve: Mapping[str, str] = field(default_factory=dict)
    """Forms that we do not get from this peer, each with the reason."""
    cannot_fetch: Mapping[str, str] = field(default_factory=dict)
    """Forms that this peer does not get from us, each with the reason."""
    largest_served: int = 4 * MIB
    """It does not serve what is larger; told for a prefix of four bytes."""
    cannot_push: str = ""
    """Why a block that it gets later does not reach us, although we wait for it."""
    never_refuses: str = ""
    """Why it does not tell us that it lacks a block."""
    resolves_identity: bool = False
    """Whether it takes the block out of an identity CID and asks nobody for it."""


_NO_PRESENCES = "a message of version 1.0 has no place for it"
_NO_PREFIX = "a block of version 1.0 is bytes alone, from which both sides make a CIDv0"
_BEFORE_1_1 = dict.fromkeys(("sha2-512", "blake2b-256", "blake3"), _NO_PREFIX)
_BEFORE_0_9 = dict.fromkeys(("blake2b-256", "blake3"), "it knows sha2-256 and sha2-512 alone")


def _boxo(version: str) -> Callable[[], BoxoPeer]:
    return partial(BoxoPeer, protocols=[f"/ipfs/bitswap{version}"])


KINDS = {
    "kubo": Kind("kubo", KuboPeer, resolves_identity=True),
    "boxo": Kind("boxo-peer", BoxoPeer),
    "boxo 1.1 only": Kind("boxo-peer", _boxo("/1.1.0")),
    "boxo 1.0 only": Kind(
        "boxo-peer",
        _boxo("/1.0.0"),
        cannot_serve=_BEFORE_1_1,
        cannot_fetch={**_BEFORE_1_1, "sha2-256": "it waits for the very CID, and gets a CIDv0"},
        never_refuses=_NO_PRESENCES,
    ),
    "boxo unversioned only": Kind(
        "boxo-peer",
        _boxo(""),
        cannot_serve=_BEFORE_1_1,
        cannot_fetch={**_BEFORE_1_1, "sha2-256": "it waits for the very CID, and gets a CIDv0"},
        never_refuses=_NO_PRESENCES,
    ),
    "ipfs-lite": Kind("ipfs-lite-peer", IpfsLitePeer),
    "helia": Kind(
        "helia-peer",
        HeliaPeer,
        cannot_push="it looks for the block in its store before it puts it there",
        largest_served=4_193_648,  # its MAX_BLOCK_SIZE; of what is larger it says nothing
        resolves_identity=True,
    ),
    "beetswap": Kind(
        "beetswap-peer",
        BeetswapPeer,
        cannot_push="its server hears of the blocks that its client fetched, of no others",
        never_refuses="its server does not know DONT_HAVE",
    ),
    "py-libp2p 0.8.1": Kind(
        "py-libp2p",
        UpstreamPeer,
        cannot_serve=_BEFORE_0_9,
        cannot_fetch=_BEFORE_0_9,
        cannot_push="it closes the stream of its push, on which it expects no answer",
        largest_served=512 * 1024,  # its MAX_BLOCK_SIZE, for what is added; it fetches any
    ),
}
