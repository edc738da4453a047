"""Kubo, the reference IPFS node, run offline on loopback and driven by its own CLI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from .build_peers import find_peer
from .child import Child, ChildError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

Security: TypeAlias = Literal["both", "noise", "tls"]

_LOOPBACK_CONFIG: dict[str, object] = {
    "Addresses.API": "/ip4/127.0.0.1/tcp/0",
    "Addresses.Gateway": "",
    "Addresses.Swarm": ["/ip4/127.0.0.1/tcp/0"],
    "AutoConf.Enabled": False,
    "AutoTLS.Enabled": False,
    "Routing.Type": "none",
    "Routing.DelegatedRouters": [],
    "Ipns.DelegatedPublishers": [],
    "Bootstrap": [],
    "DNS.Resolvers": {},
    "Swarm.Transports.Network": {
        "QUIC": False,
        "WebTransport": False,
        "Relay": False,
        "Websocket": False,
    },
}
"""What keeps a node on loopback TCP, with nobody to ask and nothing to fetch at start."""


class KuboError(Exception):
    """An `ipfs` command failed; the text has the command and what it said."""


class Kubo:
    """One Kubo repository and, from `start` to `stop`, its daemon.

    As a context manager it makes the repository and, unless `daemon` is False, starts the
    daemon; at the end it stops it and removes a repository that it made itself. Without a
    daemon `run`, `add`, `get` and `cat` work on the repository alone.
    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        repo: Path | None = None,
        daemon: bool = True,
        security: Security = "both",
        profile: str | None = None,
        config: Mapping[str, object] | None = None,
    ) -> None:
        """`profile` names further init profiles; `config` sets dotted keys, these win."""
        found = binary or find_peer("kubo")
        if found is None:
            raise KuboError("Kubo is not built: run tests/interop/build_peers.py kubo")
        self._binary = found
        self._own_folder = None if repo else Path(tempfile.mkdtemp(prefix="kubo-"))
        self.repo = repo or Path(str(self._own_folder)) / "repo"
        self._with_daemon = daemon
        self._profile = profile
        self._config = {**_LOOPBACK_CONFIG, **_security_config(security), **(config or {})}
        self._child: Child | None = None
        self.id = ""
        """The peer id, known once the repository is there."""
        self.addrs: list[str] = []
        """Full multiaddrs, with /p2p, of the running daemon."""

    @property
    def addr(self) -> str:
        """The daemon's first full multiaddr."""
        return self.addrs[0]

    def __enter__(self) -> Self:
        try:
            self.init()
            if self._with_daemon:
                self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the daemon and remove the repository if this object made it."""
        self.stop()
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def init(self) -> None:
        """Make the repository, unless it is there, and put it on loopback."""
        path = self.repo / "config"
        if not path.exists():
            profiles = ",".join(filter(None, ("test", self._profile)))
            self.run("init", f"--profile={profiles}")
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key, value in self._config.items():
            _set_dotted(config, key, value)
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")
        self.id = config["Identity"]["PeerID"]

    def start(self, timeout: float = 60.0) -> None:
        """Start the daemon and wait until it says that it is ready."""
        if self._child is not None:
            raise KuboError("the daemon runs already")
        self._child = Child([self._binary, "daemon"], env=self._environment(), merge_stderr=True)
        try:
            self._child.wait_for("Daemon is ready", timeout)
        except ChildError as error:
            self.stop()
            raise KuboError(f"ipfs daemon: {error}") from None
        self.addrs = [str(addr) for addr in json.loads(self.text("id"))["Addresses"] or []]

    def stop(self) -> None:
        """End the daemon as an operator would; nothing if there is none."""
        child, self._child = self._child, None
        self.addrs = []
        if child is not None:
            child.stop()

    def kill(self) -> None:
        """End the daemon as a crash would (SIGKILL)."""
        child, self._child = self._child, None
        self.addrs = []
        if child is not None:
            child.kill()

    def rss_bytes(self) -> int:
        """The daemon's peak resident memory so far."""
        return self._daemon().rss_bytes()

    def cpu_seconds(self) -> float:
        """The daemon's processor time so far."""
        return self._daemon().cpu_seconds()

    def _daemon(self) -> Child:
        if self._child is None:
            raise KuboError("the daemon does not run")
        return self._child

    def _environment(self) -> dict[str, str]:
        return {"IPFS_PATH": str(self.repo), "IPFS_TELEMETRY": "off"}

    def run(
        self,
        *args: str | os.PathLike[str],
        input: bytes | None = None,
        timeout: float | None = 600.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `ipfs ARGS`; `KuboError` when it fails, unless `check` is off.

        `subprocess.TimeoutExpired` when it takes longer than `timeout` seconds.
        """
        done = subprocess.run(
            [self._binary, *args],
            input=b"" if input is None else input,
            capture_output=True,
            env={**os.environ, **self._environment()},
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            words = " ".join(os.fspath(arg) for arg in args)
            raise KuboError(f"ipfs {words}: exit code {done.returncode}: {said}")
        return done

    def text(
        self,
        *args: str | os.PathLike[str],
        input: bytes | None = None,
        timeout: float | None = 600.0,
    ) -> str:
        """Run `ipfs ARGS` and return its output as text, without the last newline."""
        return self.run(*args, input=input, timeout=timeout).stdout.decode().rstrip("\n")

    def add(self, path: str | os.PathLike[str], *flags: str) -> str:
        """`ipfs add -Q FLAGS PATH` (with -r for a folder): the root CID."""
        recursive = ["-r"] if Path(path).is_dir() else []
        return self.text("add", "-Q", *recursive, *flags, path)

    def add_bytes(self, data: bytes, *flags: str) -> str:
        """`ipfs add -Q FLAGS` of standard input: the root CID."""
        return self.text("add", "-Q", *flags, input=data)

    def get(
        self,
        cid: str,
        output: str | os.PathLike[str],
        *flags: str,
        timeout: float | None = 600.0,
    ) -> None:
        """`ipfs get FLAGS -o OUTPUT CID`."""
        self.run("get", *flags, "-o", output, cid, timeout=timeout)

    def cat(self, path: str, *flags: str, timeout: float | None = 600.0) -> bytes:
        """`ipfs cat FLAGS PATH`: the bytes."""
        return self.run("cat", *flags, path, timeout=timeout).stdout

    def swarm_connect(self, addr: str, timeout: float | None = 60.0) -> None:
        """`ipfs swarm connect ADDR` (a full multiaddr with /p2p)."""
        self.run("swarm", "connect", addr, timeout=timeout)


def _security_config(security: Security) -> dict[str, object]:
    """The config keys that leave a node with only the secure channel asked for."""
    if security == "both":
        return {}
    off = "TLS" if security == "noise" else "Noise"
    return {"Swarm.Transports.Security": {off: False}}


def _set_dotted(config: dict[str, Any], key: str, value: object) -> None:
    """Set `a.b.c` in nested dicts, making what is missing on the way."""
    *parents, last = key.split(".")
    for part in parents:
        inner = config.get(part)
        if not isinstance(inner, dict):
            inner = config[part] = {}
        config = inner
    config[last] = value
