"""A log that tells: what happens, to whom and why, in lines that nobody else can write."""

from __future__ import annotations

import logging
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from libp2p import new_host
from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapClient, BlockUnavailableError
from libp2p.bitswap.dag import MerkleDag
from libp2p.events import PeerConnected
from libp2p.exceptions import BaseLibp2pError, ConnectionFailure
from libp2p.identity.identify import ID as IDENTIFY
from libp2p.identity.identify import announcement
from libp2p.ipfs_lite import Peer, SourceError, save
from libp2p.ipld.cid import CID
from tests.support.hosts import (
    ECHO,
    LOOPBACK,
    connected_hosts,
    echo,
    hold,
    info_of,
    running_host,
)

LISTEN = ["/ip4/127.0.0.1/tcp/0"]
CONTENT = random.Random(11).randbytes(3_000_000)
HERE = "/ip4/127.0.0.1/tcp/"
BY_CHANCE = (
    (re.compile(r"12D3KooW\w+"), "PEER"),
    (re.compile(r"baf\w+"), "CID"),
    (re.compile(r"/tcp/\d+"), "/tcp/N"),
    (re.compile(r"\d+\.\d+ s\b"), "T s"),
)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    """What the log says, without what differs from run to run."""
    told = [record for record in caplog.records if record.levelno >= level]
    kinds = []
    for record in told:
        text = record.getMessage()
        for pattern, name in BY_CHANCE:
            text = pattern.sub(name, text)
        kinds.append(f"{record.levelname} {text}")
    return kinds


async def test_a_trade_of_two_peers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "film\n.bin"
    file.write_bytes(CONTENT)
    async with Peer.open(tmp_path / "one", listen=LISTEN, dht="off") as one:
        added = await one.add_file(file)
        async with Peer.open(tmp_path / "two", dht="off") as two:
            await two.connect(one.addrs[0])
            async with await two.get_file(added.cid) as reader:
                await save(reader, tmp_path / "copy")
            with pytest.raises(BlockUnavailableError):
                await two.get_file(CID.of(b"\x01\x55\x12\x20" + bytes(32)))
        with trio.fail_after(10):
            while "going away" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await trio.sleep(0.01)
    agent = announcement.AGENT_VERSION
    expected = [
        f"INFO listening on {HERE}N",
        f"INFO peer open: PEER, {tmp_path / 'one'}",
        f"INFO added: CID, {tmp_path}/film\\n.bin, {len(CONTENT)} bytes in T s",
        f"INFO peer open: PEER, {tmp_path / 'two'}",
        f"INFO peer closes: PEER, {tmp_path / 'one'}",
        f"INFO peer closes: PEER, {tmp_path / 'two'}",
        f"INFO connected: PEER at {HERE}N, inbound, /tls/1.0.0, {agent}",
        f"INFO connected: PEER at {HERE}N, outbound, /tls/1.0.0, {agent}",
        f"INFO fetched: CID, {len(CONTENT)} of {len(CONTENT)} bytes in T s, "
        f"4 blocks of {added.dag_size} bytes from PEER",
        "INFO not fetched: CID after T s: no peer has block CID: PEER does not have it",
        f"INFO gone: PEER at {HERE}N, after T s: the connection was closed by this side",
        f"INFO gone: PEER at {HERE}N, after T s: the peer is going away (code 0)",
        f"INFO served: PEER got 4 blocks of {added.dag_size} bytes in T s, the first was CID",
    ]
    assert sorted(lines(caplog)) == sorted(expected)
    assert all(record.name.startswith("libp2p.") for record in caplog.records)


async def test_errors_are_told_with_their_cause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Peer.open(tmp_path / "repo") as peer:
        with pytest.raises(SourceError):
            await peer.add_file(tmp_path / "\x1b[2Jnone")
        with pytest.raises(ConnectionFailure):
            await peer.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{new_host().get_id()}")
    told = lines(caplog)[1:-1]
    assert told == [
        f"INFO not added: {tmp_path}/\\x1b[2Jnone: no such file: {tmp_path}/\\x1b[2Jnone",
        f"INFO no connection: cannot connect to PEER: {HERE}N: cannot connect to {HERE}N: "
        "Error connecting to ('127.0.0.1', 1): Connection refused",
    ]


async def test_a_connection_that_ends_before_identify_is_logged_in_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with running_host() as host, running_host() as peer:
        peer.set_stream_handler(IDENTIFY, hold)
        connected = trio.Event()
        host.subscribe(lambda _: connected.set(), PeerConnected)

        async def hang_up() -> None:
            await connected.wait()
            await host.disconnect(peer.get_id())

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hang_up)
                with pytest.raises(ConnectionFailure):
                    await peer.connect(info_of(host))
            while caplog.text.count("gone") < 2:  # noqa: ASYNC110 - a log has no event
                await trio.sleep(0.001)
        lines_of_host = [line for line in lines(caplog) if "inbound" in line or "by this" in line]
        assert len(lines_of_host) == 2
        assert lines_of_host[0].startswith(f"INFO connected: PEER at {HERE}N, inbound, ")
        assert "not identified" in lines_of_host[0]
        assert lines_of_host[1].startswith(f"INFO gone: PEER at {HERE}N, after T s: ")


async def test_debug_tells_the_protocols(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    name = TProtocol("/forged\x1b/1")
    async with connected_hosts() as (dialler, listener):
        listener.set_stream_handler(ECHO, echo)
        peer_id = listener.get_id()
        async with await dialler.new_stream(peer_id, [ECHO]) as stream:
            await stream.write(b"x")
            await stream.read(1)
        with pytest.raises(BaseLibp2pError):
            await dialler.new_stream(peer_id, [name])
        async with BitswapClient(dialler).run() as client, BitswapClient(listener).run() as server:
            cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
            await server.add_block(cid, b"hello world")
            await client.get_block(cid, peer_id)
        await dialler.disconnect(peer_id)
    told = lines(caplog, logging.DEBUG)
    for pattern in (
        rf"DEBUG dialling PEER at {HERE}N",
        rf"DEBUG dialled PEER at {HERE}N in T s",
        r"DEBUG <NetStream.* /echo/1\.0\.0 .*PEER.*> opened",
        r"DEBUG <NetStream.* /echo/1\.0\.0 .*PEER.*> opened by the peer",
        r"DEBUG <NetStream.* /echo/1\.0\.0 .*PEER.*> closed",
        r"DEBUG to PEER: 1 wants",
        r"DEBUG from PEER: 1 wants",
        r"DEBUG to PEER: 1 blocks of 11 bytes",
        r"DEBUG from PEER: 1 blocks of 11 bytes",
    ):
        assert any(re.fullmatch(pattern, line) for line in told), pattern
    assert all(line.isprintable() for line in told)
    assert {record.name.partition(".")[0] for record in caplog.records} == {"libp2p"}


async def test_normal_life_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with connected_hosts() as (dialler, listener):
        listener.set_stream_handler(ECHO, echo)
        stream = await dialler.new_stream(listener.get_id(), [ECHO])
        await stream.write(b"x")
        await stream.reset()
        for connection in dialler.get_network().get_connections():
            connection.abort()
        await dialler.connect(info_of(listener))
        stranger = await trio.open_tcp_stream(
            "127.0.0.1", int(listener.get_transport_addrs()[0].value_for_protocol("tcp"))
        )
        await stranger.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await stranger.aclose()
    assert lines(caplog, logging.WARNING) == []


async def test_who_says_nothing_of_itself_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(announcement, "AGENT_VERSION", "evil\n" + "x" * 200)
    first, second = new_host(), new_host()
    async with first.run([LOOPBACK]), second.run([]):
        await second.connect(info_of(first))
    connected = [line for line in caplog.messages if line.startswith("connected")]
    assert len(connected) == 2
    for line in connected:
        assert line.isprintable()
        assert len(line) < 300


PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
{before}
import libp2p
assert [type(h) for h in logging.getLogger("libp2p").handlers] == [logging.NullHandler]
from multiaddr import Multiaddr
from libp2p import new_host
new_host()  # importing the library leaves other loggers alone
Multiaddr(str(Multiaddr("/ip4/127.0.0.1/tcp/80")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "loud"), [("", False), ("logging.getLogger('multiaddr').setLevel(10)", True)]
)
def test_multiaddr_is_quiet_unless_its_level_is_set(before: str, loud: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert ("multiaddr" in done.stdout) is loud


@pytest.mark.slow
def test_the_command_logs_if_it_is_asked_to(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)

    def add(*options: str) -> str:
        command = [sys.executable, "-m", "libp2p.ipfs_lite", *options]
        command += ["--repo", str(tmp_path / "repo"), "add", "-Q", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("bafy")
        return done.stderr

    assert add() == ""
    assert " INFO libp2p.ipfs_lite.adder: added: bafy" in add("-v")
    assert "multiaddr" not in add("-vv")


async def test_py_libp2ps_way_to_add_and_fetch_is_told_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        connected_hosts() as (dialler, listener),
        BitswapClient(dialler).run() as client,
        BitswapClient(listener).run() as server,
    ):
        root = await MerkleDag(server).add_bytes(CONTENT)
        data, _ = await MerkleDag(client).fetch_file(root)
    assert data == CONTENT
    told = lines(caplog)
    assert f"INFO added: CID, BytesIO, {len(CONTENT)} bytes" in told
    assert f"INFO fetched: CID, {len(CONTENT)} bytes" in told
