"""Bitswap with Kubo, message by message: wants, pushes, cancels and refusals."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap import BlockNotFoundError
from libp2p.exceptions import ConnectionFailure
from libp2p.host.inbound import StreamAcceptor
from libp2p.ipld.cid import CID
from libp2p.peer.peerinfo import info_from_p2p_addr

from .files import random_bytes
from .kubo import Kubo, KuboError, Security
from .lite import Lite
from .need import need
from .ours import address_of, dial, in_thread, running_bitswap
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from libp2p.abc import INetStream, StreamHandlerFn
    from libp2p.base_types import Buffer
    from libp2p.bitswap import BitswapClient
    from libp2p.network.stream.net_stream import NetStream

AT_ONCE = 2.0
"""Seconds in which a block comes, or a peer's refusal is an error; the timeouts are 30."""

KINDS = [(0, "dag-pb"), (1, "dag-pb"), (1, "raw"), (1, "dag-cbor")]
"""Version and codec of the CIDs that blocks are asked for by."""


@pytest.fixture(scope="module")
def kubo() -> Iterator[Kubo]:
    """A daemon that offers TLS before Noise, as Kubo does."""
    need("kubo")
    with Kubo() as node:
        yield node


def block(text: str, size: int = 1025) -> bytes:
    """A block that no other test has; over 1,024 bytes Kubo first asks whether we have it."""
    return random_bytes(text, size)


def put(kubo: Kubo, data: bytes, version: int = 1, codec: str = "raw") -> CID:
    """`ipfs block put`, under a CID of the kind that is asked for."""
    kind = "--format=v0" if version == 0 else f"--cid-codec={codec}"
    return CID.parse(kubo.text("block", "put", kind, input=data))


def get(kubo: Kubo, cid: CID, timeout: str = "30s") -> bytes:
    """`ipfs block get`."""
    return kubo.run("block", "get", f"--timeout={timeout}", str(cid)).stdout


async def kubo_wants(kubo: Kubo, client: BitswapClient, cid: CID) -> bool:
    """Whether Kubo has sent us a want that is neither answered nor cancelled."""
    await trio.lowlevel.checkpoint()
    return cid in client.wantlist_for_peer(info_from_p2p_addr(kubo.addr).peer_id)


async def we_want(kubo: Kubo, client: BitswapClient, cid: CID) -> bool:
    """Whether Kubo has noted a want of ours."""
    me = str(client.host.get_id())
    listed = await in_thread(kubo.text, "bitswap", "wantlist", f"--peer={me}")
    return str(cid.to_v1()) in listed or str(cid) in listed


async def not_(check: Callable[[], Awaitable[bool]]) -> bool:
    """Wait for the opposite."""
    return not await check()


@pytest.mark.parametrize("dialler", ["kubo", "python"])
@pytest.mark.parametrize(("version", "codec"), KINDS)
@pytest.mark.parametrize("size", [8, 1024, 1025])
async def test_a_block_goes_both_ways(
    kubo: Kubo, dialler: str, version: int, codec: str, size: int
) -> None:
    """Under CIDs of both versions; up to 1,024 bytes a want-have is answered by the block."""
    theirs, ours = (block(f"{who} {dialler} {version} {codec}", size) for who in ("theirs", "ours"))
    cid = await in_thread(put, kubo, theirs, version, codec)
    assert (cid.version, cid.codec) == (version, codec)
    async with running_bitswap() as client:
        added = CID.for_block(ours, codec=codec, version=version)
        await client.add_block(added, ours)
        if dialler == "python":
            await dial(client.host, kubo.addr)
        else:
            await in_thread(kubo.swarm_connect, address_of(client.host))
        assert await client.get_block(cid) == theirs
        assert await in_thread(get, kubo, added) == ours


async def test_a_block_is_found_under_the_other_version_of_its_cid(kubo: Kubo) -> None:
    """Blocks are kept by multihash on both sides, and named as they were asked for."""
    theirs, ours = block("theirs, other version"), block("ours, other version")
    cid = await in_thread(put, kubo, theirs, 0)
    async with running_bitswap() as client:
        await dial(client.host, kubo.addr)
        assert await client.get_block(cid.to_v1()) == theirs
        added = CID.for_block(ours, codec="dag-pb", version=1)
        await client.add_block(added, ours)
        assert await in_thread(get, kubo, added.to_v0()) == ours


class CountedStreams(StreamAcceptor):
    """Counts what a peer opens, and leaves it to the client."""

    def __init__(self, client: StreamHandlerFn) -> None:
        assert isinstance(client, StreamAcceptor)
        self.client = client
        self.count = 0

    def accept(self, stream: NetStream, buffers: list[Buffer]) -> None:
        self.count += 1
        self.client.accept(stream, buffers)

    async def __call__(self, stream: INetStream) -> None:
        self.count += 1
        await self.client(stream)


@pytest.mark.parametrize(
    "pauses",
    [
        # By the third our own reply stream has been closed.
        pytest.param((0, 0.5, 6), id="seconds"),
        pytest.param((70,), id="a minute", marks=pytest.mark.timeout(150)),
        pytest.param((600,), id="ten minutes", marks=[pytest.mark.long, pytest.mark.timeout(700)]),
    ],
)
async def test_kubo_asks_again_on_the_same_stream_after_a_pause(
    kubo: Kubo, pauses: Sequence[float]
) -> None:
    """Its want stream is opened once, and lives on while neither side has a word to say."""
    async with running_bitswap() as client:

        async def serve_one(name: str) -> float:
            data = block(name)
            cid = CID.for_block(data)
            await client.add_block(cid, data)
            began = time.monotonic()
            assert await in_thread(get, kubo, cid) == data
            return time.monotonic() - began

        (handler,) = set(client._engine.stream_handlers.values())
        opened = CountedStreams(handler)
        for protocol in client._engine.stream_handlers:
            client.host.set_stream_handler(protocol, opened)
        await dial(client.host, kubo.addr)
        await serve_one(f"before {pauses}")
        for pause in pauses:
            await trio.sleep(pause)  # Kubo has a clock of its own
            assert await serve_one(f"after {pause}") < AT_ONCE
            assert opened.count == 1


async def test_a_block_that_appears_later_is_pushed_to_kubo(kubo: Kubo) -> None:
    """Our DONT_HAVE does not end Kubo's want."""
    data = block("appears here")
    cid = CID.for_block(data)
    async with running_bitswap() as client, trio.open_nursery() as nursery:
        await dial(client.host, kubo.addr)

        async def add_later() -> None:
            await until(partial(kubo_wants, kubo, client, cid), "a want of Kubo's")
            nursery.cancel_scope.deadline = trio.current_time() + AT_ONCE
            await client.add_block(cid, data)

        nursery.start_soon(add_later)
        assert await in_thread(get, kubo, cid) == data
    assert not nursery.cancel_scope.cancelled_caught


async def test_a_block_that_appears_later_at_kubo_comes_to_who_waits(kubo: Kubo) -> None:
    """`wait=True` outlives Kubo's DONT_HAVE."""
    data = block("appears there")
    cid = CID.for_block(data)
    async with running_bitswap() as client, trio.open_nursery() as nursery:
        await dial(client.host, kubo.addr)

        async def put_later() -> None:
            await until(partial(we_want, kubo, client, cid), "our want at Kubo")
            nursery.cancel_scope.deadline = trio.current_time() + AT_ONCE
            assert await in_thread(put, kubo, data) == cid

        nursery.start_soon(put_later)
        assert await client.get_block(cid, wait=True) == data
    assert not nursery.cancel_scope.cancelled_caught


async def test_kubo_takes_back_what_it_no_longer_wants(kubo: Kubo) -> None:
    """A CANCEL removes the want from our ledger."""
    cid = CID.for_block(block("wanted for a second"))
    async with running_bitswap() as client, trio.open_nursery() as nursery:
        await dial(client.host, kubo.addr)

        async def fetch_in_vain() -> None:
            with pytest.raises(KuboError, match="deadline"):
                await in_thread(get, kubo, cid, "1s")

        nursery.start_soon(fetch_in_vain)
        wanted = partial(kubo_wants, kubo, client, cid)
        await until(wanted, "a want of Kubo's")
        await until(partial(not_, wanted), "a CANCEL of Kubo's")


async def test_we_take_back_what_we_no_longer_want(kubo: Kubo) -> None:
    """A fetch that is given up leaves nothing in Kubo's ledger."""
    cid = CID.for_block(block("wanted for a moment"))
    async with running_bitswap() as client, trio.open_nursery() as nursery:
        await dial(client.host, kubo.addr)
        nursery.start_soon(partial(client.get_block, cid, wait=True))
        wanted = partial(we_want, kubo, client, cid)
        await until(wanted, "our want at Kubo")
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await until(partial(not_, wanted), "our CANCEL at Kubo")


async def test_a_missing_block_fails_at_once(kubo: Kubo) -> None:
    """Kubo says DONT_HAVE, and there is nobody else."""
    cid = CID.for_block(block("nobody has this"))
    async with running_bitswap() as client:
        peer_id = await dial(client.host, kubo.addr)
        for asked in (None, peer_id):
            began = time.monotonic()
            with pytest.raises(BlockNotFoundError, match=kubo.id) as caught:
                await client.get_block(cid, asked, timeout=30)
            assert time.monotonic() - began < AT_ONCE
            assert list(caught.value.peers) == [peer_id]
        assert not await client.have_block(cid)


def test_a_missing_file_fails_at_once(kubo: Kubo, tmp_path: Path) -> None:
    """The command says who does not have it, and leaves no file."""
    cid = CID.for_block(block("nobody has this file"))
    out = tmp_path / "out"
    began = time.monotonic()
    done = Lite(tmp_path / "repo").run("get", "--peer", kubo.addr, "-o", out, str(cid), check=False)
    assert time.monotonic() - began < AT_ONCE + 3  # Python starts, and makes a repo
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert f"{kubo.id} does not have it" in line
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


@pytest.mark.parametrize("dialler", ["kubo", "python"])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("both", "both"), ("noise", "both"), ("tls", "both"), ("both", "noise"), ("both", "tls")],
)
async def test_every_common_secure_channel_is_found(
    theirs: Security, ours: Security, dialler: str
) -> None:
    """Kubo proposes TLS first: where we refuse it, the negotiation goes on to Noise."""
    need("kubo")
    data = block(f"{theirs} {ours} {dialler}")
    with Kubo(security=theirs) as kubo:
        cid = await in_thread(put, kubo, data)
        async with running_bitswap(ours) as client:
            if dialler == "python":
                await dial(client.host, kubo.addr)
            else:
                await in_thread(kubo.swarm_connect, address_of(client.host))
            assert await client.get_block(cid) == data


async def test_no_common_secure_channel_is_a_clear_error() -> None:
    """One line on either side, and no connection."""
    need("kubo")
    with Kubo(security="tls") as kubo:
        async with running_bitswap("noise") as client:
            with pytest.raises(ConnectionFailure, match=r"/noise"):
                await dial(client.host, kubo.addr)
            with pytest.raises(KuboError, match="failed to negotiate security protocol"):
                await in_thread(kubo.swarm_connect, address_of(client.host))
            assert client.host.get_connected_peers() == []
