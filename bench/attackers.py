"""
Hundreds of attackers at one host: its memory, its loop, and an honest peer beside them.

Ends with 1 if a bound is exceeded. The gate runs a tenth of it (`tests/integration`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

import trio

from tests.support.attacks import Plan
from tests.support.siege import Bounds, Siege, Size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attackers", type=int, default=400)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60, help="how long they stay")
    parser.add_argument("--only", choices=[*asdict(Plan())], help="one of what they do, not all")
    options = parser.parse_args()
    plan = Plan()
    if options.only:
        nothing = dict.fromkeys(asdict(plan), 0)
        plan = Plan(**{**nothing, options.only: getattr(plan, options.only)})
    seconds, bounds = options.seconds, Bounds()
    size = Size(options.attackers, options.processes, seconds, seconds / 2, plan)
    outcome = trio.run(Siege(size, bounds).run)
    print(*outcome.table(), sep="\n")
    faults = list(outcome.faults(bounds))
    print(*(f"FAULT: {fault}" for fault in faults), sep="\n", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
