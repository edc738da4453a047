"""The programs for libp2p's unified-testing suite: their settings, reports and images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interop.contract import (
    MUXERS,
    SECURE_CHANNELS,
    TRANSPORTS,
    ContractError,
    Settings,
    _address_for_dialers,
)
from interop.perf.__main__ import section
from interop.transport.__main__ import report

ROOT = Path(__file__).parents[2]
SUITES = sorted(path.parent for path in (ROOT / "interop").glob("*/Dockerfile"))
SETTINGS = {
    "IS_DIALER": "true",
    "REDIS_ADDR": "transport-redis:6379",
    "TEST_KEY": "a5b50d5e",
    "TRANSPORT": "tcp",
    "SECURE_CHANNEL": "noise",
    "MUXER": "yamux",
}


def test_settings() -> None:
    settings = Settings.read(SETTINGS)
    assert settings.is_dialer
    assert not settings.legacy
    assert settings.address_key == "a5b50d5e_listener_multiaddr"
    assert (settings.listener_ip, settings.timeout) == ("0.0.0.0", 180)
    assert not Settings.read({**SETTINGS, "IS_DIALER": "false"}).is_dialer


def test_settings_of_test_plans() -> None:
    settings = Settings.read(
        {
            "is_dialer": "false",
            "transport": "tcp",
            "security": "tls",
            "muxer": "yamux",
            "ip": "10.0.0.1",
            "test_timeout_seconds": "30",
        }
    )
    assert settings.legacy
    assert settings.redis_addr == "redis:6379"
    assert settings.address_key == "listenerAddr"
    assert settings.secure_channel == "tls"
    assert (settings.listener_ip, settings.timeout) == ("10.0.0.1", 30)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IS_DIALER", "", "IS_DIALER is not set"),
        ("IS_DIALER", "yes", "IS_DIALER=yes: this program knows true, false"),
        ("REDIS_ADDR", "", "REDIS_ADDR is not set"),
        ("TEST_KEY", "", "TEST_KEY is not set"),
        ("TRANSPORT", "ws", "TRANSPORT=ws: this program knows tcp"),
        ("SECURE_CHANNEL", "plaintext", "SECURE_CHANNEL=plaintext: this program knows noise, tls"),
        ("MUXER", "mplex", "MUXER=mplex: this program knows yamux"),
        ("TEST_TIMEOUT_SECS", "soon", "TEST_TIMEOUT_SECS=soon is no number of seconds"),
    ],
)
def test_what_cannot_be_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(ContractError, match=f"^{re.escape(said)}$"):
        Settings.read({**SETTINGS, name: value})


def test_the_address_that_dialers_reach() -> None:
    addresses = ["/ip4/11.22.33.1/tcp/1", "/ip4/10.77.1.10/tcp/1", "/ip4/10.77.1.1/tcp/1"]
    assert _address_for_dialers(addresses, "10.77.1.1") == addresses[2]
    assert _address_for_dialers(addresses, "127.0.0.1") == addresses[0]


def test_a_report_of_transport() -> None:
    assert report(5.0114, 0.5994, legacy=False).splitlines() == [
        "latency:",
        "  handshake_plus_one_rtt: 5.011",
        "  ping_rtt: 0.599",
        "  unit: ms",
    ]
    assert report(5, 0.5, legacy=True) == '{"handshakePlusOneRTTMillis": 5, "pingRTTMilllis": 0.5}'


def test_a_section_of_perf() -> None:
    assert section("upload", [4, 1, 2, 3, 100], "Gbps").splitlines() == [
        "upload:",
        "  iterations: 5",
        "  min: 1.000",
        "  q1: 2.000",
        "  median: 3.000",
        "  q3: 4.000",
        "  max: 4.000",
        "  outliers: [100.000]",
        "  samples: [1.000, 2.000, 3.000, 4.000, 100.000]",
        "  unit: Gbps",
    ]


def test_a_section_of_one_sample() -> None:
    lines = section("latency", [7], "ms").splitlines()
    assert lines[2:9] == [
        "  min: 7.000",
        "  q1: 7.000",
        "  median: 7.000",
        "  q3: 7.000",
        "  max: 7.000",
        "  outliers: []",
        "  samples: [7.000]",
    ]


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_images_are_made_of_what_is_there(suite: Path) -> None:
    dockerfile = (suite / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        name
        for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    [module] = re.findall(r'^ENTRYPOINT \["python", "-m", "(.+)"\]$', dockerfile, re.MULTILINE)
    assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()
    images = (suite / "images.yaml").read_text(encoding="utf-8")
    assert f"dockerfile: {suite.relative_to(ROOT).as_posix()}/Dockerfile" in images
    known = re.findall(
        r"^    (?:transports|secureChannels|muxers): \[(.+)\]$", images, re.MULTILINE
    )
    has_choice = suite.name != "kad_dht"
    assert known == has_choice * [", ".join(each) for each in (TRANSPORTS, SECURE_CHANNELS, MUXERS)]
