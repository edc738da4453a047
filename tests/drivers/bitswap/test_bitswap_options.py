"""What a client may be given: a protocol prefix, a tracer, extensions; and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from libp2p.base_types import TProtocol
from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.config import (
    BITSWAP_PROTOCOL_V100,
    BITSWAP_PROTOCOL_V110,
    BITSWAP_PROTOCOLS,
    BitswapConfig,
)
from libp2p.bitswap.errors import (
    BitswapError,
    BlockNotFoundError,
    BlockUnavailableError,
    PeerAnswer,
)
from libp2p.bitswap.serve.server import ServerOptions
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import Provider, ScriptedPeer, host_of, running_client
from tests.support.blocks import block
from tests.support.fake_host import FakeHost, connect

if TYPE_CHECKING:
    from libp2p.abc import IHost
    from libp2p.bitswap.tracer import Tracer
    from libp2p.peer.id import ID

HAVE, DONT_HAVE = BlockPresenceType.Have, BlockPresenceType.DontHave
PREFIX = "/celestia"

X, X_DATA = block(1)
Y, Y_DATA = block(2)


def with_prefix(protocol: str) -> TProtocol:
    return TProtocol(PREFIX + protocol)


# -- protocol prefix ------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", BITSWAP_PROTOCOLS)
async def test_a_network_of_its_own_speaks_every_version(
    nursery: trio.Nursery, protocol: TProtocol
) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)], protocol_prefix=PREFIX) as ann,
        running_client(
            nursery, "bob", [(Y, Y_DATA)], protocol_prefix=PREFIX, protocol_version=protocol
        ) as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        assert await ann.get_block(Y) == Y_DATA
        spoken = {stream.get_protocol() for stream in host_of(ann).opened + host_of(bob).opened}
        assert spoken == {with_prefix(protocol)}


@pytest.mark.parametrize("protocol", [BITSWAP_PROTOCOL_V110, BITSWAP_PROTOCOL_V100])
async def test_old_versions_are_known_behind_a_prefix(
    nursery: trio.Nursery, protocol: TProtocol
) -> None:
    peer = ScriptedPeer(nursery, "old", protocols=[with_prefix(protocol)])
    async with running_client(nursery, "ann", [(Y, Y_DATA)], protocol_prefix=PREFIX) as ann:
        await connect(host_of(ann), peer.host)
        await ann.want_block(X)
        (message,) = await peer.wait_for(1)
        assert message.entries[X].want_type is WantType.Block  # it does not know WANT_HAVE

        stream = await peer.host.new_stream(host_of(ann).get_id(), [with_prefix(protocol)])
        for frame in Message([Entry(Y)]).frames():
            await stream.send(frame)
        reply = (await peer.wait_for(2))[1]
        # 1.0.0 has blocks without a prefix, which are read as version 0.
        named = CID.for_block(Y_DATA, "dag-pb", 0) if protocol == BITSWAP_PROTOCOL_V100 else Y
        assert reply.blocks == {named: Y_DATA}


async def test_networks_with_other_prefixes_are_strangers(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)], protocol_prefix="/other") as ann,
        running_client(nursery, "bob", protocol_prefix=PREFIX) as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        with pytest.raises(BlockUnavailableError) as caught:
            await bob.get_block(X)
        assert caught.value.peers == {host_of(ann).get_id(): PeerAnswer.NOT_SUPPORTED}


@pytest.mark.parametrize("prefix", ["celestia", " /celestia"])
def test_a_prefix_begins_with_a_slash(prefix: str) -> None:
    with pytest.raises(ValueError, match="protocol_prefix"):
        BitswapClient(cast("IHost", FakeHost(None, "ann")), protocol_prefix=prefix)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"9\.9\.9"):
        BitswapClient(
            cast("IHost", FakeHost(None, "ann")),
            protocol_version=TProtocol("/ipfs/bitswap/9.9.9"),
        )


# -- tracing --------------------------------------------------------------------------------------


class Notes:
    """A tracer that notes who said what."""

    def __init__(self) -> None:
        self.received: list[tuple[ID, Message]] = []
        self.sent: list[tuple[ID, Message]] = []

    def message_received(self, peer_id: ID, message: Message) -> None:
        self.received.append((peer_id, message))

    def message_sent(self, peer_id: ID, message: Message) -> None:
        self.sent.append((peer_id, message))


class BlockNotes(Notes):
    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[ID, CID, int, float]] = []

    def block_received(self, peer_id: ID, cid: CID, size: int, seconds: float) -> None:
        self.blocks.append((peer_id, cid, size, seconds))


async def test_a_tracer_is_told_of_every_message(nursery: trio.Nursery) -> None:
    ann_notes, bob_notes = Notes(), Notes()
    async with (
        running_client(nursery, "ann", [(X, X_DATA)], tracer=ann_notes) as ann,
        running_client(nursery, "bob") as bob,
    ):
        bob.tracer = bob_notes
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        await trio.testing.wait_all_tasks_blocked()
    a, b = host_of(ann).get_id(), host_of(bob).get_id()
    assert {peer for peer, _ in ann_notes.received + ann_notes.sent} == {b}
    assert {peer for peer, _ in bob_notes.received + bob_notes.sent} == {a}
    assert [m.entries for _, m in bob_notes.sent] == [m.entries for _, m in ann_notes.received]
    assert [m.blocks for _, m in ann_notes.sent] == [m.blocks for _, m in bob_notes.received]
    assert {X: X_DATA} in [m.blocks for _, m in bob_notes.received]


async def test_a_tracer_may_learn_where_blocks_came_from(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    notes = BlockNotes()
    tracer: Tracer = notes
    peer = Provider(nursery, "bob", {})
    async with running_client(nursery, "ann", tracer=tracer) as ann:
        await connect(host_of(ann), peer.host)
        await ann.want_block(X)
        await trio.sleep(3)
        await peer.send(host_of(ann).get_id(), Message(blocks=[(X, X_DATA), (Y, Y_DATA)]))
        await trio.testing.wait_all_tasks_blocked()
    ((sender, cid, size, seconds),) = notes.blocks  # nobody wanted Y
    assert (sender, cid, size) == (peer.host.get_id(), X, len(X_DATA))
    assert seconds == pytest.approx(3)


# -- what it shows --------------------------------------------------------------------------------


async def test_the_wantlist_tells_blocks_from_haves(nursery: trio.Nursery) -> None:
    async with running_client(nursery, "ann") as ann:
        await ann.want_block(X)
        await ann.want_block(Y, want_type=WantType.Have)
        assert ann.get_wantlist() == [X, Y]
        assert ann.get_want_blocks() == [X]
        assert ann.get_want_haves() == [Y]
        await ann.cancel_want(X)
        assert ann.get_wantlist() == ann.stat().wantlist == [Y]


async def test_counts_are_those_of_ipfs_bitswap_stat(nursery: trio.Nursery) -> None:
    async with (
        running_client(nursery, "ann", [(X, X_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        await trio.testing.wait_all_tasks_blocked()
        got, gave = bob.stat(), ann.stat()
        assert (got.blocks_received, got.data_received) == (1, len(X_DATA))
        assert (gave.blocks_sent, gave.data_sent) == (1, len(X_DATA))
        assert (got.dup_blks_received, got.dup_data_received) == (0, 0)
        assert got.messages_received > 0
        assert got.peers == [host_of(ann).get_id()]
        account = bob.ledger_for_peer(host_of(ann).get_id())
        assert (account.recv, account.sent, account.exchanged) == (len(X_DATA), 0, 1)
        account = ann.ledger_for_peer(host_of(bob).get_id())
        assert (account.recv, account.sent, account.exchanged) == (0, len(X_DATA), 1)


# -- options set later ----------------------------------------------------------------------------


async def test_server_options_set_later_take_effect_or_are_refused(nursery: trio.Nursery) -> None:
    nothing = ServerOptions(request_filter=lambda peer_id, cid, want_type: False)
    async with (
        running_client(nursery, "ann", [(X, X_DATA), (Y, Y_DATA)]) as ann,
        running_client(nursery, "bob") as bob,
    ):
        await connect(host_of(ann), host_of(bob))
        assert await bob.get_block(X) == X_DATA
        with pytest.raises(BitswapError, match="stop it first"):
            ann.server_options = nothing
        assert ann.server_options == ServerOptions()
        await ann.stop()
        with pytest.raises(TypeError, match="not dict"):
            ann.server_options = {"enabled": False}  # type: ignore[assignment]
        ann.server_options = nothing
        await ann.start()
        await connect(host_of(ann), host_of(bob))
        with pytest.raises(BlockNotFoundError):
            await bob.get_block(Y)
        assert ann.ledger_for_peer(host_of(bob).get_id()).sent == len(X_DATA)  # it stays


@pytest.mark.parametrize(
    "wrong",
    [{"max_inbound_streams": 0}, {"max_intake": -1}, {"unfinished_seconds": -1.0}],
)
def test_a_configuration_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BitswapConfig(**wrong)


def test_numbers_of_a_configuration_are_numbers() -> None:
    with pytest.raises(TypeError, match="max_intake"):
        BitswapConfig(max_intake=True)
    with pytest.raises(TypeError, match="store_grace_seconds"):
        BitswapConfig(store_grace_seconds="1")  # type: ignore[arg-type]


async def test_a_client_takes_no_other_configuration(nursery: trio.Nursery) -> None:
    with pytest.raises(TypeError, match="config"):
        BitswapClient(cast("IHost", FakeHost(nursery, "ann")), config={})  # type: ignore[arg-type]
