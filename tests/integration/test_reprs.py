"""What objects say of themselves: something useful and short, whatever has become of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import trio

import libp2p
from libp2p.base_types import TProtocol
from libp2p.bitswap.block_service import BlockService
from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.dag import MerkleDag
from libp2p.blockstore import BlockStore, MemoryBlockStore
from libp2p.ipfs_lite import Peer, Repo
from libp2p.peer.peerinfo import PeerInfo

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.abc import INetStream

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
VALUES = ("AddResult", "Config", "PeerInfo", "Ed25519PrivateKey")
"""What is never half built."""
HOLD = TProtocol("/hold")


async def hold(stream: INetStream) -> None:
    await trio.sleep_forever()


def check(objects: dict[str, tuple[object, str]], secrets: list[str]) -> None:
    for name, (thing, part) in objects.items():
        text = repr(thing)
        assert part in text, name
        assert type(thing).__name__ in text, name
        assert len(text) < 300, name
        assert " object at 0x" not in text, name
        assert not any(secret in text for secret in secrets), name


async def test_what_objects_say_of_themselves(tmp_path: Path) -> None:
    async with (
        Peer.open(tmp_path / "a", listen=LOOPBACK, dht="off") as a,
        Peer.open(block_store=MemoryBlockStore(), dht="off") as b,
        Peer.open(block_store=MemoryBlockStore(), online=False) as offline,
    ):
        added = await a.add_file(b"abc")
        await b.connect(a.addrs[0])
        a.host.set_stream_handler(HOLD, hold)
        reader = await b.get_file(added.cid)
        network = b.host.get_network()
        connection = network.get_connections(a.peer_id)[0]
        stream = await b.host.new_stream(a.peer_id, [HOLD])
        client = b._bitswap
        assert client is not None
        session = client.new_session([a.peer_id])
        one, other = str(a.peer_id), str(b.peer_id)
        key = a.host.get_private_key().to_bytes()
        secrets = [key.hex(), repr(key)[2:-1], base64.b64encode(key).decode()]
        objects: dict[str, tuple[object, str]] = {
            "peer": (a, f"{one}, open, with <SlicedBlockStore"),
            "offline": (offline, "offline, open"),
            "config": (a.config, "profile="),
            "added": (added, str(added.cid)),
            "reader": (reader, f"{added.cid} at 0 of 3 bytes"),
            "host": (b.host, f"{other}, running, connections: 1"),
            "new host": (libp2p.new_host(), "not running, connections: 0"),
            "swarm": (network, f"{other}, running"),
            "connection": (connection, f"open to {one} at /ip4/127.0.0.1/"),
            "muxed": (connection.muxed_conn, f"open to {one}, streams: "),
            "secured": (connection.muxed_conn.secured_conn, one),  # type: ignore[attr-defined]
            "stream": (stream, f"/hold #5 open with {one}"),
            "store": (a.store, str(tmp_path)),
            "memory": (b.store, "1 block"),
            "client": (client, f"of {other}, running, peers: 1"),
            "new client": (BitswapClient(libp2p.new_host()), "not running"),
            "session": (session, "asks 1 peers"),
            "blocks": (client.get_blocks([added.cid]), "open"),
            "service": (BlockService(b.store, client), "MemoryBlockStore"),
            "dag": (MerkleDag(client), "MemoryBlockStore"),
            "peerstore": (b.host.get_peerstore(), "of 2 peers"),
            "info": (PeerInfo(a.peer_id, [LOOPBACK] * 99), "and 94 more"),
            "key": (a.host.get_private_key(), "PrivateKey"),
        }
        check(objects, secrets)
    session.close()
    closed = {
        "peer": f"{one}, closed",
        "reader": f"{added.cid} closed",
        "host": f"{other}, closed",
        "connection": f"closed to {one}",
        "stream": f"/hold #5 closed with {one}",
        "client": "not running",
        "session": "closed",
    }
    check({name: (objects[name][0], closed.get(name, "")) for name in objects}, secrets)
    for thing, _ in objects.values():
        kind = type(thing)
        if kind.__name__ not in VALUES and not hasattr(kind, "__del__"):
            assert repr(kind.__new__(kind)).startswith(f"<{kind.__name__}")
    with Repo.open(tmp_path / "a") as repo:
        check({"repo": (repo, "open")}, secrets)
    check({"repo": (repo, "closed")}, secrets)


async def test_a_store_of_ones_own_has_a_name_and_may_fail_at_it() -> None:
    class Mine(MemoryBlockStore):
        def __repr__(self) -> str:
            raise KeyError("mine")

    class Plain(BlockStore):
        get_block = put_block = has_block = delete_block = None  # type: ignore[assignment]

    assert repr(Plain()) == "<Plain>"
    async with Peer.open(block_store=Mine(), online=False) as peer:
        assert repr(peer) == "<Peer half built>"
