"""Settings of the network: checked, kept in the repo, and not needed in earlier ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest

from libp2p.ipfs_lite import Config, Repo, RepoError
from libp2p.ipfs_lite.cli.options import NetworkChoice
from libp2p.ipfs_lite.cli.parameters import (
    BootstrapAddress,
    PeerIdArgument,
    RecordKey,
    RouterUrl,
)
from libp2p.peer.id import ID

if TYPE_CHECKING:
    from pathlib import Path

PEER = "12D3KooWEoWPDpkUF2dpbBg875xsP3iwLrD62GqZ3BU1p1RvA91r"
ADDRESS = f"/ip4/192.0.2.1/tcp/4001/p2p/{PEER}"
SETTINGS = Config(
    bootstrap=(ADDRESS, "/dnsaddr/example.org"),
    dht="client",
    routers=("https://router.example",),
    provide="roots",
    provide_interval=3600.0,
)


def test_they_are_kept_in_the_repo(tmp_path: Path) -> None:
    with Repo.open(tmp_path / "repo", SETTINGS) as repo:
        assert repo.config == SETTINGS
    assert Repo.identity_of(tmp_path / "repo").config == SETTINGS


def test_a_repo_of_an_earlier_version_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "repo"
    Repo.open(path).close()
    values = json.loads((path / "config.json").read_text())
    old = {name: values[name] for name in ("identity", "profile", "listen", "sync")}
    (path / "config.json").write_text(json.dumps({**old, "of a later version": 1}))
    config = Repo.identity_of(path).config
    assert config == Config()
    assert (config.bootstrap, config.dht, config.routers, config.provide) == ((), "auto", (), "all")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bootstrap", [1]),
        ("bootstrap", "all"),
        ("bootstrap", ["/ip4/192.0.2.1/tcp/4001"]),
        ("dht", "maybe"),
        ("dht", 1),
        ("routers", ["router.example"]),
        ("routers", ["https://a b"]),
        ("routers", 1),
        ("provide", "some"),
        ("provide_interval", 1),
        ("provide_interval", "daily"),
        ("provide_interval", True),
        ("provide_interval", -5),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "repo"
    Repo.open(path).close()
    values = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**values, name: value}))
    with pytest.raises(RepoError, match=f"{name}|not the URL|does not end in /p2p/"):
        Repo.identity_of(path)


# -- options of the command -----------------------------------------------------------------------


def choice(*, bootstrap: Any = (), dht: Any = None, routers: Any = ()) -> NetworkChoice:
    return NetworkChoice(bootstrap, dht, routers)


def test_what_is_chosen_takes_the_place_of_the_settings() -> None:
    assert choice().settings() == {"bootstrap": None, "dht": None, "routers": None}
    assert choice(bootstrap=("none",), routers=("none",)).settings() == {
        "bootstrap": (),
        "dht": None,
        "routers": (),
    }
    assert choice(bootstrap=(ADDRESS, "none")).settings()["bootstrap"] == (ADDRESS,)


def test_offline_nothing_is_asked_whatever_else_is_said() -> None:
    offline = NetworkChoice((ADDRESS,), "client", ("https://router.example",), offline=True)
    assert offline.settings() == {"bootstrap": (), "dht": "off", "routers": ()}
    assert not offline.knows_anybody(SETTINGS)
    assert not offline.may_ask_the_dht(SETTINGS)


def test_it_is_known_whether_there_is_anybody_to_ask() -> None:
    assert not choice().knows_anybody(Config())
    assert choice().knows_anybody(SETTINGS)
    assert choice(bootstrap=(ADDRESS,)).knows_anybody(Config())
    assert choice(routers=("https://router.example",)).knows_anybody(Config())
    assert not choice(bootstrap=("none",), routers=("none",)).knows_anybody(SETTINGS)
    assert choice().may_ask_the_dht(Config())
    assert not choice(dht="off").may_ask_the_dht(Config())
    assert choice(dht="auto").may_ask_the_dht(Config(dht="off"))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (BootstrapAddress(), "none", "none"),
        (BootstrapAddress(), ADDRESS, ADDRESS),
        (BootstrapAddress(), "/dnsaddr/example.org", "/dnsaddr/example.org"),
        (RouterUrl(), "none", "none"),
        (RouterUrl(), "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (PeerIdArgument(), PEER, ID.from_string(PEER)),
        (PeerIdArgument(), f"/p2p/{PEER}", ID.from_string(PEER)),
        (RecordKey(), f"/ipns/{PEER}", b"/ipns/" + ID.from_string(PEER).to_bytes()),
        (RecordKey(), f"/pk/{PEER}", b"/pk/" + ID.from_string(PEER).to_bytes()),
        (RecordKey(), "/mine/a/b", b"/mine/a/b"),
    ],
)
def test_what_options_take(kind: click.ParamType[Any], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (BootstrapAddress(), "/ip4/192.0.2.1/tcp/4001"),
        (BootstrapAddress(), "somebody"),
        (RouterUrl(), "router.example"),
        (RouterUrl(), "ftp://router.example"),
        (PeerIdArgument(), "somebody"),
        (RecordKey(), "ipns"),
        (RecordKey(), "/ipns"),
        (RecordKey(), "/ipns/somebody"),
        (RecordKey(), "//"),
    ],
)
def test_what_they_do_not_take(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)
