"""
The programs of libp2p's unified-testing suite, through a real redis server: ours with ours and Go.

Who reads a report does it as the suite's ``run-single-test.sh`` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.architecture.source_tree import ROOT
from tests.support.namespaces import two_machines

from .bitswap_peer import binary_of
from .child import Child
from .need import need
from .redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.namespaces import Machine

    Sections: TypeAlias = dict[str, dict[str, str]]

OURS = "ours"
GO = "go-libp2p"
MEASURED_BYTES = 3_000_001
ITERATIONS = {"upload": 3, "download": 2, "latency": 20}
PATTERNS = {
    "transport": r"dialer.*\| (latency:|  (handshake_plus_one_rtt|ping_rtt|unit):)",
    "perf": r"dialer.*\| (upload:|download:|latency:"
    r"|  (iterations|min|q1|median|q3|max|outliers|samples|unit):)",
}
"""What ``grep -E`` keeps of the dialer's log, a line of which begins with the container's name."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """A server; each test has a key of its own."""
    need("redis-server")
    with running_redis() as address:
        yield address


def command(library: str, suite: str) -> list[str]:
    """What a container of the suite starts."""
    if library == OURS:
        return [sys.executable, "-m", f"interop.{suite}"]
    return [str(binary_of("suite-peer")), suite]


def key_of_test() -> str:
    """A key for the running test, as the suite makes it."""
    name = os.environ["PYTEST_CURRENT_TEST"]
    return hashlib.sha256(f"{name}\n".encode()).hexdigest()[:8]


def environment(redis: str, secure_channel: str, *, is_dialer: bool) -> dict[str, str]:
    """What the suite sets for both programs, and for perf's dialer."""
    settings = {
        "DEBUG": "false",
        "IS_DIALER": str(is_dialer).lower(),
        "REDIS_ADDR": redis,
        "TEST_KEY": key_of_test(),
        "TRANSPORT": "tcp",
        "SECURE_CHANNEL": secure_channel,
        "MUXER": "yamux",
        "LISTENER_IP": "127.0.0.1",
        "DURATION": "20",
        "UPLOAD_BYTES": str(MEASURED_BYTES),
        "DOWNLOAD_BYTES": str(MEASURED_BYTES),
    }
    return settings | {f"{name.upper()}_ITERATIONS": str(n) for name, n in ITERATIONS.items()}


def started(
    program: list[str], settings: Mapping[str, str], machine: Machine | None = None
) -> Child:
    """Start a program of the suite."""
    return Child(machine.command(*program) if machine else program, env=settings, cwd=ROOT)


def lines_of(dialer: Child) -> list[str]:
    """What a dialer printed in its life, which ended well."""
    assert dialer.wait(90) == 0, dialer.stderr_text()
    lines = []
    while (line := dialer.rest()) is not None:
        lines.append(line)
    return lines


def read(suite: str, lines: list[str]) -> Sections:
    """Read a report as the suite does; it must have nothing else."""
    log = [f"a_x_b_dialer  | {line}" for line in lines]
    kept = [line.split("| ", 1)[1] for line in log if re.search(PATTERNS[suite], line)]
    assert kept == lines
    sections: Sections = {}
    for line in kept:
        name, _, value = line.partition(":")
        if name.startswith("  "):
            sections[list(sections)[-1]][name.strip()] = value.strip()
        else:
            sections[name] = {}
    return sections


def check_transport(sections: Sections) -> None:
    assert list(sections) == ["latency"]
    assert list(sections["latency"]) == ["handshake_plus_one_rtt", "ping_rtt", "unit"]
    assert sections["latency"]["unit"] == "ms"
    handshake, ping = (float(each) for each in list(sections["latency"].values())[:2])
    assert handshake > ping > 0


def check_perf(sections: Sections) -> None:
    assert list(sections) == list(ITERATIONS)
    for name, part in sections.items():
        assert part["unit"] == ("ms" if name == "latency" else "Gbps")
        assert int(part["iterations"]) == ITERATIONS[name]
        samples = json.loads(part["samples"])
        assert len(samples) == ITERATIONS[name]
        assert samples == sorted(samples)
        assert samples[0] > 0
        assert set(json.loads(part["outliers"])) <= set(samples)
        box = [float(part[key]) for key in ("min", "q1", "median", "q3", "max")]
        assert box[1:4] == sorted(box[1:4])
        assert {box[0], box[4]} <= set(samples)


CHECKS = {"transport": check_transport, "perf": check_perf}


@pytest.mark.parametrize("suite", CHECKS)
@pytest.mark.parametrize("secure_channel", ["noise", "tls"])
@pytest.mark.parametrize("pair", [(OURS, OURS), (OURS, GO), (GO, OURS)], ids=" x ".join)
def test_the_dialer_reports(
    suite: str, secure_channel: str, pair: tuple[str, str], redis: str
) -> None:
    dialer, listener = pair
    if GO in (dialer, listener):
        need("suite-peer")
    settings = [environment(redis, secure_channel, is_dialer=each) for each in (True, False)]
    with (
        started(command(listener, suite), settings[1]),
        started(command(dialer, suite), settings[0]) as program,
    ):
        CHECKS[suite](read(suite, lines_of(program)))


@pytest.mark.parametrize("suite", CHECKS)
def test_on_two_machines_the_listener_is_found(suite: str) -> None:
    need("redis-server", "namespaces")
    with two_machines() as (left, right), running_redis(left) as redis:
        listening = environment(redis, "noise", is_dialer=False) | {"LISTENER_IP": "0.0.0.0"}
        dialling = environment(redis, "noise", is_dialer=True)
        with (
            started(command(OURS, suite), listening, left),
            started(command(OURS, suite), dialling, right) as program,
        ):
            CHECKS[suite](read(suite, lines_of(program)))


def test_the_contract_of_test_plans_is_followed_too(redis: str) -> None:
    common = {"redis_addr": redis, "transport": "tcp", "security": "noise", "muxer": "yamux"}
    with (
        started(command(OURS, "transport"), {**common, "is_dialer": "false", "ip": "127.0.0.1"}),
        started(command(OURS, "transport"), {**common, "is_dialer": "true"}) as dialer,
    ):
        [line] = lines_of(dialer)
    report = json.loads(line)
    assert report["handshakePlusOneRTTMillis"] > report["pingRTTMilllis"] > 0


def test_other_secure_channels_do_not_meet(redis: str) -> None:
    with (
        started(command(OURS, "transport"), environment(redis, "tls", is_dialer=False)),
        started(command(OURS, "transport"), environment(redis, "noise", is_dialer=True)) as dialer,
    ):
        assert dialer.wait() == 1
        assert dialer.rest() is None


def test_a_listener_runs_until_it_is_stopped(redis: str) -> None:
    settings = environment(redis, "noise", is_dialer=False)
    with started(command(OURS, "perf"), settings) as listener:
        with started(command(OURS, "perf"), {**settings, "IS_DIALER": "true"}) as dialer:
            lines_of(dialer)
        assert listener.running
        assert listener.stop() == -signal.SIGTERM


def test_what_is_not_there_is_named() -> None:
    settings = environment("127.0.0.1:1", "noise", is_dialer=True) | {"TRANSPORT": "quic-v1"}
    done = subprocess.run(
        command(OURS, "transport"), env=settings, cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"TRANSPORT=quic-v1: this program knows tcp\n"
