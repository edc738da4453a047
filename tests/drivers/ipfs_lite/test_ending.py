"""A command that is stopped while something holds its tasks, and how signals are dealt with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from libp2p.ipfs_lite.cli.ending import Interrupted, run_to_an_end

STUCK = """
import sys, time
from pathlib import Path
from libp2p.ipfs_lite.cli.ending import run_to_an_end
from libp2p.ipfs_lite.output import PartFile

async def work():
    part = PartFile.beside(Path(sys.argv[1]) / "out")
    part.write([b"half"])
    print("ready", flush=True)
    while True:
        time.sleep(10)

run_to_an_end(work, eval(sys.argv[2]), stopping_is_success=eval(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timeout", "is_success", "code", "line"),
    [
        (None, False, 143, b"ipfs-lite: interrupted\n"),
        (None, True, 0, b""),
        (0.1, False, 1, b"ipfs-lite: not done in the time that --timeout gave\n"),
        (0.1, True, 0, b""),
    ],
)
def test_a_loop_that_is_stuck_is_left(
    tmp_path: Path, timeout: float | None, is_success: bool, code: int, line: bytes
) -> None:
    args = [sys.executable, "-c", STUCK, str(tmp_path), repr(timeout), repr(is_success)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if timeout is None:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (code, line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_handlers_are_as_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def work() -> None:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        await trio.sleep_forever()

    with pytest.raises(Interrupted) as raised:
        run_to_an_end(work, 1e300)
    assert raised.value.number == number
    assert signal.getsignal(number) == before
    run_to_an_end(work, None, stopping_is_success=True)


def test_what_fails_while_it_is_stopped_is_not_told() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while it was stopped")

    with pytest.raises(Interrupted):
        run_to_an_end(work, None)


def test_what_is_done_is_done() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    run_to_an_end(work, None)


def test_time_is_over() -> None:
    with pytest.raises(trio.TooSlowError):
        run_to_an_end(trio.sleep_forever, 0.01)


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def work() -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            await trio.sleep(0.01)

        run_to_an_end(work, None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_deals_with_no_signals() -> None:
    ended = threading.Event()

    async def work() -> None:
        ended.set()

    thread = threading.Thread(target=run_to_an_end, args=(work, None))
    thread.start()
    thread.join()
    assert ended.is_set()
