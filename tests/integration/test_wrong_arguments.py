# ruff: noqa: E501 - a table is read line by line
"""Every public call with a table of wrong values: refused by name, not hanging, not ignored."""

from __future__ import annotations

import array
import functools
import inspect
import io
import math
import os
import socket
import tempfile
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from multiaddr import Multiaddr

import libp2p
from libp2p.bitswap.block_service import BlockService
from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.dag import MerkleDag
from libp2p.bitswap.serve.server import ServerLimits, ServerOptions
from libp2p.blockstore import FilesystemBlockStore, MemoryBlockStore
from libp2p.crypto import ecc, ed25519, rsa, secp256k1
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.serialization import deserialize_private_key, deserialize_public_key
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.ping import PingService
from libp2p.ipfs_lite import Config, Peer, Repo
from libp2p.ipld.cid import CID
from libp2p.network.config import SwarmConfig
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr, peer_info_from_bytes
from libp2p.peer.peerstore import PeerStore
from libp2p.perf.perf_service import PerfService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from libp2p.host.basic_host import BasicHost

#: Values of every kind are compared with each other here; that is no fault of anybody's.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")

DATA = b"a block"
CID_OF_DATA = CID.for_block(DATA)
MISSING = CID.for_block(b"nobody has this")
ADDRESS = Multiaddr("/ip4/127.0.0.1/tcp/4001")
PAIR = ed25519.create_new_key_pair(bytes(32))
PEER_ID = ID.from_pubkey(PAIR.public_key)
HUGE = 10**400


async def handler(stream: object) -> None:
    """Do nothing with a stream."""


def ordinary(stream: object) -> None:
    """Do nothing, and give nothing that could be awaited."""


async def generator(stream: object) -> AsyncIterator[int]:
    yield 1


class TextReader:
    """Reads text, and does not say so."""

    def read(self, size: int) -> str:
        return "text"


class Texts:
    """Gives text."""

    def __aiter__(self) -> Texts:
        return self

    async def __anext__(self) -> str:
        return "text"


def closed_file() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.close()
    return file


def write_only_file() -> Any:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "wb")


def text_file() -> Any:
    return open(os.devnull, encoding="utf-8")


NOT_NUMBERS = [True, "5", "", b"5", [], {}, object(), 1j]
NOT_WHOLE = [None, *NOT_NUMBERS, 1.5, math.nan, math.inf]
NO_OBJECTS = [None, 5, True, "text", b"bytes", [], {}, object(), object]

WRONG: dict[str, list[Any]] = {
    "timeout": [-1, -0.001, -math.inf, math.nan, -HUGE, HUGE, *NOT_NUMBERS],
    "count": [-1, -HUGE, *NOT_WHOLE],
    "positive": [0, -1, -HUGE, *NOT_WHOLE],
    "share": [-0.1, 1.1, math.nan, None, *NOT_NUMBERS],
    "cid": [None, 5, 1.5, True, HUGE, "", "nonsense", "Qm", "z" * 10**6, b"", b"\x01", [], {}, object(),
            str(CID_OF_DATA).encode(), f"/ipfs/{CID_OF_DATA}/a", "/ipns/libp2p.io", "\0", "\ud800"],
    "cids": [None, 5, [None], [5], "nonsense", b"", [[]], object()],
    "peer id": [None, 5, True, HUGE, "", "nonsense", "Qm", "\ud800", "z" * 10**6, b"", b"\x12\x20", [], {},
                object(), ADDRESS],
    "peers": [5, [], (), "", "nonsense", [None], [5], ["nonsense"], {}, object()],
    "address": [None, 5, True, "", " ", "nonsense", "127.0.0.1:4001", b"\xff\xff", "/ip4", "/ip4/1.2.3/tcp/1",
                "/ip4/127.0.0.1/tcp/99999", "/ip4/127.0.0.1/tcp/-1", "/ip4/127.0.0.1/tcp/x", "/tcp/1/x",
                "/ip6/::g/tcp/1", "/unknown/x", "/p2p/x", "/dns4/", "/unix", "/onion3/x:1", "/ip4/\0",
                "/ip4/127.0.0.1/tcp/4001/p2p/nonsense", "/garlic64/x", "/certhash/x", "/\ud800", "//",
                "http://127.0.0.1", [], {}, object(), Multiaddr(b"")],
    "addresses": [5, True, "", "nonsense", "/ip4/127.0.0.1", [None], [5], ["nonsense"], b"\xff", object(),
                  [[ADDRESS]], Multiaddr(b"\xff\xff\x01"), ["/ip4/127.0.0.1/udp/1"]],
    "texts of addresses": [5, True, "", "nonsense", [None], [5], ["nonsense"], object()],
    "protocol": [None, 5, True, b"/a", "", "/a\n/b", [], {}, object()],
    "protocols": [None, 5, True, "", [], [None], [5], [""], ["/a\n"], object()],
    "handler": [None, 5, "text", [], object(), ordinary, generator],
    "function": [5, "text", [], object()],
    "bytes": [None, 5, True, HUGE, "text", [], [1], {}, object()],
    "object": NO_OBJECTS,
    "object or none": NO_OBJECTS[1:],
    "key": NO_OBJECTS,
    "source": [None, 5, True, 1.5, [], [b"a"], {}, object(), bytes, iter([b"a"]), (b"a" for _ in "a"),
               io.StringIO("text"), text_file, closed_file, write_only_file, TextReader(), Texts(),
               socket.socket, io.BytesIO, Path("/nowhere/at/all"), "/nowhere/at/all", "", "\0", "\ud800", "/", Path("."),
               "x" * 5000],
    "path": [5, True, b"path", [], {}, object(), "\0", io.BytesIO()],
    "bits": [0, 1, 1024, 2047, 8193, -1, HUGE, *NOT_WHOLE],
    "exponent": [0, 1, 2, -1, HUGE, *NOT_WHOLE],
    "choice of a chunker": [5, True, b"size-1", "nonsense", "size-", "size-0", "size--1", "size-99999999", "size-x",
                            "rabin-", []],
    "choice of links": [1, "5", 1.5, True, []],
    "choice of a flag": [5, "yes", [], 1.5],
    "choice of a version": [2, -1, "1", True, 1.0, []],
    "choice of a hash": [5, True, "nonsense", "", b"sha2-256", [], 1.5],
    "profile": [5, True, "nonsense", "", [], {}],
    "choice of a size": [-1, 10**9, "5", True, 1.5],
}  # fmt: skip


@dataclass
class Stage:
    """What the calls are made on."""

    host: BasicHost
    peer: Peer
    client: BitswapClient
    folder: Path

    @property
    def peerstore(self) -> Any:
        return self.host.get_peerstore()

    @property
    def service(self) -> BlockService:
        return BlockService(MemoryBlockStore(), self.client)

    @property
    def dag(self) -> MerkleDag:
        return MerkleDag(self.client)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Peer.open(block_store=MemoryBlockStore()) as peer:
        await peer.add_file(DATA)
        assert peer._bitswap is not None
        yield Stage(peer.host, peer, peer._bitswap, tmp_path)  # type: ignore[arg-type]


def new_host(**options: Any) -> object:
    return libp2p.new_host(**options)


#: What is called, by its name: the kind of the argument, and the call with it.
CALLS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    # the peer
    "Peer.open repo": ("path", lambda s, v: Peer.open(v, online=False)),
    "Peer.open listen": ("addresses", lambda s, v: Peer.open(block_store=MemoryBlockStore(), listen=v)),
    "Peer.open config": ("object or none", lambda s, v: Peer.open(s.folder / "x", config=v)),
    "Peer.open block_store": ("object or none", lambda s, v: Peer.open(block_store=v)),
    "Peer.open private_key": ("object or none", lambda s, v: Peer.open(s.folder / "x", private_key=v)),
    "Peer.add_file": ("source", lambda s, v: s.peer.add_file(v)),
    "Peer.add_file profile": ("profile", lambda s, v: s.peer.add_file(DATA, profile=v)),
    "Peer.add_file progress": ("function", lambda s, v: s.peer.add_file(DATA, progress=v)),
    "Peer.add_file chunker": ("choice of a chunker", lambda s, v: s.peer.add_file(DATA, chunker=v)),
    "Peer.add_file max_file_links": ("choice of links", lambda s, v: s.peer.add_file(DATA, max_file_links=v)),
    "Peer.add_file raw_leaves": ("choice of a flag", lambda s, v: s.peer.add_file(DATA, raw_leaves=v)),
    "Peer.add_file cid_version": ("choice of a version", lambda s, v: s.peer.add_file(DATA, cid_version=v)),
    "Peer.add_file hash": ("choice of a hash", lambda s, v: s.peer.add_file(DATA, hash=v)),
    "Peer.add_file inline_limit": ("choice of a size", lambda s, v: s.peer.add_file(DATA, inline_limit=v)),
    "Peer.add_file mtime": ("choice of a flag", lambda s, v: s.peer.add_file(DATA, mtime=v)),
    "Peer.add_file layout": ("profile", lambda s, v: s.peer.add_file(DATA, layout=v)),
    "Peer.add_file misspelt": ("choice of a flag", lambda s, v: s.peer.add_file(DATA, chunk_size=v)),
    "Peer.get_file": ("cid", lambda s, v: s.peer.get_file(v)),
    "Peer.get_file peers": ("peers", lambda s, v: s.peer.get_file(CID_OF_DATA, peers=v)),
    "Peer.get_file timeout": ("timeout", lambda s, v: s.peer.get_file(CID_OF_DATA, timeout=v)),
    "Peer.get_block": ("cid", lambda s, v: s.peer.get_block(v)),
    "Peer.get_block timeout": ("timeout", lambda s, v: s.peer.get_block(CID_OF_DATA, timeout=v)),
    "Peer.has_block": ("cid", lambda s, v: s.peer.has_block(v)),
    "Peer.connect": ("address", lambda s, v: s.peer.connect(v)),
    "Config profile": ("profile", lambda s, v: Config(profile=v)),
    "Config listen": ("texts of addresses", lambda s, v: Config(listen=v)),
    "Config sync": ("object", lambda s, v: Config(sync=v) if v is not True else Config(sync=5)),  # type: ignore[arg-type]
    "Repo.open": ("path", lambda s, v: Repo.open(v)),
    # bitswap
    "BitswapClient host": ("object", lambda s, v: BitswapClient(v)),
    "BitswapClient block_store": ("object or none", lambda s, v: BitswapClient(s.host, v)),
    "BitswapClient protocol_version": ("protocol", lambda s, v: BitswapClient(s.host, None, v)),
    "BitswapClient protocol_prefix": ("choice of a hash", lambda s, v: v == "" or BitswapClient(s.host, protocol_prefix=v)),
    "BitswapClient presence_ttl": ("timeout", lambda s, v: BitswapClient(s.host, presence_ttl=v)),
    "BitswapClient server_options": ("object or none", lambda s, v: BitswapClient(s.host, server_options=v)),
    "ServerOptions request_filter": ("function", lambda s, v: ServerOptions(request_filter=v)),
    "ServerOptions task_comparator": ("function", lambda s, v: ServerOptions(task_comparator=v)),
    "ServerOptions size": ("count", lambda s, v: ServerOptions(want_have_replace_size=v)),
    "ServerLimits wants": ("count", lambda s, v: ServerLimits(max_wants=v)),
    "ServerLimits readers": ("count", lambda s, v: ServerLimits(store_readers=v)),
    "set_nursery": ("object", lambda s, v: s.client.set_nursery(v)),
    "new_session": ("peers", lambda s, v: s.client.new_session(v)),
    "get_block": ("cid", lambda s, v: s.client.get_block(v)),
    "get_block peer_id": ("peer id", lambda s, v: s.client.get_block(MISSING, v if v is not None else 5)),
    "get_block timeout": ("timeout", lambda s, v: s.client.get_block(CID_OF_DATA, timeout=v)),
    "get_blocks": ("cids", lambda s, v: s.client.get_blocks(v).__anext__()),
    "get_blocks timeout": ("timeout", lambda s, v: s.client.get_blocks([MISSING], timeout=v)),
    "get_blocks window": ("positive", lambda s, v: s.client.get_blocks([MISSING], window=v if v is not None else "5")),
    "get_blocks peer_id": ("peer id", lambda s, v: s.client.get_blocks([MISSING], v if v is not None else 5)),
    "get_blocks_batch": ("cids", lambda s, v: s.client.get_blocks_batch(v)),
    "get_blocks_batch batch_size": ("positive", lambda s, v: s.client.get_blocks_batch([CID_OF_DATA], batch_size=v)),
    "get_blocks_batch timeout": ("timeout", lambda s, v: s.client.get_blocks_batch([CID_OF_DATA], timeout=v)),
    "want_block": ("cid", lambda s, v: s.client.want_block(v)),
    "want_block priority": ("count", lambda s, v: s.client.want_block(MISSING, v if v != -1 else 2**31)),
    "want_block want_type": ("count", lambda s, v: s.client.want_block(MISSING, want_type=v)),
    "cancel_want": ("cid", lambda s, v: s.client.cancel_want(v)),
    "have_block": ("cid", lambda s, v: s.client.have_block(v)),
    "have_block peer_id": ("peer id", lambda s, v: s.client.have_block(MISSING, v if v is not None else 5)),
    "have_block timeout": ("timeout", lambda s, v: s.client.have_block(MISSING, timeout=v)),
    "add_block": ("cid", lambda s, v: s.client.add_block(v, DATA)),
    "add_block data": ("bytes", lambda s, v: s.client.add_block(CID_OF_DATA, v)),
    "notify_new_blocks": ("cids", lambda s, v: s.client.notify_new_blocks(v)),
    "answers_for": ("cid", lambda s, v: s.client.answers_for(v)),
    "sessions_waiting_for": ("cid", lambda s, v: s.client.sessions_waiting_for(v)),
    "wantlist_for_peer": ("peer id", lambda s, v: s.client.wantlist_for_peer(v)),
    "ledger_for_peer": ("peer id", lambda s, v: s.client.ledger_for_peer(v)),
    "register_extension": ("object", lambda s, v: s.client.register_extension("/a", v)),
    "register_extension protocol": ("protocol", lambda s, v: s.client.register_extension(v, object())),
    "get_or_create_message_queue": ("peer id", lambda s, v: s.client.get_or_create_message_queue(v)),
    "session.get_block": ("cid", lambda s, v: s.client.new_session().get_block(v)),
    "session.get_block timeout": ("timeout", lambda s, v: s.client.new_session().get_block(CID_OF_DATA, timeout=v)),
    "session.receive_block": ("bytes", lambda s, v: s.client.new_session().receive_block(CID_OF_DATA, v)),
    "BlockService store": ("object", lambda s, v: BlockService(v, s.client)),
    "BlockService bitswap": ("object", lambda s, v: BlockService(MemoryBlockStore(), v)),
    "BlockService.get_block": ("cid", lambda s, v: s.service.get_block(v)),
    "BlockService.get_block timeout": ("timeout", lambda s, v: s.service.get_block(CID_OF_DATA, timeout=v)),
    "BlockService.put_block": ("cid", lambda s, v: s.service.put_block(v, DATA)),
    "BlockService.put_block data": ("bytes", lambda s, v: s.service.put_block(CID_OF_DATA, v)),
    "BlockService.get_blocks_batch": ("cids", lambda s, v: s.service.get_blocks_batch(v)),
    "BlockService.get_blocks_batch batch_size": ("positive", lambda s, v: s.service.get_blocks_batch([CID_OF_DATA], batch_size=v)),
    "MemoryBlockStore.get_block": ("cid", lambda s, v: MemoryBlockStore().get_block(v)),
    "MemoryBlockStore.has_block": ("cid", lambda s, v: MemoryBlockStore().has_block(v)),
    "MemoryBlockStore.put_block": ("cid", lambda s, v: MemoryBlockStore().put_block(v, DATA)),
    "MemoryBlockStore.put_block data": ("bytes", lambda s, v: MemoryBlockStore().put_block(CID_OF_DATA, v)),
    "MemoryBlockStore.delete_block": ("cid", lambda s, v: MemoryBlockStore().delete_block(v)),
    "FilesystemBlockStore": ("path", lambda s, v: FilesystemBlockStore(v)),
    "FilesystemBlockStore.get_block": ("cid", lambda s, v: FilesystemBlockStore(s.folder).get_block(v)),
    "FilesystemBlockStore.get_size": ("cid", lambda s, v: FilesystemBlockStore(s.folder).get_size(v)),
    "FilesystemBlockStore.put_block": ("cid", lambda s, v: FilesystemBlockStore(s.folder).put_block(v, DATA)),
    "FilesystemBlockStore.put_block data": ("bytes", lambda s, v: FilesystemBlockStore(s.folder).put_block(CID_OF_DATA, v)),
    "FilesystemBlockStore.delete_block": ("cid", lambda s, v: FilesystemBlockStore(s.folder).delete_block(v)),
    "MerkleDag.fetch_file": ("cid", lambda s, v: s.dag.fetch_file(v)),
    "MerkleDag.fetch_file timeout": ("timeout", lambda s, v: s.dag.fetch_file(CID_OF_DATA, timeout=v)),
    "MerkleDag.get_file_info": ("cid", lambda s, v: s.dag.get_file_info(v)),
    "MerkleDag.get_node": ("cid", lambda s, v: s.dag.get_node(v)),
    "MerkleDag.remove_node": ("cid", lambda s, v: s.dag.remove_node(v)),
    "MerkleDag.add_bytes": ("bytes", lambda s, v: s.dag.add_bytes(v)),
    "MerkleDag.add_bytes chunk_size": ("positive", lambda s, v: s.dag.add_bytes(DATA, v if v is not None else "5")),
    "MerkleDag.add_file": ("path", lambda s, v: s.dag.add_file(v)),
    "MerkleDag.add_stream text": ("choice of a flag", lambda s, v: s.dag.add_stream(TextReader())),
    "MerkleDag.add_stream": ("object", lambda s, v: s.dag.add_stream(v)),
    # hosts and swarms
    "new_host key_pair": ("object or none", lambda s, v: new_host(key_pair=v)),
    "new_host key_pair_provider": ("function", lambda s, v: new_host(key_pair_provider=v)),
    "new_host key_pair_provider's": ("object", lambda s, v: new_host(key_pair_provider=lambda: v)),
    "new_host muxer_opt": ("choice of a flag", lambda s, v: v == [] or new_host(muxer_opt=v)),
    "new_host sec_opt": ("choice of a flag", lambda s, v: new_host(sec_opt=v)),
    "new_host sec_opt's": ("object", lambda s, v: new_host(sec_opt={"/noise": v})),
    "new_host peerstore_opt": ("object or none", lambda s, v: new_host(peerstore_opt=v)),
    "new_host connection_config": ("object or none", lambda s, v: new_host(connection_config=v)),
    "new_host negotiate_timeout": ("timeout", lambda s, v: new_host(negotiate_timeout=v)),
    "new_host muxer_preference": ("choice of a hash", lambda s, v: new_host(muxer_preference=v)),
    "set_default_muxer": ("object", lambda s, v: libp2p.set_default_muxer(v)),
    "generate_peer_id_from": ("object", lambda s, v: libp2p.generate_peer_id_from(v)),
    "SwarmConfig max_connections": ("count", lambda s, v: SwarmConfig(max_connections=v)),
    "SwarmConfig high_water": ("share", lambda s, v: SwarmConfig(high_water=v)),
    "SwarmConfig dial_timeout": ("timeout", lambda s, v: SwarmConfig(dial_timeout=v)),
    "host.run": ("addresses", lambda s, v: libp2p.new_host().run(v)),
    "host.connect": ("address", lambda s, v: s.host.connect(v)),
    "host.disconnect": ("peer id", lambda s, v: s.host.disconnect(v)),
    "host.is_peer_connected": ("peer id", lambda s, v: s.host.is_peer_connected(v)),
    "host.new_stream": ("peer id", lambda s, v: s.host.new_stream(v, ["/a"])),
    "host.new_stream protocols": ("protocols", lambda s, v: s.host.new_stream(PEER_ID, v)),
    "host.set_stream_handler": ("handler", lambda s, v: s.host.set_stream_handler("/a", v)),
    "host.set_stream_handler protocol": ("protocol", lambda s, v: s.host.set_stream_handler(v, handler)),
    "PingService.ping": ("peer id", lambda s, v: PingService(s.host).ping(v)),
    "PingService.ping ping_amt": ("count", lambda s, v: PingService(s.host).ping(PEER_ID, v)),
    "PerfService.measure": ("count", lambda s, v: PerfService(s.host).measure(PEER_ID, v, 1)),
    "host.remove_stream_handler": ("protocol", lambda s, v: s.host.remove_stream_handler(v)),
    "host.subscribe": ("function", lambda s, v: s.host.subscribe(v)),
    "host.subscribe kinds": ("object", lambda s, v: s.host.subscribe(print, v)),
    "host.events kinds": ("object", lambda s, v: s.host.events(v)),
    "host.events limit": ("positive", lambda s, v: s.host.events(limit=v)),
    "host.start_service": ("handler", lambda s, v: s.host.start_service(v)),
    "swarm.listen": ("address", lambda s, v: s.host.get_network().listen(v)),
    "swarm.dial_peer": ("peer id", lambda s, v: s.host.get_network().dial_peer(v)),
    "swarm.dial_addr": ("address", lambda s, v: s.host.get_network().dial_addr(v, PEER_ID)),
    "swarm.dial_addr peer": ("peer id", lambda s, v: s.host.get_network().dial_addr(ADDRESS, v)),
    "swarm.new_stream": ("peer id", lambda s, v: s.host.get_network().new_stream(v)),
    "swarm.close_peer": ("peer id", lambda s, v: s.host.get_network().close_peer(v)),
    "swarm.get_connections": ("peer id", lambda s, v: s.host.get_network().get_connections(v if v is not None else 5)),
    "swarm.get_connection": ("peer id", lambda s, v: s.host.get_network().get_connection(v)),
    "swarm.set_stream_handler": ("handler", lambda s, v: s.host.get_network().set_stream_handler(v)),
    "swarm.register_notifee": ("object", lambda s, v: s.host.get_network().register_notifee(v)),
    # peers
    "PeerStore": ("count", lambda s, v: PeerStore(max_peers=v)),
    "peerstore.peer_info": ("peer id", lambda s, v: s.peerstore.peer_info(v)),
    "peerstore.has_peer": ("peer id", lambda s, v: s.peerstore.has_peer(v)),
    "peerstore.addrs": ("peer id", lambda s, v: s.peerstore.addrs(v)),
    "peerstore.add_addr": ("address", lambda s, v: s.peerstore.add_addr(PEER_ID, v)),
    "peerstore.add_addrs": ("peer id", lambda s, v: s.peerstore.add_addrs(v, [ADDRESS])),
    "peerstore.add_addrs addrs": ("texts of addresses", lambda s, v: s.peerstore.add_addrs(PEER_ID, v)),
    "peerstore.add_addrs ttl": ("timeout", lambda s, v: s.peerstore.add_addrs(PEER_ID, [ADDRESS], v)),
    "peerstore.clear_addrs": ("peer id", lambda s, v: s.peerstore.clear_addrs(v)),
    "peerstore.clear_peerdata": ("peer id", lambda s, v: s.peerstore.clear_peerdata(v)),
    "peerstore.get_protocols": ("peer id", lambda s, v: s.peerstore.get_protocols(v)),
    "peerstore.add_protocols": ("peer id", lambda s, v: s.peerstore.add_protocols(v, ["/a"])),
    "peerstore.set_protocols": ("peer id", lambda s, v: s.peerstore.set_protocols(v, ["/a"])),
    "peerstore.set_protocols protocols": ("cids", lambda s, v: v in ("nonsense", b"") or s.peerstore.set_protocols(PEER_ID, v)),
    "peerstore.supports_protocols": ("peer id", lambda s, v: s.peerstore.supports_protocols(v, ["/a"])),
    "peerstore.put": ("peer id", lambda s, v: s.peerstore.put(v, "key", 1)),
    "peerstore.get": ("peer id", lambda s, v: s.peerstore.get(v, "key")),
    "peerstore.add_pubkey": ("key", lambda s, v: s.peerstore.add_pubkey(PEER_ID, v)),
    "peerstore.add_privkey": ("key", lambda s, v: s.peerstore.add_privkey(PEER_ID, v)),
    "peerstore.add_key_pair": ("key", lambda s, v: s.peerstore.add_key_pair(PEER_ID, v)),
    "peerstore.pubkey": ("peer id", lambda s, v: s.peerstore.pubkey(v)),
    "peerstore.record_latency": ("peer id", lambda s, v: s.peerstore.record_latency(v, 1.0)),
    "ID": ("bytes", lambda s, v: ID(v)),
    "ID.from_string": ("peer id", lambda s, v: ID.from_string(v)),
    "ID.from_pubkey": ("key", lambda s, v: ID.from_pubkey(v)),
    "ID.from_pubkey private": ("key", lambda s, v: ID.from_pubkey(PAIR.private_key)),  # type: ignore[arg-type]
    "PeerInfo": ("peer id", lambda s, v: PeerInfo(v, [])),
    "PeerInfo addrs": ("texts of addresses", lambda s, v: PeerInfo(PEER_ID, v)),
    "info_from_p2p_addr": ("address", lambda s, v: info_from_p2p_addr(v)),
    "peer_info_from_bytes": ("bytes", lambda s, v: peer_info_from_bytes(v)),
    # keys
    "rsa bits": ("bits", lambda s, v: rsa.create_new_key_pair(v)),
    "rsa exponent": ("exponent", lambda s, v: rsa.create_new_key_pair(2048, v)),
    "ed25519 seed": ("bytes", lambda s, v: ed25519.create_new_key_pair(v if v is not None else b"")),
    "secp256k1 secret": ("bytes", lambda s, v: secp256k1.create_new_key_pair(v if v is not None else b"")),
    "ecc curve": ("choice of a hash", lambda s, v: ecc.create_new_key_pair(v)),
    "deserialize_public_key": ("bytes", lambda s, v: deserialize_public_key(v)),
    "deserialize_private_key": ("bytes", lambda s, v: deserialize_private_key(v)),
    "KeyPair": ("key", lambda s, v: KeyPair(v, PAIR.public_key)),
    "KeyPair swapped": ("key", lambda s, v: KeyPair(PAIR.public_key, PAIR.private_key)),  # type: ignore[arg-type]
    "Ed25519PublicKey.from_bytes": ("bytes", lambda s, v: ed25519.Ed25519PublicKey.from_bytes(v)),
    "Ed25519PrivateKey.from_bytes": ("bytes", lambda s, v: ed25519.Ed25519PrivateKey.from_bytes(v)),
    "RSAPublicKey.from_bytes": ("bytes", lambda s, v: rsa.RSAPublicKey.from_bytes(v)),
    "RSAPrivateKey.from_bytes": ("bytes", lambda s, v: rsa.RSAPrivateKey.from_bytes(v)),
    "ECCPublicKey.from_bytes": ("bytes", lambda s, v: ecc.ECCPublicKey.from_bytes(v)),
    "ECCPrivateKey.from_bytes": ("bytes", lambda s, v: ecc.ECCPrivateKey.from_bytes(v)),
    # content
    "CID": ("cid", lambda s, v: CID(v)),
    "CID.for_block": ("bytes", lambda s, v: CID.for_block(v)),
    "CID.for_block codec": ("choice of a hash", lambda s, v: v == 5 or CID.for_block(DATA, v)),
    "CID.for_block version": ("choice of a version", lambda s, v: v in (True, 1.0) or CID.for_block(DATA, version=v)),
    "CID.for_block hash": ("choice of a hash", lambda s, v: CID.for_block(DATA, hash=v)),
    "CID.encode": ("choice of a hash", lambda s, v: CID_OF_DATA.encode(v)),
    "CID.matches": ("bytes", lambda s, v: CID_OF_DATA.matches(v)),
}  # fmt: skip


async def outcome(call: Callable[[Any, Any], Any], stage: Stage, value: Any) -> object:
    """What comes of a call: its error, or what it gave."""
    made = value() if value in (text_file, closed_file, write_only_file, socket.socket) else value
    try:
        with trio.fail_after(5):
            async with AsyncExitStack() as stack:
                if hasattr(made, "close") and made is not value:
                    stack.callback(made.close)
                result = call(stage, made)
                if isinstance(result, AbstractAsyncContextManager):
                    result = await stack.enter_async_context(result)
                elif inspect.isawaitable(result):
                    result = await result
                return result
    except Exception as error:  # noqa: BLE001 - what it is, the test looks at
        return error


@pytest.mark.parametrize("name", CALLS)
async def test_every_wrong_value_is_refused_by_name(name: str, stage: Stage) -> None:
    kind, call = CALLS[name]
    faults = []
    for value in WRONG[kind]:
        result = await outcome(call, stage, value)
        if result is True:
            continue  # the call says that this one does not count
        is_own = isinstance(result, BaseLibp2pError) and len(str(result)) < 1000
        if not is_own:
            shown = type(value) if isinstance(value, Multiaddr) else repr(value)[:60]
            faults.append(f"{name}({shown}): {type(result).__name__}: {result!s:.200}")
    assert not faults, "\n".join(["", *faults])


# -- what is plain is accepted -------------------------------------------------------------------


async def test_a_single_value_is_taken_for_a_list_of_it(tmp_path: Path) -> None:
    loopback = "/ip4/127.0.0.1/tcp/0"
    store, offered = MemoryBlockStore(), []

    async def note(stream: Any) -> None:
        offered.append(stream.get_protocol())
        await stream.close()

    for listen in (loopback, Multiaddr(loopback), [loopback], (Multiaddr(loopback), loopback)):
        async with Peer.open(block_store=store, listen=listen) as provider:
            assert provider.addrs
    nowhere: Any
    for nowhere in ([], (), None):
        async with Peer.open(block_store=store, listen=nowhere) as provider:
            assert provider.addrs == []
    assert Config(listen=loopback).listen == (loopback,)  # type: ignore[arg-type]
    assert Config(listen=[Multiaddr(loopback)]).listen == (loopback,)  # type: ignore[arg-type]
    async with Peer.open(block_store=store, listen=loopback) as provider:
        added = await provider.add_file(DATA)
        provider.host.set_stream_handler("/note", note)  # type: ignore[arg-type]
        host = libp2p.new_host()
        client = BitswapClient(host, MemoryBlockStore())
        async with host.run(loopback), client.run():
            await host.connect(str(provider.addrs[0]))
            await host.connect(provider.addrs[0])
            for peer_id in (provider.peer_id, str(provider.peer_id), provider.peer_id.to_bytes()):
                async with await host.new_stream(peer_id, "/note") as stream:  # type: ignore[arg-type]
                    await stream.read()
            assert offered == ["/note"] * 3
            assert host.is_peer_connected(str(provider.peer_id))  # type: ignore[arg-type]
            one: Any
            for one in (added.cid, str(added.cid), added.cid.buffer, f" {added.cid}\n"):
                assert await client.get_blocks_batch(one) == {added.cid.buffer: DATA}
            peer_id = str(provider.peer_id)
            assert await client.get_block(added.cid, peer_id, timeout=None) == DATA  # type: ignore[arg-type]
            session = client.new_session(peer_id)  # type: ignore[arg-type]
            assert session.peers == (provider.peer_id,)


async def test_no_limit_of_time_is_none_or_infinite(stage: Stage) -> None:
    for timeout in (None, math.inf, 0, 1, 2.5):
        assert await stage.peer.get_block(CID_OF_DATA, timeout=timeout) == DATA
        assert await stage.client.get_block(CID_OF_DATA, timeout=timeout) == DATA
        reader = await stage.peer.get_file(CID_OF_DATA, timeout=timeout)
        assert await reader.read() == DATA
        assert [block async for block in stage.client.get_blocks([CID_OF_DATA], timeout=timeout)]


@pytest.mark.parametrize("text", [str(CID_OF_DATA), str(CID_OF_DATA).upper(), f"/ipfs/{CID_OF_DATA}",
                                  f"https://{CID_OF_DATA}.ipfs.dweb.link", CID_OF_DATA.buffer.hex()])  # fmt: skip
async def test_a_cid_is_taken_in_any_form(stage: Stage, text: str) -> None:
    assert await stage.peer.get_block(text) == DATA
    assert await stage.client.get_block(text) == DATA
    assert await stage.peer.has_block(text)


class Awaited:
    """A reader whose ``read`` is no coroutine function, but is awaited."""

    def __init__(self) -> None:
        self.left = [DATA]

    def read(self, size: int) -> Any:
        async def give() -> bytes:
            return self.left.pop() if self.left else b""

        return give()


async def buffers() -> AsyncIterator[bytes]:
    yield DATA[:3]
    yield DATA[3:]


@pytest.mark.parametrize(
    "source",
    [DATA, bytearray(DATA), memoryview(DATA), memoryview(DATA[::-1])[::-1], array.array("b", DATA),
     lambda: io.BytesIO(DATA), lambda: io.BufferedReader(io.BytesIO(DATA)), buffers, Awaited,
     lambda: tempfile_with(DATA)],
)  # fmt: skip
async def test_whatever_gives_bytes_is_added(stage: Stage, source: Any) -> None:
    made = source() if callable(source) else source
    assert (await stage.peer.add_file(made)).cid == CID_OF_DATA
    if hasattr(made, "close"):
        made.close()


def tempfile_with(data: bytes) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by the test
    file.write(data)
    file.seek(0)
    return file


async def test_what_returns_something_to_be_awaited_is_a_handler(stage: Stage) -> None:
    class Object:
        async def __call__(self, stream: object) -> None: ...

        async def method(self, stream: object) -> None: ...

    def wrapped(stream: object) -> Any:
        return handler(stream)

    for good in (handler, Object(), Object().method, functools.partial(handler), wrapped,
                 lambda stream: handler(stream), functools.wraps(handler)(wrapped)):  # fmt: skip
        stage.host.set_stream_handler("/good", good)  # type: ignore[arg-type]
