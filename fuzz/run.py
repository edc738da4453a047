"""
Fuzzes for so many seconds or with so many inputs per target, and keeps what makes one fail.

For seconds with atheris (coverage-guided) where it is installed, with hypothesis elsewhere. A
number of inputs is made by changing seeds at random, which takes the least time for each. A finding
is written to fuzz/corpus/TARGET/crash-*, where the tests run it from then on.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random

from fuzz import inputs

#: A single input that takes longer is a finding of its own.
INPUT_SECONDS = 5
ROUND_EXAMPLES = 2000
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


def fuzz_with_atheris(name: str, seconds: int) -> bool:
    """Fuzz in a process of its own, for libFuzzer ends its process; True if nothing was found."""
    findings = inputs.FOLDER / name
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as discovered:
        command = [sys.executable, "-m", "fuzz.run", "--inside", name]
        flags = [
            f"-max_total_time={seconds}",
            f"-max_len={inputs.MAX_INPUT_BYTES}",
            f"-timeout={INPUT_SECONDS}",
            f"-artifact_prefix={findings}/",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        done = subprocess.run(
            [*command, *flags, discovered, str(findings)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return True
    print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    return False


def run_inside(name: str, flags: list[str]) -> None:
    """What the process of `fuzz_with_atheris` does; does not return."""
    import atheris

    with atheris.instrument_imports(include=["libp2p"]):
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *flags], TARGETS[name].try_on)
    atheris.Fuzz()


def fuzz_with_hypothesis(name: str, seconds: int) -> bool:
    """Change what is in the corpus, at random but with shrinking; True if nothing was found."""
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st

    from fuzz.targets import TARGETS

    target, seeds = TARGETS[name], inputs.kept(name) or [b""]
    new_bytes = st.sampled_from(inputs.EDGES) | st.binary(max_size=16)
    edits = st.lists(
        st.builds(inputs.Edit, st.integers(0, 4), st.integers(0, 1 << 16), new_bytes), max_size=6
    )
    last = b""

    @settings(
        max_examples=ROUND_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits=edits, start=st.sampled_from(seeds) | st.binary(max_size=200))
    def search(edits: list[inputs.Edit], start: bytes) -> None:
        nonlocal last
        last = inputs.apply(edits, start)
        target.try_on(last)

    end, turn = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turn += 1
        try:
            seed(turn)(search)()
        except Exception:  # noqa: BLE001 - whatever a target must not raise is a finding
            traceback.print_exc()
            print(f"kept as {inputs.keep(name, last, 'crash')}")
            return False
    return True


def fuzz_with_mutants(name: str, count: int, number: int) -> bool:
    """Change what is in the corpus ``count`` times, in the ``number``-th way; see above."""
    from fuzz.targets import TARGETS

    target, random, seeds = TARGETS[name], Random(f"{name} {number}"), inputs.kept(name)
    for turn in range(count):
        data = inputs.mutant(random, seeds)
        began = time.process_time()
        try:
            target.try_on(data)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a panic of Rust code is no Exception, and a finding
            traceback.print_exc()
            print(f"kept as {inputs.keep(name, data, 'crash')}")
            return False
        if time.process_time() - began > INPUT_SECONDS:
            print(f"input {turn} was slow: kept as {inputs.keep(name, data, 'slow')}")
            return False
    return True


def names_of(wanted: list[str]) -> list[str]:
    """The targets to fuzz: those that are named, or all."""
    from fuzz.targets import TARGETS

    unknown = set(wanted) - TARGETS.keys()
    if unknown:
        sys.exit(f"no target {unknown.pop()!r}; there are {', '.join(TARGETS)}")
    return wanted or list(TARGETS)


def main() -> int:
    """Fuzz the targets that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description="Fuzzes the parsers.")
    parser.add_argument("names", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--seconds", type=int, default=15, help="per target (15)")
    parser.add_argument("--inputs", type=int, help="so many per target, in place of seconds")
    parser.add_argument("--number", type=int, default=0, help="others with each number (0)")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"])
    parser.add_argument("--inside", metavar="TARGET", help=argparse.SUPPRESS)
    options, flags = parser.parse_known_args()
    if options.inside:
        run_inside(options.inside, [*flags, *options.names])
    engine = options.engine or ("atheris" if HAS_ATHERIS else "hypothesis")
    fuzz = fuzz_with_atheris if engine == "atheris" else fuzz_with_hypothesis
    failed = []
    for name in names_of(options.names):
        if options.inputs:
            fine = fuzz_with_mutants(name, options.inputs, options.number)
            done = f"{options.inputs:>9} inputs"
        else:
            fine = fuzz(name, options.seconds)
            done = f"{options.seconds:>4} s with {engine}"
        print(f"{name:<24}{done}: {'ok' if fine else 'FAILED'}")
        sys.stdout.flush()
        failed += [] if fine else [name]
    if failed:
        print(f"see {Path('fuzz/corpus')} for the inputs that made {', '.join(failed)} fail")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
