"""
How much hypothesis tries, and the tests that are tried again when they fail.

Hypothesis tries enough for every run, and far more for `make fuzz`;
``FUZZ_EXAMPLES=10000 make fuzz`` tries that many.

A test of the mark ``timed`` judges how long something takes, or waits for sockets, threads and
processes for a limited time. A busy machine fails one of thousands of them now and then, so it is
tried three times. What failed before is listed at the end of the run: where a machine was
quiet, it is a fault in the test or in what it tests.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

# A shared machine stalls for whole seconds now and then, so no example has a deadline.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "5000")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")

#: So often a test of the mark ``timed`` is tried.
TRIES: Final = 3
#: The outcome of a try that failed before another one.
RERUN: Final = "rerun"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Try a ``timed`` test until it passes."""
    if item.get_closest_marker("timed") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    last_begins = time.monotonic() + _time_limit(item) / 2
    for tries_left in reversed(range(TRIES)):
        reports: list[Any] = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = [report for report in reports if report.failed]
        if not failed or not tries_left or time.monotonic() > last_begins:
            break
        failed[0].outcome = RERUN
        item.ihook.pytest_runtest_logreport(report=failed[0])
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _time_limit(item: pytest.Item) -> float:
    """Return the seconds that all tries of a test have together (pytest-timeout)."""
    own = item.get_closest_marker("timeout")
    return float(own.args[0] if own is not None else item.config.getini("timeout"))


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    """Count and show the tries that failed before another one."""
    return (RERUN, "R", "RERUN") if report.outcome == RERUN else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tries that failed before another one, with what failed."""
    for report in terminalreporter.getreports(RERUN):
        terminalreporter.section(f"tried again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
