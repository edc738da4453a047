"""
Go ipfs-lite's names, in snake_case: what a program of it needs beside `Peer`.

    async with setup_libp2p(key, listen_addrs=["/ip4/0.0.0.0/tcp/4001"]) as (host, dht):
        async with new(new_in_memory_datastore(), None, host, dht) as peer:
            await peer.bootstrap(default_bootstrap_peers())
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libp2p.blockstore import MemoryBlockStore
from libp2p.crypto.keys import KeyPair
from libp2p.datastore import MemoryDatastore
from libp2p.discovery.bootstrap.sources import PUBLIC_PEERS
from libp2p.exceptions import InvalidImportOptions
from libp2p.factory import new_host
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipld.profiles import ImportKnobs
from libp2p.kad_dht.dual import DualDHT
from libp2p.kad_dht.mode import DHTMode
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStore
from libp2p.peer.persistent.peerstore import PersistentPeerStore
from libp2p.records.ipns import IPNSValidator
from libp2p.records.pubkey import PublicKeyValidator
from libp2p.records.validator import NamespacedValidator
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.blockstore import BlockStore
    from libp2p.crypto.keys import PrivateKey
    from libp2p.datastore import Datastore
    from libp2p.host.basic_host import BasicHost
    from libp2p.ipfs_lite.config import Config


@dataclass(frozen=True, slots=True)
class AddParams:
    """
    How Go ipfs-lite imports a file: as it stands, with Go's defaults and so with Go's CIDs.

    ``await peer.add_file(source, **AddParams().choices())``

    :param layout: "" and "balanced" are the same.
    :param chunker: "" is ``size-262144``.
    :param hidden: of folders: ``add_tree(hidden=…)``; here it changes nothing, as in Go.
    :param shard: changes nothing, as in Go: large folders are always sharded.
    :param no_copy: files are not copied into the store; see `choices`.
    :param hash_fun: "" is ``sha2-256``.
    :param max_links: 0 is 174.
    """

    layout: str = ""
    chunker: str = ""
    raw_leaves: bool = False
    hidden: bool = False
    shard: bool = False
    no_copy: bool = False
    hash_fun: str = ""
    max_links: int = 0

    def choices(self) -> ImportKnobs:
        """
        Return it as choices of `Peer.add_file` and `Peer.add_tree`.

        :raises InvalidImportOptions: for ``no_copy``, which is an argument of its own there.
        """
        if self.no_copy:
            raise InvalidImportOptions("no_copy is no part of how a file is cut: leave it out")
        return ImportKnobs(
            cid_version=1,
            layout=self.layout or "balanced",
            chunker=self.chunker or "size-262144",
            raw_leaves=self.raw_leaves,
            hash=self.hash_fun or "sha2-256",
            max_file_links=self.max_links,
        )


@asynccontextmanager
async def setup_libp2p(
    host_key: PrivateKey | KeyPair,
    secret: bytes | str | None = None,
    listen_addrs: Sequence[Multiaddr | str] = (),
    datastore: Datastore | None = None,
    **options: Any,
) -> AsyncIterator[tuple[BasicHost, DualDHT]]:
    """
    Run a host and the two DHTs of the IPFS network for the length of the block.

    :param secret: the key of a private network.
    :param datastore: keeps what is known of peers and records.
    :param options: further ones of `new_host`.
    :raises OpenConnectionError: if an address cannot be listened on.
    """
    pair = host_key
    if not isinstance(pair, KeyPair):
        arguments.having(pair, ("sign", "get_public_key"), "host_key", "a PrivateKey")
        pair = KeyPair(pair, pair.get_public_key())
    store = PeerStore() if datastore is None else PersistentPeerStore(datastore)
    host = new_host(**{"peerstore_opt": store, **options}, key_pair=pair, psk=secret)
    validator = NamespacedValidator({"pk": PublicKeyValidator(), "ipns": IPNSValidator()})
    async with host.run([]):
        dht = DualDHT.of_host(host, DHTMode.AUTO, datastore=datastore, validator=validator)
        async with dht.run():
            # Listen last: a peer that connects asks once for the protocols, and remembers them.
            if listen_addrs:
                await host.get_network().listen(*listen_addrs)
            yield host, dht


@asynccontextmanager
async def new(
    datastore: Datastore | None,
    blockstore: BlockStore | None,
    host: BasicHost | None,
    routing: Any,
    config: Config | None = None,
) -> AsyncIterator[Peer]:
    """
    Open a peer on parts of the program's, as Go's ``New`` does; `Peer.open` makes its own.

    :param blockstore: by default one in memory. (Go keeps blocks in its datastore.)
    :param host: one that runs, as from `setup_libp2p`; None for a peer without a network.
    :param routing: knows who has what; None is nobody.
    """
    store = MemoryBlockStore() if blockstore is None else blockstore
    online: dict[str, Any] = {}
    if host is not None:
        routers = {} if routing is None else {"routing": routing}
        online = {"host": host, "routers": routers, "dht": "off", "bootstrap": []}
    async with Peer.open(
        block_store=store, datastore=datastore, config=config, online=host is not None, **online
    ) as peer:
        yield peer


def default_bootstrap_peers() -> list[PeerInfo]:
    """Return the peers of the public network that this library brings with it; see there."""
    lines = [line.partition("#")[0].strip() for line in PUBLIC_PEERS.read_text().splitlines()]
    return [PeerInfo.of(line) for line in lines if line]


def new_in_memory_datastore() -> MemoryDatastore:
    """Return a datastore that forgets everything when the program ends."""
    return MemoryDatastore()
