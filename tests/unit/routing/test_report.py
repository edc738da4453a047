"""The counts of one router."""

from __future__ import annotations

from libp2p.exceptions import RoutingError
from libp2p.routing.report import MAX_ERROR_CHARACTERS, RouterRecord, RouterReport


def test_nothing_has_happened_yet() -> None:
    assert RouterRecord("dht").report() == RouterReport("dht")
    assert RouterReport("dht").mean_seconds is None


def test_calls_are_counted_and_timed_until_their_first_result() -> None:
    record = RouterRecord("dht")
    one, two, three = record.begin(10.0), record.begin(10.0), record.begin(11.0)
    one.result(10.5)
    one.result(12.0)
    two.result(11.5)
    one.end(13.0)
    three.failed(RoutingError("nobody is there"))
    three.end(12.0)
    report = record.report()
    assert (report.calls, report.active, report.results, report.answered) == (3, 1, 3, 2)
    assert report.mean_seconds == 1.0
    assert report.seconds == 4.0
    assert (report.errors, report.last_error) == (1, "nobody is there")
    assert one.has_result
    assert not three.has_result


def test_a_call_that_is_cut_off_is_an_error_only_without_a_result() -> None:
    record = RouterRecord("dht")
    record.begin(0.0).cut_off()
    assert (record.report().timeouts, record.report().errors) == (1, 0)


def test_an_error_is_named_and_short() -> None:
    record = RouterRecord("dht")
    record.begin(0.0).failed(RoutingError("x" * 10_000))
    assert record.report().last_error == "x" * MAX_ERROR_CHARACTERS
    record.begin(0.0).failed(KeyError())
    assert record.report().last_error == "KeyError"
