"""Two machines on one: network namespaces that are joined by two cables (Linux, root)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.interop.child import JsonChild

if TYPE_CHECKING:
    from collections.abc import Iterator


class NamespaceError(Exception):
    """`ip` failed; the text has what it said."""


def ip(*args: str) -> None:
    """Run `ip ARGS`."""
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NamespaceError(f"ip {' '.join(args)}: {done.stderr.strip()}")


@dataclass(frozen=True)
class Machine:
    """A namespace, and the addresses at which the other one can reach it."""

    name: str
    lan: str
    lan_6: str
    #: On the second cable: an address as the internet has them.
    public: str
    #: Of an interface that is down.
    unplugged: str

    @property
    def reachable(self) -> set[str]:
        """All that the other machine can use."""
        return {self.lan, self.lan_6, self.public}

    def command(self, *args: str) -> list[str]:
        """Return what runs ``args`` there."""
        return ["ip", "netns", "exec", self.name, *args]

    def ip(self, *args: str) -> None:
        """Run `ip ARGS` there."""
        ip("-n", self.name, *args)

    def host(self) -> JsonChild:
        """Start a host of ours there; see `tests.support.named_host`."""
        return JsonChild(self.command(sys.executable, "-m", "tests.support.named_host"))


def _wait_for(machine: Machine, cable: str) -> None:
    """Return when the system knows that a cable has both ends: it looks once a second."""
    show = ["ip", "-n", machine.name, "-o", "link", "show", cable]
    deadline = time.monotonic() + 10
    while b"state UP" not in subprocess.run(show, capture_output=True, check=True).stdout:
        if time.monotonic() > deadline:
            raise NamespaceError(f"{cable} of {machine.name} does not come up")
        time.sleep(0.02)  # no event


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make both for the length of the block."""
    prefix = f"libp2p-{os.getpid()}"
    left, right = (
        Machine(
            f"{prefix}-{number}",
            f"10.77.1.{number}",
            f"fd77::{number}",
            f"11.22.33.{number}",
            f"10.99.{number}.1",
        )
        for number in (1, 2)
    )
    made: list[Machine] = []
    try:
        for machine in (left, right):
            ip("netns", "add", machine.name)
            made.append(machine)
            machine.ip("link", "set", "lo", "up")
        for cable in ("lan", "wan", "off"):
            left.ip(
                "link", "add", cable, "type", "veth", "peer", "name", cable, "netns", right.name
            )
        for machine in (left, right):
            machine.ip("addr", "add", f"{machine.lan}/24", "dev", "lan")
            machine.ip("addr", "add", f"{machine.lan_6}/64", "dev", "lan", "nodad")
            machine.ip("addr", "add", f"{machine.public}/24", "dev", "wan")
            machine.ip("addr", "add", f"{machine.unplugged}/24", "dev", "off")
            for cable in ("lan", "wan"):
                machine.ip("link", "set", cable, "up")
        for machine in (left, right):
            for cable in ("lan", "wan"):
                _wait_for(machine, cable)
        yield left, right
    finally:
        for machine in made:  # the cables go with them
            ip("netns", "del", machine.name)


@cache
def namespaces_available() -> bool:
    """Whether this process can make namespaces and cables between them."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return False
    try:
        with two_machines():
            return True
    except NamespaceError:
        return False
