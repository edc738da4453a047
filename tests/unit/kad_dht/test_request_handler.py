"""Answers to requests: what they name, what is stored, and what is refused."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from libp2p.kad_dht.errors import InvalidMessageError
from libp2p.kad_dht.keyspace import key_of
from libp2p.kad_dht.messages import (
    MAX_MESSAGE_BYTES,
    MAX_PROVIDER_KEY_BYTES,
    Connection,
    Message,
    MessageType,
    PeerEntry,
    Record,
    decode,
    encode,
)
from libp2p.kad_dht.provider_store import ProviderStore
from libp2p.kad_dht.request_handler import MAX_ANSWERED_PROVIDER_BYTES, RequestHandler
from libp2p.kad_dht.routing_table import BUCKET_SIZE, RoutingTable
from libp2p.kad_dht.value_store import ValueStore
from libp2p.peer.id import ID
from libp2p.utils.rfc3339 import from_nanoseconds
from tests.support.strategies import octets
from tests.unit.kad_dht.test_value_store import Longest

NOW = 1_700_000_000.0
KIND = MessageType
ADDRESS = Multiaddr("/ip4/10.0.0.1/tcp/4001").to_bytes()


def a_peer(number: int) -> ID:
    return ID(b"\x12\x20" + sha256(b"%d" % number).digest())


def entry(number: int, *addrs: bytes) -> PeerEntry:
    return PeerEntry(a_peer(number), addrs or (ADDRESS,))


OWN, REMOTE, CLIENT, STRANGER = map(a_peer, (1000, 1001, 1002, 1003))


class Served:
    """A handler with a table of 100 peers."""

    def __init__(self, peers: int = 100, **options: Any) -> None:
        self.table = RoutingTable(OWN)
        for number in range(peers):
            self.table.consider(a_peer(number), (ADDRESS,), 0.0, verified=True)
        self.providers = ProviderStore()
        self.values = ValueStore(Longest)
        known = {CLIENT: entry(1002), OWN: entry(1000), STRANGER: PeerEntry(STRANGER)}
        stores = {"provider_store": self.providers, "value_store": self.values}
        self.handler = RequestHandler(
            self.table, **{**stores, "validator": Longest, "entry_of": known.get, **options}
        )

    def ask(
        self, kind: MessageType, key: bytes = b"key", remote: ID = REMOTE, **fields: Any
    ) -> Message:
        answer = self.handler.handle(remote, Message(kind, key, **fields), NOW)
        assert answer is not None
        assert decode(encode(answer)) == answer
        return answer

    def closest(self, key: bytes, count: int = BUCKET_SIZE) -> list[ID]:
        return sorted(self.table, key=lambda peer: peer.xor_id ^ key_of(key))[:count]


def named(answer: Message) -> list[ID]:
    return [peer.peer_id for peer in answer.closer]


class TestFindNode:
    def test_the_closest_are_named_with_their_addresses(self) -> None:
        served = Served()
        answer = served.ask(KIND.FIND_NODE, b"\xff any bytes")
        assert named(answer) == served.closest(b"\xff any bytes")
        assert answer.closer[0].addrs == (ADDRESS,)
        assert (answer.kind, answer.key, answer.providers) == (KIND.FIND_NODE, b"", ())

    def test_the_one_who_asks_is_left_out(self) -> None:
        served = Served()
        asking, *others = served.closest(b"key", BUCKET_SIZE + 1)
        assert named(served.ask(KIND.FIND_NODE, remote=asking)) == others

    def test_a_network_may_name_fewer(self) -> None:
        assert named(Served(k=3).ask(KIND.FIND_NODE)) == Served().closest(b"key", 3)

    def test_a_peer_of_the_table_is_first_once(self) -> None:
        served = Served()
        target = a_peer(5)
        assert target in served.table
        found = named(served.ask(KIND.FIND_NODE, target.to_bytes()))
        assert found == served.closest(target.to_bytes())
        assert found[0] == target

    @pytest.mark.parametrize("target", [CLIENT, OWN])
    def test_a_peer_that_is_asked_for_is_named_if_it_is_known(self, target: ID) -> None:
        served = Served()
        found = named(served.ask(KIND.FIND_NODE, target.to_bytes()))
        assert found == [target, *served.closest(target.to_bytes())]

    def test_one_without_addresses_is_not(self) -> None:
        served = Served(peers=0)
        assert named(served.ask(KIND.FIND_NODE, STRANGER.to_bytes())) == []
        assert named(served.ask(KIND.FIND_NODE, REMOTE.to_bytes())) == []

    def test_a_peer_may_ask_for_itself(self) -> None:
        served = Served(entry_of=lambda peer: PeerEntry(peer, (ADDRESS,)))
        assert named(served.ask(KIND.FIND_NODE, REMOTE.to_bytes()))[0] == REMOTE

    def test_connected_peers_are_named_as_such(self) -> None:
        served = Served(is_connected=lambda peer: peer.to_bytes()[2] < 128)
        for peer in served.ask(KIND.FIND_NODE).closer:
            is_connected = peer.peer_id.to_bytes()[2] < 128
            assert (peer.connection is Connection.CONNECTED) == is_connected

    def test_answers_are_encoded_once(self) -> None:
        served = Served()
        one, two = (served.ask(KIND.FIND_NODE).closer[0] for _ in range(2))
        assert one.encoded is two.encoded

    def test_without_options_only_the_table_is_known(self) -> None:
        handler = RequestHandler(RoutingTable(OWN), None, None, Longest)
        request = Message(KIND.FIND_NODE, OWN.to_bytes())
        assert handler.handle(REMOTE, request, NOW) == Message(KIND.FIND_NODE)


class TestProviders:
    def test_a_record_is_stored_and_found(self) -> None:
        served = Served()
        request = Message(KIND.ADD_PROVIDER, b"hash", providers=(entry(1001),))
        assert served.handler.handle(REMOTE, request, NOW) is None
        answer = served.ask(KIND.GET_PROVIDERS, b"hash", a_peer(3))
        assert answer.providers == (entry(1001),)
        assert named(answer) == [p for p in served.closest(b"hash", 21) if p != a_peer(3)][:20]
        assert answer.key == b"hash"

    @pytest.mark.parametrize(
        "providers",
        [
            (),
            (entry(5),),
            (PeerEntry(REMOTE),),
            (PeerEntry(REMOTE, (b"\xff\xff",)),),
        ],
        ids=["none", "another's", "no address", "no readable one"],
    )
    def test_what_is_no_record_of_the_sender_is_refused(
        self, providers: tuple[PeerEntry, ...]
    ) -> None:
        served = Served()
        request = Message(KIND.ADD_PROVIDER, b"hash", providers=providers)
        with pytest.raises(InvalidMessageError, match="without the sender"):
            served.handler.handle(REMOTE, request, NOW)
        assert len(served.providers) == 0

    def test_readable_addresses_are_kept(self) -> None:
        served = Served()
        mixed = PeerEntry(REMOTE, (b"\xff\xff", ADDRESS))
        request = Message(KIND.ADD_PROVIDER, b"hash", providers=(entry(5), mixed))
        for _ in range(2):
            served.handler.handle(REMOTE, request, NOW)
        assert served.providers.providers(b"hash", NOW) == [PeerEntry(REMOTE, (ADDRESS,))]

    def test_an_answer_stays_below_its_limit(self) -> None:
        served = Served()
        for number in range(1000):
            peer = entry(number, *(bytes([4, n, 2, 3, 4]) * 40 for n in range(10)))
            served.providers.add(b"hash", peer, peer.peer_id, NOW)
        encoded = encode(served.ask(KIND.GET_PROVIDERS, b"hash"))
        assert MAX_ANSWERED_PROVIDER_BYTES - 2500 < len(encoded) < MAX_MESSAGE_BYTES

    @pytest.mark.parametrize("kind", [KIND.ADD_PROVIDER, KIND.GET_PROVIDERS])
    def test_keys_are_multihashes(self, kind: MessageType) -> None:
        served = Served()
        for key, why in ((b"", "without a key"), (bytes(MAX_PROVIDER_KEY_BYTES + 1), "81 bytes")):
            request = Message(kind, key, providers=(entry(1001),))
            with pytest.raises(InvalidMessageError, match=why):
                served.handler.handle(REMOTE, request, NOW)

    def test_they_may_not_be_served(self) -> None:
        served = Served(provider_store=None)
        with pytest.raises(InvalidMessageError, match="GET_PROVIDERS is not served"):
            served.ask(KIND.GET_PROVIDERS)


class TestValues:
    def test_a_record_is_stored_echoed_and_found(self) -> None:
        served = Served()
        record = Record(b"key", b"value", "some time")
        assert served.ask(KIND.PUT_VALUE, record=record) == Message(KIND.PUT_VALUE, b"key", record)
        answer = served.ask(KIND.GET_VALUE)
        assert answer.record == Record(b"key", b"value", from_nanoseconds(int(NOW * 10**9)))
        assert named(answer) == served.closest(b"key")
        assert answer.key == b"key"

    def test_there_may_be_none(self) -> None:
        assert Served().ask(KIND.GET_VALUE).record is None

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            (None, "without a record of its key"),
            (Record(b"other", b"value"), "without a record of its key"),
            (Record(b"key", b"bad"), "refused: it is bad"),
            (Record(b"key", b"v"), "refused: a better record"),
        ],
    )
    def test_others_are_refused(self, record: Record | None, why: str) -> None:
        served = Served()
        served.ask(KIND.PUT_VALUE, record=Record(b"key", b"value"))
        with pytest.raises(InvalidMessageError, match=why):
            served.ask(KIND.PUT_VALUE, record=record)
        found = served.ask(KIND.GET_VALUE).record
        assert found is not None
        assert found.value == b"value"

    def test_they_may_not_be_served(self) -> None:
        served = Served(value_store=None)
        with pytest.raises(InvalidMessageError, match="GET_VALUE is not served"):
            served.ask(KIND.GET_VALUE)


def test_a_ping_is_answered() -> None:
    assert Served().ask(KIND.PING, b"") == Message(KIND.PING)


requests = st.builds(
    Message,
    st.sampled_from(KIND),
    octets(90),
    st.none() | st.builds(Record, octets(3), octets(5)),
    st.just(()),
    st.lists(st.sampled_from([entry(1001), entry(5), PeerEntry(REMOTE)]), max_size=3).map(tuple),
)


@given(st.lists(requests, max_size=8))
def test_any_requests_are_answered_or_refused(asked: list[Message]) -> None:
    served = Served(peers=5)
    for request in asked:
        try:
            answer = served.handler.handle(REMOTE, request, NOW)
        except InvalidMessageError:
            continue
        assert (answer is None) == (request.kind is KIND.ADD_PROVIDER)
        if answer is not None:
            assert decode(encode(answer)) == answer
