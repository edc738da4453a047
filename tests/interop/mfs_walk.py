"""A random walk of operations on the mutable tree, as arguments of ``ipfs files``."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """``files`` arguments, and the standard input."""

    args: tuple[str, ...]
    data: bytes = b""


#: Around chunks of 256 KiB, and beyond what is written out at once.
_SIZES = (0, 1, 31, 4096, 4097, 262144, 262145, 600_000, 2 * 1024 * 1024 + 40_000, 5_000_000)


class Walk:
    """Chooses operations; half of them on paths that exist."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._names = ["a", "b", "c", "é", "with space", "d.txt"]

    def path(self) -> str:
        depth = self._random.choice((1, 1, 2, 2, 3))
        return "/" + "/".join(self._random.choice(self._names) for _ in range(depth))

    def next(self) -> Operation:
        choose = self._random.choice
        kind = choose(("write",) * 6 + ("mkdir", "mkdir", "cp", "mv", "rm", "chmod", "touch"))
        if kind == "write":
            args = [f"--offset={choose((0, 0, 1, 5000, 262144, 700_001))}"]
            # Parents without --create: where the write fails, Kubo has made them all the same.
            args += choose(((), ("--create",), *[("--create", "--parents")] * 4))
            args += ["--truncate"] if self._random.random() < 0.2 else []
            if self._random.random() < 0.2:
                args.append(f"--count={choose((0, 3, 300_000))}")
            if self._random.random() < 0.2:
                args.append(f"--raw-leaves={choose(('true', 'false'))}")
            if self._random.random() < 0.2:
                args.append(f"--cid-version={choose((0, 1))}")
            data = self._random.randbytes(choose(_SIZES))
            return Operation(("write", *args, self.path()), data)
        if kind == "mkdir":
            parents = ["-p"] if self._random.random() < 0.5 else []
            return Operation(("mkdir", *parents, self.path()))
        if kind in ("cp", "mv"):
            source, target = self.path(), self.path()
            while kind == "mv" and target.startswith(source + "/"):
                target = self.path()  # Kubo loses a directory that is moved into itself
            return Operation((kind, source, target + choose(("", "", "/"))))
        if kind == "rm":
            flags = ["-r"] if self._random.random() < 0.5 else []
            return Operation(("rm", *flags, self.path()))
        if kind == "chmod":
            return Operation(("chmod", choose(("0644", "0755", "600")), self.path()))
        return Operation(("touch", f"--mtime={choose((1, 1_700_000_000))}", self.path()))
