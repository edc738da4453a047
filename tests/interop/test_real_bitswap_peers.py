"""Blocks traded with every bitswap implementation: all sizes and CIDs, whoever dials."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from libp2p.base_types import TProtocol
from libp2p.bitswap import BitswapError, BlockNotFoundError
from libp2p.bitswap.config import BITSWAP_PROTOCOL_V120
from libp2p.bitswap.errors import TimeoutError as BitswapTimeout
from libp2p.exceptions import StreamReset
from libp2p.ipld.cid import CID

from .bitswap_peer import HeliaPeer
from .child import ChildError
from .files import random_bytes
from .need import need
from .ours import address_of, dial, in_thread, running_bitswap
from .real_peers import FORMS, KINDS, SIZES, Form, Kind
from .waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from libp2p.bitswap import BitswapClient

    from .real_peers import BlockPeer

AT_ONCE = 2.0
"""Seconds in which a block comes that is there."""
IN_VAIN = 1.0
"""Seconds after which a block that cannot come is given up."""
HELIA_SILENCE = 10.0
"""Seconds without a message after which Helia resets an inbound stream."""

pytestmark = pytest.mark.timeout(180)

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
either_dials = pytest.mark.parametrize("dialler", ["peer", "python"])


@pytest.fixture
def peer(kind: Kind) -> Iterator[BlockPeer]:
    """A fresh peer."""
    need(kind.peer)
    with kind.start() as started:
        yield started


@pytest.fixture
async def client() -> AsyncIterator[BitswapClient]:
    """Our side, with no blocks."""
    async with running_bitswap() as started:
        yield started


async def connect(client: BitswapClient, peer: BlockPeer, dialler: str = "python") -> None:
    """Connect the two."""
    if dialler == "python":
        await dial(client.host, peer.addr)
    else:
        await in_thread(peer.connect, address_of(client.host))
        await until(partial(sees_a_peer, client), "the peer's connection")


async def sees_a_peer(client: BitswapClient) -> bool:
    """Whether the handshake is over on our side too: the dialler has the last word in it."""
    await trio.lowlevel.checkpoint()
    return bool(client.stat().peers)


async def put_there(peer: BlockPeer, form: Form, data: bytes) -> CID:
    """Add a block to the peer, whose CID for it is also ours."""
    text = await in_thread(peer.add, data, hash_name=form.hash_name, version=form.version)
    assert text == str(cid_of(form, data))
    return CID.parse(text)


async def put_here(client: BitswapClient, form: Form, data: bytes) -> CID:
    """Add a block to our store."""
    cid = cid_of(form, data)
    await client.add_block(cid, data)
    return cid


def cid_of(form: Form, data: bytes) -> CID:
    """The CID of that form."""
    return CID.for_block(data, codec=form.codec, hash=form.hash_name, version=form.version)


def sizes_up_to(largest: int) -> list[int]:
    """The sizes to try, the last one the largest that goes."""
    return [*(size for size in SIZES if size < largest), largest]


@either_dials
@every_kind
async def test_we_fetch_blocks_of_every_form_and_size(
    kind: Kind, peer: BlockPeer, client: BitswapClient, dialler: str
) -> None:
    """One after the other, on streams that live on between them."""
    await connect(client, peer, dialler)
    for name in FORMS.keys() - kind.cannot_serve.keys():
        form = FORMS[name]
        for size in sizes_up_to(min(form.largest, kind.largest_served + 4 - form.prefix_size)):
            data = random_bytes(f"theirs {name}", size)
            assert await client.get_block(await put_there(peer, form, data)) == data


@either_dials
@every_kind
async def test_a_peer_fetches_blocks_of_every_form_and_size(
    kind: Kind, peer: BlockPeer, client: BitswapClient, dialler: str
) -> None:
    """Every one of them is served, up to the largest that fits into a message."""
    await connect(client, peer, dialler)
    for name in FORMS.keys() - kind.cannot_fetch.keys():
        form = FORMS[name]
        for size in sizes_up_to(form.largest):
            data = random_bytes(f"ours {name}", size)
            cid = await put_here(client, form, data)
            found = await in_thread(peer.get, str(cid))
            assert (found.size, found.sha256) == (size, hashlib.sha256(data).hexdigest())


@every_kind
async def test_what_a_peer_cannot_do_leaves_the_rest_as_it_was(
    kind: Kind, peer: BlockPeer, client: BitswapClient
) -> None:
    """What the table leaves out does not go, and a block of the common form comes right after."""
    await connect(client, peer)

    async def serve(form: Form, size: int) -> None:
        cid = await put_there(peer, form, random_bytes("too much", size))
        await client.get_block(cid, timeout=IN_VAIN)

    async def serve_in_vain(form: Form, size: int) -> None:
        with pytest.raises((BitswapError, ChildError)):
            await serve(form, size)

    async def fetch_in_vain(form: Form) -> None:
        cid = await put_here(client, form, random_bytes("not this way", 1_025))
        with pytest.raises(ChildError):
            await in_thread(peer.get, str(cid), IN_VAIN)

    async with trio.open_nursery() as nursery:
        for name in kind.cannot_serve:
            nursery.start_soon(serve_in_vain, FORMS[name], 1_025)
        for name in kind.cannot_fetch:
            nursery.start_soon(fetch_in_vain, FORMS[name])
        if kind.largest_served < FORMS["CIDv0"].largest:
            nursery.start_soon(serve_in_vain, FORMS["CIDv0"], kind.largest_served + 1)
    theirs, ours = (random_bytes(f"{who}, after that", 1_025) for who in ("theirs", "ours"))
    assert await client.get_block(await put_there(peer, FORMS["CIDv0"], theirs)) == theirs
    cid = await put_here(client, FORMS["CIDv0"], ours)
    assert (await in_thread(peer.get, str(cid))).size == 1_025


@every_kind
async def test_a_missing_block_fails_as_soon_as_the_peer_says_so(
    kind: Kind, peer: BlockPeer, client: BitswapClient
) -> None:
    """Some never say so: there the time that was given decides."""
    await connect(client, peer)
    missing = cid_of(FORMS["CIDv0"], b"nobody has this")
    error = BitswapTimeout if kind.never_refuses else BlockNotFoundError
    with pytest.raises(error):
        await client.get_block(missing, timeout=IN_VAIN)


@every_kind
async def test_a_block_that_appears_later_reaches_a_peer_that_waits(
    kind: Kind, peer: BlockPeer, client: BitswapClient
) -> None:
    """Whatever we answered first, its want stays with us."""
    await connect(client, peer)
    data = random_bytes("appears here", 1_025)
    cid = cid_of(FORMS["CIDv0"], data)
    (peer_id,) = client.stat().peers

    async def wants() -> bool:
        await trio.lowlevel.checkpoint()
        return cid in client.wantlist_for_peer(peer_id)

    async with trio.open_nursery() as nursery:

        async def add_later() -> None:
            await until(wants, "the peer's want")
            nursery.cancel_scope.deadline = trio.current_time() + AT_ONCE
            await client.add_block(cid, data)

        nursery.start_soon(add_later)
        assert (await in_thread(peer.get, str(cid))).data == data
    assert not nursery.cancel_scope.cancelled_caught


@every_kind
async def test_a_block_that_appears_at_a_peer_later_reaches_us(
    kind: Kind, peer: BlockPeer, client: BitswapClient
) -> None:
    """`wait=True` outlives what the peer answered first, if it says anything."""
    await connect(client, peer)
    form, data = FORMS["CIDv0"], random_bytes("appears there", 1_025)
    came = trio.Event()

    async def fetch() -> None:
        assert await client.get_block(cid_of(form, data), wait=True) == data
        came.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        await wait_all_tasks_blocked()
        # What we asked for first has been looked at when the answer to the second is there.
        await client.get_block(await put_there(peer, form, b"a later want"))
        await put_there(peer, form, data)
        with trio.move_on_after(IN_VAIN if kind.cannot_push else AT_ONCE):
            await came.wait()
        nursery.cancel_scope.cancel()
    assert came.is_set() != bool(kind.cannot_push)


@every_kind
async def test_identity_cids_do_not_travel(
    kind: Kind, peer: BlockPeer, client: BitswapClient
) -> None:
    """We read the block in the CID; who asks us for one hears nothing, and is served as before."""
    await connect(client, peer)
    inline = b"this is in the CID"
    cid = CID.for_block(inline, hash="identity")
    assert await client.get_block(cid) == inline
    if kind.resolves_identity:
        assert (await in_thread(peer.get, str(cid))).data == inline
    else:
        with pytest.raises(ChildError):
            await in_thread(peer.get, str(cid), IN_VAIN)
    assert client.stat().blocks_sent == 0
    ours = await put_here(client, FORMS["CIDv0"], b"this is not")
    assert (await in_thread(peer.get, str(ours))).data == b"this is not"


async def test_helia_resets_our_idle_streams_and_we_go_on() -> None:
    """The next want of either side is answered as fast as the first."""
    need("helia-peer")
    with HeliaPeer() as peer:
        async with running_bitswap() as client:
            peer_id = await dial(client.host, peer.addr)
            idle = await client.host.new_stream(peer_id, [TProtocol(BITSWAP_PROTOCOL_V120)])
            await idle.write(b"\0")  # an empty message
            for turn in range(2):
                theirs, ours = (random_bytes(f"{who} {turn}", 1_025) for who in "ab")
                cid = await put_there(peer, FORMS["sha2-256"], theirs)
                assert await client.get_block(cid, timeout=AT_ONCE) == theirs
                cid = await put_here(client, FORMS["sha2-256"], ours)
                assert (await in_thread(peer.get, str(cid), AT_ONCE)).data == ours
                if turn == 0:
                    await trio.sleep(HELIA_SILENCE + 1)
            with pytest.raises(StreamReset) as caught:
                await idle.write(b"\0")
            assert caught.value.remote
