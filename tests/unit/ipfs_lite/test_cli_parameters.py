"""What arguments accept, and the optional value of --raw-leaves."""

from __future__ import annotations

import click
import pytest

from libp2p.ipfs_lite.cli.parameters import (
    CidArgument,
    Duration,
    FlagOrValue,
    ListenAddress,
    PeerAddress,
    VerbGroup,
)

CID_TEXT = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
PEER = "12D3KooWEoWPDpkUF2dpbBg875xsP3iwLrD62GqZ3BU1p1RvA91r"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1.0), ("0.5", 0.5), ("90s", 90.0), ("2m", 120.0), ("1m30s", 90.0), ("1.5h", 5400.0),
     ("250ms", 0.25), (".5s", 0.5), ("7d2h", 612000.0)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "0s", "1w", "1m30", "s", "nan", "inf"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a time"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    "text",
    [CID_TEXT, f"/ipfs/{CID_TEXT}", f"ipfs://{CID_TEXT}", f" {CID_TEXT}\n",
     f"https://example.org/ipfs/{CID_TEXT}/", f"https://{CID_TEXT}.ipfs.dweb.link"],
)  # fmt: skip
def test_cids(text: str) -> None:
    cid = CidArgument().convert(text, None, None)
    assert str(cid) == CID_TEXT
    assert CidArgument().convert(cid, None, None) is cid


def test_what_is_no_cid() -> None:
    with pytest.raises(click.BadParameter, match="'bafy' is not a CID"):
        CidArgument().convert("bafy", None, None)


def test_a_path_below_a_cid_is_refused_by_name() -> None:
    with pytest.raises(click.BadParameter, match=r"'/a/b\.txt' below"):
        CidArgument().convert(f"/ipfs/{CID_TEXT}/a/b.txt", None, None)


def test_peer_addresses() -> None:
    info = PeerAddress().convert(f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}", None, None)
    assert str(info.peer_id) == PEER
    assert PeerAddress().convert(info, None, None) is info


@pytest.mark.parametrize(
    "text", ["", "nonsense", "/ip4/1.2.3/tcp/1", "/ip4/127.0.0.1/tcp/1", f"/p2p/{PEER}"]
)
def test_what_is_no_peer_address(text: str) -> None:
    with pytest.raises(click.BadParameter):
        PeerAddress().convert(text, None, None)


def test_listen_addresses() -> None:
    address = ListenAddress().convert("/ip4/0.0.0.0/tcp/0", None, None)
    assert str(address) == "/ip4/0.0.0.0/tcp/0"
    assert ListenAddress().convert(address, None, None) is address
    for text in ("0.0.0.0:4001", "/ip4/0.0.0.0/tcp/99999", "/ip6zone", "/dns4/", "/onion3/x:1"):
        with pytest.raises(click.BadParameter, match="not a multiaddr"):
            ListenAddress().convert(text, None, None)
    with pytest.raises(click.BadParameter, match="empty"):
        ListenAddress().convert("", None, None)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["x"], (None, ("x",))),
        (["--raw-leaves", "x"], (True, ("x",))),
        (["x", "--raw-leaves"], (True, ("x",))),
        (["--raw-leaves=true", "x"], (True, ("x",))),
        (["--raw-leaves=false", "x"], (False, ("x",))),
        (["--", "--raw-leaves"], (None, ("--raw-leaves",))),
    ],
)
def test_a_flag_may_have_a_value(args: list[str], expected: object) -> None:
    @click.command(cls=FlagOrValue)
    @click.option("--raw-leaves", type=bool)
    @click.argument("paths", nargs=-1)
    def command(raw_leaves: bool | None, paths: tuple[str, ...]) -> object:
        return raw_leaves, paths

    assert command.main(args, standalone_mode=False) == expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], (False, None)),
        (["-w"], (True, None)),
        (["-w=false"], (False, None)),
        (["--wrap=0"], (False, None)),
        (["--wrap=true", "--layout"], (True, "trickle")),
        (["--layout=F"], (False, None)),
        (["--layout=T"], (False, "trickle")),
        (["--name=x"], (False, None)),
    ],
    ids=str,
)
def test_every_flag_may_have_a_value(args: list[str], expected: object) -> None:
    @click.group(cls=VerbGroup)
    def group() -> None: ...

    @group.command()
    @click.option("-w", "--wrap", is_flag=True)
    @click.option("--layout", flag_value="trickle")
    @click.option("--verify/--no-verify", default=True)
    @click.option("--name", expose_value=False)
    def verb(wrap: bool, layout: str | None, verify: bool) -> object:
        assert verify
        return wrap, layout

    assert group.main(["verb", *args], standalone_mode=False) == expected


def test_a_flag_is_true_or_false() -> None:
    @click.command(cls=FlagOrValue)
    @click.option("--wrap", is_flag=True)
    def command(wrap: bool) -> bool:
        return wrap

    with pytest.raises(click.UsageError, match="'--wrap' is true or false, not 'maybe'"):
        command.main(["--wrap=maybe"], standalone_mode=False)
