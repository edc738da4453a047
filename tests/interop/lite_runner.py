"""Runs `ipfs-lite` in this process and leaves the process's peak memory, in bytes, in a file.

Started by `lite.Lite.measured`: `python lite_runner.py REPORT ARGS...`. The parent cannot measure
this: what the kernel tells it of a child is at least its own size when it started the child.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def peak_rss_bytes() -> int:
    """The most memory that this process has had (Linux only)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the peak memory of a process")


def main(report: Path, args: list[str]) -> None:
    """Run one command; the exit code is its own."""
    sys.argv = ["ipfs-lite", *args]
    try:
        runpy.run_module("libp2p.ipfs_lite", run_name="__main__")
    finally:
        report.write_text(str(peak_rss_bytes()), encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
