"""
Runs rows of the bench and prints medians, ranges, processor time and ratios against the budget.

The contestants of a row take turns (A B C A B C ...), so that whatever slows the machine for a
while slows them all; ratios are taken within a turn. Absolute figures only tell the size.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from contextlib import ExitStack

from bench import bitswap, dht, idle, kubo, long_link, peers
from bench.contestants import NotHere
from bench.row import Row, Sample, lines_of


def run_row(row: Row, rounds: int) -> dict[str, list[Sample]]:
    """All samples of a row, by contestant; one that is not to be had is left out and named."""
    samples: dict[str, list[Sample]] = {name: [] for name in row.contestants}
    with ExitStack() as stack:
        row.prepare(stack)
        for _ in range(rounds):
            for contestant in list(samples):
                try:
                    samples[contestant].append(row.measure(contestant))
                except NotHere as reason:
                    print(f"{row.name}: without {contestant}: {reason}", file=sys.stderr)
                    del samples[contestant]
    return samples


def main() -> int:
    """Run the rows that are named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.run", description=(__doc__ or "").strip().splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="ROW", help="default: all; --list names them")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (5)")
    parser.add_argument("--stream-mib", type=int, default=512, help="size of a stream (512)")
    parser.add_argument("--link-megabytes", type=int, default=600, help="over 50 ms (600)")
    parser.add_argument("--file-mib", type=int, default=1024, help="size of a file (1024)")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    options = parser.parse_args()
    all_rows = [
        *peers.rows(options.stream_mib),
        *idle.rows(),
        *dht.rows(),
        *long_link.rows(options.link_megabytes),
        *bitswap.rows(),
        *kubo.rows(options.file_mib),
    ]
    rows = {row.name: row for row in all_rows}
    if options.list:
        print("\n".join(f"{row.name:<10}{row.title}" for row in rows.values()))
        return 0
    unknown = [name for name in options.names if name not in rows]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(rows)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {options.rounds} rounds;")
    print("median (min-max); CPU seconds: client + server; ratios within a round\n")
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tempfile.tempdir = folder  # rows leave their files there
        for name in options.names or rows:
            try:
                lines = lines_of(rows[name], run_row(rows[name], options.rounds))
                print("\n".join(lines), flush=True)
            except (NotHere, RuntimeError) as error:
                failed = True
                print(f"{name}: {error}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
