"""Identify and its pushes between two hosts, over streams in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from multiaddr import Multiaddr
from trio.testing import MockClock, wait_all_tasks_blocked

from libp2p.base_types import TProtocol
from libp2p.exceptions import (
    IdentifyError,
    MultiselectClientError,
    ProtocolNotSupportedError,
    StreamReset,
    StreamTimeout,
)
from libp2p.identity.identify import ID as NAME_FROM_PACKAGE
from libp2p.identity.identify.announcement import MAX_KEPT_RECORDS, Announcement
from libp2p.identity.identify.identify import (
    AGENT_VERSION,
    ID,
    IDENTIFY_TIMEOUT,
    PROTOCOL_VERSION,
    identify,
    identify_handler_for,
    parse_identify_response,
)
from libp2p.identity.identify.message import encode_identify
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push import (
    ID_PUSH,
    identify_push_handler_for,
    push_identify_to_peer,
    push_identify_to_peers,
    update_peerstore_from_identify,
)
from libp2p.identity.update import update_peerstore_from_identify as same_function
from libp2p.peer.id import ID as PeerID
from libp2p.peer.own_addresses import Interface
from tests.support.identity_hosts import FakeHost, NegotiatingConnection

if TYPE_CHECKING:
    from libp2p.abc import INetStream

BITSWAP = TProtocol("/ipfs/bitswap/1.2.0")


async def ignore(stream: INetStream) -> None:
    await stream.close()


class Two:
    """Two hosts that answer identify and pushes."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.asker, self.answerer = FakeHost(1, nursery), FakeHost(2, nursery)
        self.asker.connect_to(self.answerer)
        for host in (self.asker, self.answerer):
            host.set_stream_handler(ID, identify_handler_for(host.as_host()))
            host.set_stream_handler(ID_PUSH, identify_push_handler_for(host.as_host()))
        self.answerer.set_stream_handler(BITSWAP, ignore)
        self.connection = NegotiatingConnection(self.asker, self.answerer, nursery)


@pytest.fixture
async def two(nursery: trio.Nursery) -> Two:
    return Two(nursery)


async def test_a_peer_is_identified(two: Two) -> None:
    identity = await identify(two.asker.as_host(), two.connection.as_connection())
    other, store = two.answerer, two.asker.peerstore
    assert identity.peer_id == other.id
    assert identity.agent_version == AGENT_VERSION
    assert identity.observed_addr == two.asker.transports[0]
    assert store.pubkey(other.id) == other.public_key
    assert store.get_protocols(other.id) == [ID, ID_PUSH, BITSWAP]
    assert store.addrs(other.id) == other.transports
    assert store.get(other.id, "AgentVersion") == AGENT_VERSION
    assert store.get(other.id, "ProtocolVersion") == PROTOCOL_VERSION
    record = store.get_peer_record(other.id)
    assert record is not None
    assert record.record().addrs == other.transports


async def test_both_sides_end_the_stream(two: Two) -> None:
    await identify(two.asker.as_host(), two.connection.as_connection())
    stream = two.connection.stream
    assert stream is not None
    assert stream.get_protocol() == ID == NAME_FROM_PACKAGE
    assert await stream.receive() == []
    assert await stream.other.receive() == []
    assert not stream.was_reset


async def test_loopback_addresses_are_told_to_loopback_peers_only(two: Two) -> None:
    loopback = Multiaddr("/ip4/127.0.0.1/tcp/4001")
    two.answerer.transports.append(loopback)
    await identify(two.asker.as_host(), two.connection.as_connection())
    told = two.asker.peerstore.get_peer_record(two.answerer.id)
    assert told is not None
    assert loopback not in told.record().addrs
    two.asker.transports[:] = two.answerer.transports[:] = [loopback]
    await identify(two.asker.as_host(), two.connection.as_connection())
    assert loopback in two.asker.peerstore.addrs(two.answerer.id)


async def test_addresses_that_the_user_gave_are_kept(two: Two) -> None:
    given = Multiaddr("/dns4/example.org/tcp/4001")
    two.asker.peerstore.add_addr(two.answerer.id, given)
    await identify(two.asker.as_host(), two.connection.as_connection())
    two.answerer.transports = [Multiaddr("/ip4/10.0.0.7/tcp/7")]
    await identify(two.asker.as_host(), two.connection.as_connection())
    assert two.asker.peerstore.addrs(two.answerer.id) == [given, *two.answerer.transports]


async def test_a_host_without_addresses_sends_no_record(two: Two) -> None:
    two.answerer.transports = []
    identity = await identify(two.asker.as_host(), two.connection.as_connection())
    assert identity.addresses is None
    assert identity.signed_record is None
    assert identity.observed_addr is not None


async def test_a_connection_without_an_address_counts_as_public(two: Two) -> None:
    mine, theirs = two.asker.open_to(two.answerer)
    for end in (mine, theirs):
        end.muxed_conn.get_transport_addresses().clear()
    two.answerer.transports = [Multiaddr("/ip4/10.0.0.2/tcp/1"), Multiaddr("/ip4/8.8.8.8/tcp/1")]
    await identify_handler_for(two.answerer.as_host())(theirs)
    message = parse_identify_response(await mine.read())
    assert list(message.listen_addrs) == [two.answerer.transports[1].to_bytes()]
    assert not message.HasField("observed_addr")


async def test_the_record_is_signed_once_while_addresses_stay(two: Two) -> None:
    handler = identify_handler_for(two.answerer.as_host())

    async def record() -> bytes:
        mine, theirs = two.asker.open_to(two.answerer)
        await handler(theirs)
        return parse_identify_response(await mine.read()).signedPeerRecord

    first = await record()
    assert await record() == first
    two.answerer.transports.append(Multiaddr("/ip4/8.8.8.8/tcp/1"))
    assert await record() != first


async def test_addresses_that_come_back_are_signed_anew(two: Two) -> None:
    """Peers keep the record signed last: an old one again would leave them with the one between."""
    before = two.answerer.transports
    between = [Multiaddr("/ip4/10.0.0.77/tcp/1")]
    for addresses in (before, between, before):
        two.answerer.transports = addresses
        await identify(two.asker.as_host(), two.connection.as_connection())
        assert two.asker.peerstore.addrs(two.answerer.id) == addresses


async def test_each_network_has_its_record_and_few_are_kept(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = range(MAX_KEPT_RECORDS + 4)
    interfaces = [Interface.of(f"10.1.{n}.1", "255.255.255.0") for n in networks]
    monkeypatch.setattr(
        "libp2p.identity.identify.announcement.local_interfaces", lambda: interfaces
    )
    two.answerer.transports = [Multiaddr(f"/ip4/10.1.{n}.1/tcp/1") for n in networks]
    announcement = Announcement(two.answerer.as_host())

    def record_for(network: int) -> bytes:
        _, theirs = two.asker.open_to(two.answerer)
        theirs.muxed_conn.get_transport_addresses()[:] = [Multiaddr(f"/ip4/10.1.{network}.9/tcp/1")]
        message = announcement.build(theirs.muxed_conn)
        assert message.listen_addrs[0] == two.answerer.transports[network].to_bytes()
        assert len(message.listen_addrs) == len(networks)
        return message.signedPeerRecord

    records = [record_for(network) for network in networks]
    assert len(set(records)) == len(networks)
    assert record_for(networks[-1]) == records[-1]
    assert record_for(0) != records[0], "the oldest was forgotten"


async def test_an_observed_address_has_no_zone_of_ours(two: Two) -> None:
    _, theirs = two.asker.open_to(two.answerer)
    theirs.muxed_conn.get_transport_addresses()[:] = [Multiaddr("/ip6zone/eth0/ip6/fe80::9/tcp/1")]
    message = Announcement(two.answerer.as_host()).build(theirs.muxed_conn)
    assert message.observed_addr == Multiaddr("/ip6/fe80::9/tcp/1").to_bytes()


async def test_old_py_libp2p_can_have_a_bare_message(two: Two) -> None:
    mine, theirs = two.asker.open_to(two.answerer)
    await identify_handler_for(two.answerer.as_host(), use_varint_format=False)(theirs)
    message = Identify.FromString(await mine.read())
    assert message.public_key == two.answerer.public_key.serialize()


async def test_a_peer_that_does_not_speak_identify(two: Two) -> None:
    two.answerer.mux.remove_handler(ID)
    with pytest.raises(ProtocolNotSupportedError):
        await identify(two.asker.as_host(), two.connection.as_connection())
    assert two.connection.stream is not None
    assert two.connection.stream.was_reset


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", IdentifyError),
        (b"\x05abc", IdentifyError),
        (b"\xff" * 20, IdentifyError),
        (encode_identify(Identify(public_key=b"key")), IdentifyError),
    ],
)
async def test_a_bad_answer_resets_the_stream_and_stores_nothing(
    two: Two, answer: bytes, error: type[Exception]
) -> None:
    async def answer_badly(stream: INetStream) -> None:
        await stream.write(answer)
        await stream.close()

    two.answerer.set_stream_handler(ID, answer_badly)
    with pytest.raises(error):
        await identify(two.asker.as_host(), two.connection.as_connection())
    assert two.connection.stream is not None
    assert two.connection.stream.was_reset
    assert not two.asker.peerstore.has_peer(two.answerer.id)


async def test_the_key_of_another_peer_is_refused(two: Two) -> None:
    impostor = FakeHost(3, two.nursery)
    two.answerer.public_key = impostor.public_key
    with pytest.raises(IdentifyError, match="with the key of"):
        await identify(two.asker.as_host(), two.connection.as_connection())


async def test_a_reset_is_an_error(two: Two) -> None:
    async def reset(stream: INetStream) -> None:
        await stream.reset()

    two.answerer.set_stream_handler(ID, reset)
    with pytest.raises((StreamReset, MultiselectClientError)):
        await identify(two.asker.as_host(), two.connection.as_connection())


async def test_a_silent_peer_costs_five_seconds(two: Two, autojump_clock: MockClock) -> None:
    async def silent(stream: INetStream) -> None:
        await stream.write(b"\x05")
        await trio.sleep(100)

    two.answerer.set_stream_handler(ID, silent)
    started_at = trio.current_time()
    with pytest.raises(StreamTimeout):
        await identify(two.asker.as_host(), two.connection.as_connection())
    assert trio.current_time() - started_at == pytest.approx(IDENTIFY_TIMEOUT)
    assert two.connection.stream is not None
    assert two.connection.stream.was_reset


async def test_a_peer_that_does_not_read_costs_five_seconds(
    two: Two, autojump_clock: MockClock
) -> None:
    class Stuck:
        muxed_conn = two.asker.open_to(two.answerer)[1].muxed_conn

        async def send(self, buffers: object) -> None:
            await trio.sleep_forever()

    with pytest.raises(StreamTimeout):
        await identify_handler_for(two.answerer.as_host())(Stuck())  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", [0.0, 0.1])
async def test_cancelling_resets_the_stream(
    two: Two, delay: float, autojump_clock: MockClock
) -> None:
    async def slow(stream: INetStream) -> None:
        await trio.sleep(1)
        await stream.close()

    two.answerer.set_stream_handler(ID, slow)
    with trio.move_on_after(delay) as scope:
        await identify(two.asker.as_host(), two.connection.as_connection())
    assert scope.cancelled_caught
    stream = two.connection.stream
    assert stream is None or stream.was_reset


class TestPush:
    async def test_a_push_replaces_what_was_known(self, two: Two) -> None:
        await identify(two.asker.as_host(), two.connection.as_connection())
        two.answerer.mux.remove_handler(BITSWAP)
        two.answerer.transports = [Multiaddr("/ip4/8.8.8.8/tcp/1")]
        await push_identify_to_peers(two.answerer.as_host())
        await wait_all_tasks_blocked()
        assert two.asker.peerstore.get_protocols(two.answerer.id) == [ID, ID_PUSH]
        assert two.asker.peerstore.addrs(two.answerer.id) == two.answerer.transports

    async def test_one_peer_is_told(self, two: Two) -> None:
        assert await push_identify_to_peer(two.asker.as_host(), two.answerer.id)
        await wait_all_tasks_blocked()
        assert two.answerer.peerstore.get_protocols(two.asker.id) == [ID, ID_PUSH]
        (stream,) = two.asker.streams
        assert not stream.was_reset
        assert await stream.receive() == []

    async def test_peers_that_do_not_listen_are_no_error(self, two: Two) -> None:
        two.answerer.mux.remove_handler(ID_PUSH)
        assert not await push_identify_to_peer(two.asker.as_host(), two.answerer.id)
        await push_identify_to_peers(two.asker.as_host(), [two.answerer.id])
        assert not two.answerer.peerstore.has_peer(two.asker.id)

    async def test_a_peer_that_resets_was_not_told(self, two: Two) -> None:
        async def new_stream(*_: object, **__: object) -> INetStream:
            mine, theirs = two.asker.open_to(two.answerer)
            await theirs.reset()
            return mine

        two.asker.new_stream = new_stream  # type: ignore[method-assign]
        assert not await push_identify_to_peer(two.asker.as_host(), two.answerer.id)

    async def test_what_a_push_does_not_mention_stays(self, two: Two) -> None:
        await identify(two.asker.as_host(), two.connection.as_connection())
        store, peer_id = two.asker.peerstore, two.answerer.id
        await update_peerstore_from_identify(store, peer_id, Identify(protocol_version="new"))
        await update_peerstore_from_identify(store, peer_id, Identify(agent_version="new"))
        assert store.get(peer_id, "ProtocolVersion") == "new"
        assert store.get(peer_id, "AgentVersion") == "new"
        assert store.get_protocols(peer_id) == [ID, ID_PUSH, BITSWAP]
        assert store.addrs(peer_id) == two.answerer.transports
        assert same_function is update_peerstore_from_identify

    async def test_a_key_that_is_not_told_cannot_be_stored(self, two: Two) -> None:
        hashed = PeerID(b"\x12\x20" + bytes(32))
        message = Identify(protocols=["/a"])
        await update_peerstore_from_identify(two.asker.peerstore, hashed, message)
        assert two.asker.peerstore.get_protocols(hashed) == ["/a"]
        assert two.asker.peerstore.peer_with_keys() == []

    async def test_another_peers_key_is_not_stored(self, two: Two) -> None:
        message = Identify(protocols=["/a"], public_key=two.answerer.public_key.serialize())
        hashed = PeerID(b"\x12\x20" + bytes(32))
        await update_peerstore_from_identify(two.asker.peerstore, hashed, message)
        assert not two.asker.peerstore.has_peer(hashed)

    async def test_an_older_record_changes_no_address(self, two: Two) -> None:
        mine, theirs = two.asker.open_to(two.answerer)
        await identify_handler_for(two.answerer.as_host())(theirs)
        old = parse_identify_response(await mine.read())
        two.answerer.transports = [Multiaddr("/ip4/8.8.8.8/tcp/1")]
        await identify(two.asker.as_host(), two.connection.as_connection())
        await update_peerstore_from_identify(two.asker.peerstore, two.answerer.id, old)
        assert two.asker.peerstore.addrs(two.answerer.id) == two.answerer.transports

    async def test_a_push_that_does_not_end_is_given_up(
        self, two: Two, autojump_clock: MockClock
    ) -> None:
        _, theirs = two.answerer.open_to(two.asker)
        with pytest.raises(StreamTimeout):
            await identify_push_handler_for(two.asker.as_host())(theirs)

    async def test_a_malformed_push_is_an_error(self, two: Two) -> None:
        mine, theirs = two.answerer.open_to(two.asker)
        await mine.write(b"\x05abc")
        await mine.close()
        with pytest.raises(IdentifyError):
            await identify_push_handler_for(two.asker.as_host())(theirs)
