"""Drivers of our Go program with the servers of go-libp2p-kad-dht."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from .bitswap_peer import ANSWER_SLACK, binary_of
from .child import JsonChild
from .go_peer import run_client


@dataclass(frozen=True)
class GoNode:
    """One of the servers."""

    id: str
    addr: str
    """Its first full multiaddr."""


@dataclass(frozen=True)
class FindNodeRate:
    """What a Go client measured that sent FIND_NODE to a server."""

    count: int
    seconds: float
    closer: int
    """Peers in all answers together."""
    median: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.count / self.seconds


class GoDht(JsonChild):
    """
    Many Go DHT servers in one process, each on a host of its own.

    At the start all of them are connected to the first one. Methods may run side by side in
    threads.
    ``node`` says which server acts; ``seconds`` of an answer is how long it took there.
    """

    def __init__(self, count: int = 25, *, prefix: str = "/ipfs", known: int = 0) -> None:
        """:param known: random peers that each table is offered at first."""
        flags = ["-count", str(count), "-prefix", prefix, "-known", str(known)]
        super().__init__([binary_of("dht-peer"), *flags])
        self.nodes = [GoNode(node["id"], node["addrs"][0]) for node in self.hello["nodes"]]

    def ask(self, node: int, command: str, timeout: float = 30.0, **fields: object) -> Any:
        """Let a node do something; its answer."""
        wait = timeout + ANSWER_SLACK
        return self.request(command, wait=wait, node=node, timeout=timeout, **fields)

    def connect(self, node: int, addr: str) -> None:
        """Dial a full multiaddr."""
        self.ask(node, "connect", addr=addr)

    def disconnect(self, node: int, peer_id: str) -> None:
        """Close every connection to a peer, and forget it."""
        self.ask(node, "disconnect", peer=peer_id)

    def provide(self, node: int, cid: str) -> float:
        """Announce that the node has a block; how long that took."""
        return float(self.ask(node, "provide", cid=cid)["seconds"])

    def find_providers(self, node: int, cid: str, count: int = 20) -> tuple[list[str], float]:
        """Return the peer ids of those that have a block, and how long that took."""
        answer = self.ask(node, "find_providers", cid=cid, count=count)
        return [found["id"] for found in answer["providers"]], float(answer["seconds"])

    def find_peer(self, node: int, peer_id: str) -> tuple[list[str], float]:
        """Return a peer's addresses, and how long that took."""
        answer = self.ask(node, "find_peer", peer=peer_id)
        return list(answer["found"]["addrs"]), float(answer["seconds"])

    def closest(self, node: int, key: bytes) -> tuple[list[str], float]:
        """Return the peer ids closest to a key, and how long that took."""
        answer = self.ask(node, "closest", key=_encoded(key))
        return list(answer["peers"]), float(answer["seconds"])

    def put_value(self, node: int, key: bytes, value: bytes) -> float:
        """Store a record; how long that took."""
        encoded = _encoded(value)
        return float(self.ask(node, "put_value", key=_encoded(key), value=encoded)["seconds"])

    def get_value(self, node: int, key: bytes) -> tuple[bytes, float]:
        """Return the best record of a key, and how long that took; `ChildError` without one."""
        answer = self.ask(node, "get_value", key=_encoded(key))
        return base64.b64decode(answer["value"]), float(answer["seconds"])

    def make_record(self, path: str = "", sequence: int = 1) -> tuple[bytes, bytes]:
        """Make a key pair and its IPNS record, or without a path its /pk record: key and value."""
        answer = self.request("make_record", path=path, sequence=sequence)
        return base64.b64decode(answer["key"]), base64.b64decode(answer["value"])

    def table(self, node: int) -> list[str]:
        """Return the peers in a node's routing table."""
        return list(self.ask(node, "table")["peers"])

    def refresh(self, node: int) -> None:
        """Let a node refresh its routing table."""
        self.ask(node, "refresh")


def find_node_rate(
    addr: str, count: int = 10_000, streams: int = 4, *, prefix: str = "/ipfs"
) -> FindNodeRate:
    """Let a fresh Go client send FIND_NODE to a server; `ChildError` if one is not answered."""
    flags = ["-ask", addr, "-asked", str(count), "-streams", str(streams), "-prefix", prefix]
    found = json.loads(run_client([str(binary_of("dht-peer")), *flags], 300.0))
    names = ("count", "seconds", "closer", "median", "p99")
    return FindNodeRate(**{name: found[name] for name in names})


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
