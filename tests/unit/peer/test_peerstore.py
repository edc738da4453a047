"""What a host knows of its peers: books, expiry, bounds."""

from __future__ import annotations

import pytest
from multiaddr import Multiaddr

from libp2p.abc import IPeerStore
from libp2p.crypto import ed25519
from libp2p.exceptions import PeerDataError
from libp2p.peer import peerstore
from libp2p.peer.envelope import seal, seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PEER_RECORD_ENVELOPE_DOMAIN, PeerRecord
from libp2p.peer.peerdata import MAX_ADDRESSES_PER_PEER, MAX_PROTOCOLS_PER_PEER, PeerData
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import (
    DEFAULT_MAX_PEERS,
    EXPIRED_PEER_SECONDS,
    HEARSAY_ADDR_TTL,
    PeerStore,
    PeerStoreError,
    create_signed_peer_record,
    env_to_send_in_RPC,
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def peer(number: int) -> ID:
    return ID(b"\x12\x20" + number.to_bytes(32, "big"))


def address(port: int) -> Multiaddr:
    return Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")


KEYS = ed25519.create_new_key_pair(bytes(32))
SELF = ID.from_pubkey(KEYS.public_key)
PEER = peer(1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> PeerStore:
    return PeerStore(clock=clock)


def test_unknown_peers_are_an_error_where_there_is_something_to_return(store: PeerStore) -> None:
    for ask in (store.peer_info, store.addrs, store.get_protocols, store.pubkey, store.privkey):
        with pytest.raises(PeerStoreError, match="peer ID not found"):
            ask(PEER)
    with pytest.raises(KeyError):
        store.clear_peerdata(PEER)
    with pytest.raises(PeerStoreError):
        store.get(PEER, "key")


def test_unknown_peers_are_no_error_where_nothing_is_to_be_done(store: PeerStore) -> None:
    for forget in (
        store.clear_addrs,
        store.clear_keydata,
        store.clear_metadata,
        store.clear_metrics,
        store.clear_protocol_data,
        store.maybe_delete_peer_record,
    ):
        forget(PEER)
    store.remove_protocols(PEER, ["/a"])
    assert store.supports_protocols(PEER, ["/a"]) == []
    assert store.first_supported_protocol(PEER, ["/a"]) == ""
    assert store.latency_EWMA(PEER) == 0
    assert store.peer_ids() == []
    assert not store.has_peer(PEER)


class TestAddresses:
    def test_each_expires_on_its_own(self, store: PeerStore, clock: Clock) -> None:
        store.add_addr(PEER, address(1), ttl=10)
        store.add_addrs(PEER, [address(2), address(3)], ttl=20)
        assert store.addrs(PEER) == [address(1), address(2), address(3)]
        clock.now += 10
        assert store.addrs(PEER) == [address(2), address(3)]
        assert store.peers_with_addrs() == store.valid_peer_ids() == [PEER]
        clock.now += 10
        with pytest.raises(PeerStoreError, match="expired"):
            store.addrs(PEER)
        assert store.peer_info(PEER) == PeerInfo(PEER, [])
        assert store.peers_with_addrs() == store.valid_peer_ids() == []

    def test_by_default_they_are_permanent(self, store: PeerStore, clock: Clock) -> None:
        store.add_addr(PEER, address(1))
        clock.now += 1e9
        assert store.addrs(PEER) == [address(1)]

    def test_hearing_of_one_again_extends_but_never_shortens(
        self, store: PeerStore, clock: Clock
    ) -> None:
        store.add_addr(PEER, address(1), ttl=10)
        store.add_addr(PEER, address(1), ttl=30)
        store.add_addr(PEER, address(1), ttl=5)
        clock.now += 29
        assert store.addrs(PEER) == [address(1)]

    def test_a_known_peer_without_any_has_none(self, store: PeerStore) -> None:
        store.add_protocols(PEER, ["/a"])
        assert store.addrs(PEER) == []
        assert store.peers_with_addrs() == []
        store.add_addr(PEER, address(1))
        store.clear_addrs(PEER)
        assert store.addrs(PEER) == []

    def test_announced_ones_are_replaced_and_others_stay(self, store: PeerStore) -> None:
        store.add_addr(PEER, address(1))
        store.replace_announced_addrs(PEER, [address(2), address(3)], 10)
        store.replace_announced_addrs(PEER, [address(3), address(4)], 10)
        assert store.addrs(PEER) == [address(1), address(3), address(4)]
        store.replace_announced_addrs(PEER, [], 10)
        assert store.addrs(PEER) == [address(1)]

    def test_the_peer_itself_is_cut_off_and_other_peers_are_left_out(
        self, store: PeerStore
    ) -> None:
        exotic = Multiaddr(b"\xff\x7f")
        own, others = (Multiaddr(f"{address(1)}/p2p/{peer_id}") for peer_id in (PEER, peer(2)))
        store.add_addrs(PEER, [own, address(1), others, exotic])
        assert store.addrs(PEER) == [address(1), exotic]
        store.replace_announced_addrs(PEER, [own], 10)
        assert store.addrs(PEER) == [address(1), exotic]

    def test_a_store_of_another_kind_replaces_all(self, store: PeerStore) -> None:
        store.add_addr(PEER, address(1))
        IPeerStore.replace_announced_addrs(store, PEER, [address(2)], 10)
        assert store.addrs(PEER) == [address(2)]

    def test_the_longest_lived_stay_when_there_are_too_many(self, store: PeerStore) -> None:
        store.add_addrs(PEER, [address(n) for n in range(MAX_ADDRESSES_PER_PEER)], ttl=10)
        store.add_addr(PEER, address(10_000))
        store.add_addr(PEER, address(20_000), ttl=5)
        kept = store.addrs(PEER)
        assert len(kept) == MAX_ADDRESSES_PER_PEER
        assert address(10_000) in kept
        assert address(20_000) not in kept

    def test_cleanup_forgets_what_has_expired(self, store: PeerStore, clock: Clock) -> None:
        store.add_addr(PEER, address(1), ttl=5)
        store.add_addr(PEER, address(2), ttl=50)
        store.add_addr(peer(2), address(1), ttl=5)
        store.add_protocols(peer(3), ["/a"])
        store.add_key_pair(SELF, KEYS)
        store.add_addr(SELF, address(1), ttl=5)
        clock.now += 10
        store.cleanup()
        assert store.peer_ids() == [PEER, peer(3), SELF]
        assert store.addrs(PEER) == [address(2)]
        clock.now += 100
        store.cleanup()
        assert store.peer_ids() == [peer(3), SELF]


class TestProtocols:
    def test_added_set_and_removed(self, store: PeerStore) -> None:
        store.add_protocols(PEER, ["/a", "/b"])
        store.add_protocols(PEER, ["/b", "/c"])
        assert store.get_protocols(PEER) == ["/a", "/b", "/c"]
        store.remove_protocols(PEER, ["/a", "/x"])
        assert store.supports_protocols(PEER, ["/c", "/a", "/b"]) == ["/c", "/b"]
        assert store.first_supported_protocol(PEER, ["/a", "/b"]) == "/b"
        assert store.first_supported_protocol(PEER, ["/a"]) == ""
        store.set_protocols(PEER, ["/d"])
        assert store.get_protocols(PEER) == ["/d"]
        store.clear_protocol_data(PEER)
        assert store.get_protocols(PEER) == []

    def test_their_number_is_bounded(self, store: PeerStore) -> None:
        store.add_protocols(PEER, [f"/{number}" for number in range(5000)])
        store.add_protocols(PEER, ["/late"])
        assert len(store.get_protocols(PEER)) == MAX_PROTOCOLS_PER_PEER


class TestKeys:
    def test_keys_of_the_peer_only(self, store: PeerStore) -> None:
        store.add_key_pair(SELF, KEYS)
        assert store.pubkey(SELF) == KEYS.public_key
        assert store.privkey(SELF) == KEYS.private_key
        with pytest.raises(PeerStoreError, match="does not match"):
            store.add_pubkey(PEER, KEYS.public_key)
        with pytest.raises(PeerStoreError, match="does not match"):
            store.add_privkey(PEER, KEYS.private_key)
        assert store.peer_with_keys() == [SELF]

    def test_missing_keys_are_an_error(self, store: PeerStore) -> None:
        store.add_pubkey(SELF, KEYS.public_key)
        with pytest.raises(PeerStoreError, match="private key"):
            store.privkey(SELF)
        store.clear_keydata(SELF)
        with pytest.raises(PeerDataError, match="public key"):
            store.pubkey(SELF)
        assert store.peer_with_keys() == []


def test_metadata(store: PeerStore) -> None:
    store.put(PEER, "AgentVersion", "kubo")
    store.put(PEER, "nothing", None)
    assert (store.get(PEER, "AgentVersion"), store.get(PEER, "nothing")) == ("kubo", None)
    with pytest.raises(PeerStoreError):
        store.get(PEER, "other")
    with pytest.raises(TypeError, match="list"):
        store.put(PEER, "key", [])  # type: ignore[arg-type]
    store.clear_metadata(PEER)
    with pytest.raises(PeerStoreError):
        store.get(PEER, "AgentVersion")


def test_latency_is_a_moving_average(store: PeerStore) -> None:
    store.record_latency(PEER, 1.0)
    assert store.latency_EWMA(PEER) == 1.0
    store.record_latency(PEER, 2.0)
    assert store.latency_EWMA(PEER) == pytest.approx(1.1)
    store.clear_metrics(PEER)
    assert store.latency_EWMA(PEER) == 0


class TestRecords:
    def record(self, seq: int, *ports: int) -> PeerRecord:
        return PeerRecord(SELF, [address(port) for port in ports], seq)

    def test_the_newest_holds(self, store: PeerStore) -> None:
        old, new = (seal_record(self.record(seq, seq), KEYS.private_key) for seq in (1, 2))
        assert store.consume_peer_record(new, 10)
        assert store.consume_peer_records([old, new], 10) == [False, True]
        assert store.get_peer_record(SELF) is new
        assert store.addrs(SELF) == [address(2)]

    def test_it_lives_as_long_as_an_address(self, store: PeerStore, clock: Clock) -> None:
        assert store.consume_peer_record(seal_record(self.record(1, 1), KEYS.private_key), 10)
        clock.now += 10
        assert store.get_peer_record(SELF) is None
        assert store.get_peer_record(PEER) is None

    def test_those_of_others_are_refused(self, store: PeerStore) -> None:
        other = ed25519.create_new_key_pair().private_key
        assert not store.consume_peer_record(seal_record(self.record(1, 1), other), 10)
        something = seal(PEER_RECORD_ENVELOPE_DOMAIN, b"\x03\x02", b"", KEYS.private_key)
        assert not store.consume_peer_record(something, 10)
        assert store.peer_ids() == []

    def test_cve_2023_40583_their_number_is_bounded(self, clock: Clock) -> None:
        store = PeerStore(max_records=2, clock=clock)
        pairs = [ed25519.create_new_key_pair(bytes((n + 1,)) * 32) for n in range(3)]
        peers = [ID.from_pubkey(pair.public_key) for pair in pairs]
        for peer_id, pair in zip(peers, pairs, strict=True):
            envelope = create_signed_peer_record(peer_id, [address(1)], pair.private_key)
            assert store.consume_peer_record(envelope, 10)
        assert [store.get_peer_record(peer_id) is None for peer_id in peers] == [True, False, False]
        assert len(store._records) == 2

    def test_cve_2023_40583_they_go_with_their_peer(self, clock: Clock) -> None:
        store = PeerStore(max_peers=2, clock=clock)
        pairs = [ed25519.create_new_key_pair(bytes((n + 1,)) * 32) for n in range(5)]
        for pair in pairs:
            peer_id = ID.from_pubkey(pair.public_key)
            envelope = create_signed_peer_record(peer_id, [address(1)], pair.private_key)
            assert store.consume_peer_record(envelope, 10)
        assert set(store._records) == set(store.peer_ids())
        clock.now += 10
        store.cleanup()
        assert not store._records


class TestFullStore:
    def test_the_least_known_peers_are_forgotten_first(self) -> None:
        store = PeerStore(max_peers=4)
        store.add_key_pair(SELF, KEYS)
        store.add_addr(peer(1), address(1))
        store.add_protocols(peer(2), ["/a"])
        store.add_addr(peer(3), address(3))
        store.add_addr(peer(4), address(4))
        assert store.peer_ids() == [SELF, peer(2), peer(3), peer(4)]
        store.add_protocols(peer(4), ["/a"])
        store.add_protocols(peer(5), ["/a"])
        store.add_protocols(peer(6), ["/a"])
        assert store.peer_ids() == [SELF, peer(4), peer(5), peer(6)]

    def test_it_makes_room_in_batches(self) -> None:
        store = PeerStore(max_peers=64)
        for number in range(65):
            store.put(peer(number), "key", number)
        assert store.peer_ids() == [peer(number) for number in range(4, 65)]

    def test_hearsay_goes_before_what_the_user_said(self, clock: Clock) -> None:
        store = PeerStore(max_peers=4, clock=clock)
        store.add_addr(peer(1), address(1))
        store.add_addr(peer(2), address(2), HEARSAY_ADDR_TTL)
        store.add_addr(peer(3), address(3), HEARSAY_ADDR_TTL)
        store.add_addr(peer(4), address(4), HEARSAY_ADDR_TTL)
        assert store.addrs(peer(2))  # it is used: the third has not been for the longest time
        store.add_addr(peer(5), address(5), HEARSAY_ADDR_TTL)
        assert store.peer_ids() == [peer(1), peer(4), peer(2), peer(5)]

    def test_an_expired_peer_goes_first(self, clock: Clock) -> None:
        store = PeerStore(max_peers=2, clock=clock)
        store.add_addr(peer(1), address(1), HEARSAY_ADDR_TTL)
        store.add_protocols(peer(2), ["/a"])
        store.add_addr(peer(2), address(2), 5)
        clock.now += 5
        store.add_addr(peer(3), address(3), HEARSAY_ADDR_TTL)
        assert store.peer_ids() == [peer(1), peer(3)]

    def test_a_million_peers_of_hearsay_cost_no_more_than_some(self, clock: Clock) -> None:
        store = PeerStore(clock=clock)
        store.protect(peer(0))
        for number in range(20_000):
            clock.now += 0.01
            store.add_addr(peer(number), address(1), HEARSAY_ADDR_TTL)
        assert peer(0) in store.peer_ids()
        assert len(store._peers) <= DEFAULT_MAX_PEERS
        assert len(store._expiries) == len(store._to_expire) <= 2 * DEFAULT_MAX_PEERS + 4
        assert store._addresses == len(store._peers)

    def test_addresses_in_all_are_bounded(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(peerstore, "MAX_ADDRESSES", 100)
        store = PeerStore(clock=clock)
        store.add_key_pair(SELF, KEYS)
        for number in range(50):
            addresses = [address(port) for port in range(1, 10)]
            store.replace_announced_addrs(peer(number), addresses, HEARSAY_ADDR_TTL)
            assert sum(len(data._addresses) for data in store._peers.values()) <= 100
        store.protect(peer(49))
        for number in range(50, 70):
            store.protect(peer(number))
            store.add_addrs(peer(number), addresses)
        assert store._addresses == 21 * 9  # what is protected has its own limit
        store.clear_addrs(peer(60))
        store.clear_peerdata(peer(61))
        assert store._addresses == 19 * 9

    def test_who_has_expired_goes_as_others_come(self, clock: Clock) -> None:
        store = PeerStore(clock=clock)
        store.add_addr(peer(1), address(1), 10)
        store.add_addr(peer(2), address(2), 10)
        store.add_addr(peer(3), address(3), 10)
        store.protect(peer(2))
        store.protect(peer(2))
        clock.now += 5
        store.add_addr(peer(3), address(4), 100)
        clock.now += 5
        store.put(peer(4), "key", 1)
        with pytest.raises(PeerStoreError, match="expired"):
            store.addrs(peer(1))
        clock.now += EXPIRED_PEER_SECONDS
        store.put(peer(5), "key", 1)
        assert store.peer_ids() == [peer(2), peer(3), peer(4), peer(5)]
        store.unprotect(peer(2))
        clock.now += EXPIRED_PEER_SECONDS
        store.cleanup()
        assert store.has_peer(peer(2))
        store.unprotect(peer(2))
        store.put(peer(6), "key", 1)
        assert store.peer_ids() == [peer(4), peer(5), peer(6)]

    def test_what_is_known_for_good_does_not_expire(self, clock: Clock) -> None:
        store = PeerStore(clock=clock)
        store.add_addr(peer(1), address(1), 10)
        store.add_addr(peer(1), address(2))
        store.add_addr(peer(2), address(1), 10)
        store.clear_addrs(peer(2))
        store.add_addr(peer(3), address(1), 10)
        store.clear_peerdata(peer(3))
        clock.now += 2 * EXPIRED_PEER_SECONDS
        store.put(peer(4), "key", 1)
        assert store.peer_ids() == [peer(1), peer(2), peer(4)]
        assert store.addrs(peer(1)) == [address(2)]

    def test_what_a_peer_announces_no_more_is_not_known_for_good(self, clock: Clock) -> None:
        store = PeerStore(clock=clock)
        store.add_addr(PEER, address(1))
        store.replace_announced_addrs(PEER, [address(1)], 10)
        store.replace_announced_addrs(PEER, [address(2)], 10)
        clock.now += 10
        with pytest.raises(PeerStoreError, match="expired"):
            store.addrs(PEER)

    def test_own_identities_alone_are_never_forgotten(self) -> None:
        store = PeerStore(max_peers=1)
        store.add_key_pair(SELF, KEYS)
        store.put(PEER, "key", 1)
        assert store.peer_ids() == [SELF, PEER]


def test_dropping_expired_addresses_keeps_the_memory_of_having_had_some() -> None:
    data = PeerData()
    data.add_addrs([address(1)], expires_at=5)
    data.drop_expired(10)
    assert data.is_expired(10)
    data.clear_addrs()
    assert not data.is_expired(10)


class Host:
    """As much of a host as its own record needs."""

    def __init__(self) -> None:
        self.ports = [1]
        self.store = PeerStore()

    def get_id(self) -> ID:
        return SELF

    def get_private_key(self) -> object:
        return KEYS.private_key

    def get_addrs(self) -> list[Multiaddr]:
        return [Multiaddr(f"{address(port)}/p2p/{SELF}") for port in self.ports]

    def get_peerstore(self) -> PeerStore:
        return self.store


def test_the_own_record_is_made_anew_when_addresses_change() -> None:
    host = Host()
    first, is_new = env_to_send_in_RPC(host)  # type: ignore[arg-type]
    assert is_new
    assert env_to_send_in_RPC(host) == (first, False)  # type: ignore[arg-type]
    host.ports.append(2)
    second, is_new = env_to_send_in_RPC(host)  # type: ignore[arg-type]
    assert is_new
    assert second != first
    local = host.store.get_local_record()
    assert local is not None
    assert local.record().addrs == [address(1), address(2)]


def test_what_a_peer_says_that_it_speaks_is_kept_as_it_is() -> None:
    store = PeerStore()
    store.set_protocols(PEER, ["", "/a\nb", "/c"])
    assert store.get_protocols(PEER) == ["", "/a\nb", "/c"]
