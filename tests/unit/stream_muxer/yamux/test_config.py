"""What a yamux configuration may say."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from libp2p.stream_muxer.yamux.config import DEFAULT_CONFIG, YamuxConfig
from libp2p.stream_muxer.yamux.flow_control import DEFAULT_WINDOW_SIZE
from libp2p.stream_muxer.yamux.session import YamuxSession
from tests.support.ends import join, read, stream_pair, write

SIZES = [field.name for field in fields(YamuxConfig) if isinstance(field.default, int)]
TIMES = [field.name for field in fields(YamuxConfig) if isinstance(field.default, float)]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [-1, 1.5, "8", None, True, 2**32])
def test_a_size_is_a_whole_number_within_32_bits(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        YamuxConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, -1.0, "8", float("nan")])
def test_a_time_is_a_number_of_seconds(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        YamuxConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_window", DEFAULT_WINDOW_SIZE - 1),
        ("max_unacknowledged", 0),
        ("max_pending_pongs", 0),
        ("max_pending_control", 511),
        ("max_send_queue", 32 * 1024 - 1),
    ],
)
def test_a_connection_has_to_be_able_to_go_on(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        YamuxConfig(**{name: value})


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT_CONFIG.max_window = 1  # type: ignore[misc]
    assert YamuxConfig() == DEFAULT_CONFIG


def test_whole_seconds_are_times() -> None:
    assert type(YamuxConfig(ping_interval=3).ping_interval) is float


def test_a_window_grows_no_further_than_configured() -> None:
    config = YamuxConfig(max_window=600 * 1024)
    a, b = YamuxSession(True, config=config), YamuxSession(False, config=config)
    b.ping(0.0)
    join(a, b, now=1.0)
    ours, theirs = stream_pair(a, b, now=1.0)
    for _ in range(20):
        write(a, ours, bytes(a.sendable(ours)))
        join(a, b, now=1.0)
        read(b, theirs, now=1.0)
        join(a, b, now=1.0)
    assert theirs.receive_window.size == 600 * 1024
