"""py-libp2p's tag store."""

from __future__ import annotations

from typing import Any, cast

import trio

from libp2p.network.tag_store import TagInfo, TagStore, TagStoreNotifee
from tests.support.identities import peer_id_of

ALICE, BOB = peer_id_of("alice"), peer_id_of("bob")


def test_what_is_known_of_a_peer_goes_with_its_last_connection() -> None:
    store = TagStore()
    store.tag_peer(ALICE, "dht", 3)
    info = store.get_tag_info(ALICE)
    assert info is not None
    assert info.temp
    info.tags["mine"] = 1
    store.protect(ALICE, "relay")
    store.record_connection(ALICE, 1)
    store.record_connection(ALICE, 2)
    store.remove_connection(ALICE, 1)
    info = store.get_tag_info(ALICE)
    assert info is not None
    assert (info.temp, info.value, info.tags, list(info.conns)) == (False, 3, {"dht": 3}, [2])
    assert (info.get_total_value(), info.to_dict()["value"]) == (3, 3)
    assert (store.get_tag(ALICE, "dht"), store.get_tag(BOB, "dht")) == (3, 0)
    assert (store.get_all_peers(), store.get_protected_peers()) == ([ALICE], [ALICE])
    store.remove_connection(ALICE, 7)
    store.remove_connection(BOB, 7)
    store.remove_connection(ALICE, 2)
    assert store.get_tag_info(ALICE) is None
    assert not store.is_protected(ALICE)
    assert store.get_tag_value(ALICE) == 0


def test_it_is_bounded() -> None:
    store = TagStore(max_tagged=1)
    store.tag_peer(ALICE, "a", 1)
    store.tag_peer(BOB, "a", 1)
    assert store.get_all_peers() == [BOB]


def test_nothing_is_forgotten_below_the_bound() -> None:
    store = TagStore(max_tagged=4)
    peers = [peer_id_of(str(number)) for number in range(5)]
    for peer in peers[:4]:
        store.tag_peer(peer, "a", 1)
    assert store.get_all_peers() == peers[:4]
    store.tag_peer(peers[4], "a", 1)
    assert store.get_all_peers() == peers[1:]


async def test_a_notifee_records_connections() -> None:
    class Conn:
        muxed_conn: object

        def __init__(self) -> None:
            self.muxed_conn, self.peer_id = self, ALICE

    store = TagStore()
    notifee, conn, network = TagStoreNotifee(store), cast("Any", Conn()), cast("Any", None)
    await notifee.connected(network, conn)
    assert store.get_tag_info(ALICE) == TagInfo(
        store._seen[ALICE].first_seen, conns=store._seen[ALICE].conns
    )
    for nothing in (notifee.opened_stream, notifee.closed_stream):
        await nothing(network, conn)
    await notifee.listen(network, conn)
    await notifee.listen_close(network, conn)
    await notifee.disconnected(network, conn)
    assert store.get_all_peers() == []
    await trio.lowlevel.checkpoint()
