"""A peer and its routers: what is found through them, what errors say, and how calls end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio

from libp2p.bitswap.errors import BlockUnavailableError
from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import (
    BaseLibp2pError,
    ConnectionFailure,
    InvalidAddrError,
    RoutersFailed,
    RoutingError,
)
from libp2p.ipfs_lite import Config, OfflineError, Peer, PeerClosedError, RepoError
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.routing.static import StaticRouter
from tests.support.static_network import Knowing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
DATA = bytes(range(256)) * 4000
ABSENT = CID.for_block(b"nobody has this")
PAIR = create_new_key_pair(bytes(32))
STRANGER = ID.from_pubkey(PAIR.public_key)
KEY, RECORD = b"/pk/" + STRANGER.to_bytes(), PAIR.public_key.serialize()


def provider() -> Any:
    return Peer.open(block_store=MemoryBlockStore(), listen=[LOOPBACK])


def peer_with(*routers: object, **named: object) -> Any:
    return Peer.open(block_store=MemoryBlockStore(), dht="off", routers=named or list(routers))


# -- found through routers ------------------------------------------------------------------------


async def test_a_file_is_fetched_from_a_provider_that_a_router_knows() -> None:
    async with provider() as ann:
        cid = (await ann.add_file(DATA, chunker="size-65536")).cid
        router = Knowing({cid.multihash: [PeerInfo.of(ann.addrs[0])]})
        async with peer_with(router) as bob, await bob.get_file(cid) as reader:
            assert await reader.read() == DATA
        assert router.asked == [cid.multihash]  # who has the root is asked for the rest
        async with peer_with(router) as bob:
            assert await bob.get_block(cid) == await ann.get_block(cid)


async def test_a_provider_without_addresses_is_found_by_a_router_that_knows_peers() -> None:
    async with provider() as ann:
        cid = (await ann.add_file(DATA)).cid
        names = Knowing({cid.multihash: [PeerInfo(ann.peer_id, [])]})
        places = StaticRouterOfPeers(ann)
        async with (
            peer_with(names=names, places=places) as bob,
            await bob.get_file(cid) as reader,
        ):
            assert await reader.read() == DATA


class StaticRouterOfPeers:
    """Knows where one peer is, and nothing of blocks."""

    def __init__(self, peer: Peer) -> None:
        self._info = PeerInfo.of(peer.addrs[0])

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        await trio.lowlevel.checkpoint()
        return self._info if peer_id == self._info.peer_id else None


async def test_what_connected_peers_do_not_have_is_searched_for() -> None:
    async with provider() as ann, provider() as cee:
        cid = (await ann.add_file(DATA)).cid
        router = Knowing({cid.multihash: [PeerInfo.of(ann.addrs[0])]})
        async with peer_with(router) as bob:
            await bob.connect(cee.addrs[0])
            with trio.fail_after(5):
                async with await bob.get_file(cid) as reader:
                    assert await reader.read() == DATA


async def test_peers_are_connected_to_by_their_ids() -> None:
    async with provider() as ann, provider() as cee:
        router = StaticRouter([ann.addrs[0], cee.addrs[0]])
        async with peer_with(router) as bob:
            assert await bob.connect(str(ann.peer_id)) == ann.peer_id
            assert await bob.connect(f"/p2p/{cee.peer_id}") == cee.peer_id
            assert await bob.connect(ann.peer_id) == ann.peer_id  # it is connected
            assert set(bob.host.get_connected_peers()) == {ann.peer_id, cee.peer_id}
            await bob.host.disconnect(ann.peer_id)
            router.remove(ann.peer_id)
            assert await bob.connect(ann.peer_id) == ann.peer_id  # its addresses are known
            with pytest.raises(ConnectionFailure, match="no router knows where"):
                await bob.connect(STRANGER)
        for wrong in ("nobody", "/ip4/127.0.0.1/tcp/1", ""):
            async with peer_with(router) as bob:
                with pytest.raises(InvalidAddrError):
                    await bob.connect(wrong)
        async with peer_with(router) as bob:
            with pytest.raises(TypeError, match="a peer id"):
                await bob.connect(b"bytes")


# -- what is said ---------------------------------------------------------------------------------


class Failing:
    """A router that cannot be asked."""

    error: Exception = RoutingError("it is out of order")

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        for _ in range(1):
            raise self.error
        yield PeerInfo(STRANGER, [])

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        raise RoutingError("it is out of order")


class Broken(Failing):
    """A router with a fault of its own."""

    error = ZeroDivisionError()


async def test_the_error_says_what_each_router_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with provider() as ann:
        ignorant = PeerInfo.of(ann.addrs[0])
        routers = {
            "list": Knowing({}),
            "rumour": Knowing({ABSENT.multihash: [ignorant]}),
            "company": Failing(),
            "own": Broken(),
        }
        async with peer_with(**routers) as bob:
            with pytest.raises(BlockUnavailableError) as caught:
                await bob.get_block(ABSENT)
            expected = {
                "list": "knows no providers",
                "rumour": "knows 1 provider",
                "company": "it is out of order",
                "own": "ZeroDivisionError",
            }
            assert caught.value.routers == expected
            for name, said in expected.items():
                assert f"{name}: {said}" in str(caught.value)
            assert str(ann.peer_id) in str(caught.value)
            with pytest.raises(BlockUnavailableError, match="company: it is out of order"):
                await bob.get_file(ABSENT)


async def test_findings_come_with_what_was_said() -> None:
    info = PeerInfo(STRANGER, [])
    async with peer_with(
        one=Knowing({ABSENT.multihash: [info]}), two=Knowing({}), three=Failing()
    ) as bob:
        async with bob.routing.find_providers(ABSENT) as found:
            assert [each.peer_id async for each in found] == [STRANGER]
            assert found.said == {
                "one": "knows 1 provider",
                "two": "knows no providers",
                "three": "it is out of order",
            }
        assert "one" in repr(bob.routing)
        assert {report.name: report.errors for report in bob.routing.reports()} == {
            "one": 0,
            "two": 0,
            "three": 1,
        }


async def test_without_a_router_nothing_is_found_and_nothing_is_taken() -> None:
    async with peer_with() as bob:
        async with bob.routing.find_providers(ABSENT) as found:
            assert [each async for each in found] == []
        assert await bob.routing.find_peer(STRANGER) is None
        assert await bob.routing.get_value(KEY) is None
        assert not await bob.routing.provide(ABSENT)
        with pytest.raises(RoutersFailed, match="there is no router"):
            await bob.routing.put_value(KEY, b"x")


async def test_announcements_and_records_go_to_all_routers_that_take_them() -> None:
    one, two = Knowing({}), Knowing({})
    async with peer_with(one, two, StaticRouter()) as bob:
        assert await bob.routing.provide(ABSENT)
        assert one.provided == two.provided == [ABSENT.multihash]
        await bob.routing.put_value(KEY, RECORD)
        assert await bob.routing.get_value(KEY) == RECORD
        assert [value async for value in bob.routing.search_value(KEY)] == [RECORD]


# -- the first peers ------------------------------------------------------------------------------


async def test_the_first_peers_are_connected_to_while_the_peer_works() -> None:
    async with provider() as ann:
        gone = f"/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}"
        async with Peer.open(
            block_store=MemoryBlockStore(), bootstrap=[ann.addrs[0], gone], dht="off"
        ) as bob:
            with trio.fail_after(5):
                outcomes = await bob.meet_first()
            by_name = {outcome.name: outcome.error for outcome in outcomes}
            assert by_name[str(ann.addrs[0])] is None
            assert "refused" in (by_name[gone] or "")
            assert bob.host.get_connected_peers() == [ann.peer_id]


@pytest.mark.parametrize("way", ["bootstrap", "peering"])
async def test_a_fetch_without_a_router_waits_for_who_is_being_connected_to(way: str) -> None:
    """It said that no peer was connected, while the first connection was being made."""
    async with provider() as ann:
        cid = (await ann.add_file(DATA)).cid
        options: dict[str, Any] = {"bootstrap": [], "dht": "off", way: [ann.addrs[0]]}
        with trio.fail_after(20):
            async with (
                Peer.open(block_store=MemoryBlockStore(), **options) as bob,
                await bob.get_file(cid) as reader,
            ):
                assert await reader.read() == DATA


@pytest.mark.parametrize("way", ["bootstrap", "peering"])
async def test_a_fetch_ends_when_none_of_them_can_be_reached(way: str) -> None:
    gone = f"/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}"
    options: dict[str, Any] = {"bootstrap": [], "dht": "off", way: [gone]}
    with trio.fail_after(20):
        async with Peer.open(block_store=MemoryBlockStore(), **options) as bob:
            with pytest.raises(BlockUnavailableError, match="no peer is connected"):
                await bob.get_block(ABSENT)


async def test_a_dht_does_not_wait_for_a_peer_that_it_is_asked_for() -> None:
    """Peering asks the DHT where a peer is, which waited until peering had dialled the peer."""
    gone = f"/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}"
    nobody = ID.from_pubkey(create_new_key_pair(b"1" * 32).public_key)
    with trio.fail_after(5):
        async with Peer.open(
            block_store=MemoryBlockStore(), bootstrap=[gone], dht="client", peering=[nobody]
        ) as bob:
            with pytest.raises(BlockUnavailableError):
                await bob.get_block(ABSENT)


async def test_that_none_of_them_answers_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    strangers = [
        ID.from_pubkey(create_new_key_pair(bytes([number]) * 32).public_key) for number in range(3)
    ]
    gone = [f"/ip4/127.0.0.1/tcp/1/p2p/{stranger}" for stranger in strangers]
    async with Peer.open(block_store=MemoryBlockStore(), bootstrap=gone, dht="off") as bob:
        with trio.fail_after(5):
            assert len(await bob.meet_first()) == 3
        assert await bob.meet_first(0)
    [record] = caplog.records
    assert "none of 3 bootstrap peers can be reached" in record.getMessage()


async def test_a_first_peer_that_never_answers_holds_up_nobody() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        silent = f"/ip4/127.0.0.1/tcp/{port}/p2p/{STRANGER}"
        with trio.fail_after(5):
            async with Peer.open(
                block_store=MemoryBlockStore(), bootstrap=silent, dht="off"
            ) as bob:
                assert await bob.meet_first(0.1) == []
                assert (await bob.add_file(b"it works")).size == 8


# -- how calls end --------------------------------------------------------------------------------


async def search(peer: Peer) -> None:
    async for _ in peer.routing.search_value(KEY):
        pass


async def find(peer: Peer) -> None:
    async with peer.routing.find_providers(ABSENT) as found:
        async for _ in found:
            pass


WAITING: dict[str, Callable[[Peer], Awaitable[object]]] = {
    "find_providers": find,
    "search_value": search,
    "find_peer": lambda peer: peer.routing.find_peer(STRANGER),
    "get_closest_peers": lambda peer: peer.routing.get_closest_peers(b"key"),
    "provide": lambda peer: peer.routing.provide(ABSENT),
    "put_value": lambda peer: peer.routing.put_value(KEY, b"x"),
    "get_value": lambda peer: peer.routing.get_value(KEY),
    "connect": lambda peer: peer.connect(STRANGER),
    "get_block": lambda peer: peer.get_block(ABSENT),
    "get_file": lambda peer: peer.get_file(ABSENT),
}


class Silent:
    """A router that never answers."""

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        await trio.sleep(80_000)
        yield PeerInfo(STRANGER, [])

    async def search_value(self, key: bytes) -> AsyncIterator[bytes]:
        await trio.sleep(80_000)
        yield b""

    async def _never(self, *args: object) -> Any:
        await trio.sleep_forever()

    find_peer = get_closest_peers = provide = put_value = get_value = _never


@pytest.mark.parametrize("name", WAITING)
async def test_who_waits_for_a_router_learns_that_the_peer_was_closed(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    errors: list[BaseException] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as outer:

            async def wait(peer: Peer) -> None:
                try:
                    await WAITING[name](peer)
                except BaseLibp2pError as error:
                    errors.append(error)

            async with peer_with(Silent()) as bob:
                outer.start_soon(wait, bob)
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert [type(error) for error in errors] == [PeerClosedError]
    assert not caplog.records


async def test_what_was_begun_before_the_end_raises_after_it() -> None:
    async with peer_with(Knowing({})) as bob:
        routing = bob.routing
        found = routing.find_providers(ABSENT)
        values = routing.search_value(KEY)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: anext(found),
        lambda: anext(values),
        lambda: routing.find_peer(STRANGER),
        lambda: routing.get_value(KEY),
        lambda: routing.provide(ABSENT),
        lambda: routing.put_value(KEY, b""),
        lambda: routing.get_closest_peers(b""),
    ]
    for call in calls:
        with pytest.raises(PeerClosedError):
            await call()
    for at_once in (routing.reports, lambda: routing.find_providers(ABSENT)):
        with pytest.raises(PeerClosedError):
            at_once()
    await found.aclose()


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"dht": "sometimes"}, RepoError, "use one of auto, client, server, off"),
        ({"dht": 1}, TypeError, "dht"),
        ({"routers": ["ftp://router.example"]}, RepoError, "not the URL of a router"),
        ({"routers": 5}, TypeError, "routers"),
        ({"routers": [object()]}, TypeError, "a router of libp2p.routing.abc"),
        ({"routers": {"DHT": Silent()}}, ValueError, "the name of a router"),
        ({"routers": [Silent()] * 17}, ValueError, "16 or less"),
        ({"bootstrap": 5}, TypeError, "bootstrap"),
        ({"bootstrap": ["/ip4/127.0.0.1/tcp/1"]}, InvalidAddrError, "does not end in /p2p/"),
    ],
)
async def test_wrong_options_are_an_error_before_anything_is_opened(
    options: dict[str, Any], error: type[Exception], text: str, tmp_path: Any
) -> None:
    with pytest.raises(error, match=text):
        async with Peer.open(tmp_path / "repo", **options):
            pass
    assert not (tmp_path / "repo").exists()


async def test_a_peer_without_a_network_has_no_routers() -> None:
    async with Peer.open(block_store=MemoryBlockStore(), online=False) as peer:
        with pytest.raises(OfflineError):
            _ = peer.routing
        with pytest.raises(OfflineError):
            await peer.meet_first()
        with pytest.raises(OfflineError):
            await peer.connect(STRANGER)


async def test_the_settings_say_who_is_met_and_asked() -> None:
    async with provider() as ann:
        config = Config(bootstrap=(str(ann.addrs[0]),), dht="off")
        async with Peer.open(block_store=MemoryBlockStore(), config=config) as bob:
            [outcome] = await bob.meet_first()
            assert outcome.error is None
        async with Peer.open(block_store=MemoryBlockStore(), config=config, bootstrap=()) as bob:
            assert await bob.meet_first() == []
            assert bob.host.get_connected_peers() == []
