"""
What of a peer needs a network: the host, bitswap, the DHT, other routers, and who is met first.

It is loaded when a peer with a network is opened, and runs for the length of one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.provider_query import ProviderQueryManager
from libp2p.crypto.keys import KeyPair
from libp2p.datastore import MemoryDatastore
from libp2p.factory import new_host
from libp2p.ipfs_lite.bootstrapping import Bootstrap, check_bootstrap
from libp2p.ipfs_lite.config import check_dht, check_router_url
from libp2p.ipfs_lite.keystore import Keystore
from libp2p.ipfs_lite.naming import NameService, OwnKey, PeerNames
from libp2p.ipfs_lite.routing import PeerRouting, RouterTable
from libp2p.peer.addresses import to_multiaddrs
from libp2p.routing.parallel import ParallelRouter
from libp2p.utils import arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from multiaddr import Multiaddr

    from libp2p.abc import IHost
    from libp2p.bitswap.serve.server import ServerOptions
    from libp2p.ipfs_lite.local import LocalParts
    from libp2p.ipfs_lite.routing import Call
    from libp2p.resources import Resources

#: Routers of one peer: each is asked for every block that no connected peer has.
MAX_ROUTERS: Final = 16

#: What the DHT is called in errors and reports.
DHT_NAME: Final = "DHT"


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a peer takes part in the network; None is what the settings say. See `Peer.open`."""

    listen: Sequence[Multiaddr]
    server_options: ServerOptions | None
    bootstrap: Sequence[object] | None
    dht: str | None
    routers: Mapping[str, object] | None


def options_of(
    listen: object,
    server_options: ServerOptions | None,
    bootstrap: Iterable[object] | None,
    dht: str | None,
    routers: object,
) -> NetworkOptions:
    """
    Check the options.

    :raises ValueError: or `TypeError`, if one of them cannot be.
    """
    addresses = to_multiaddrs(listen, "listen")
    peers = None if bootstrap is None else check_bootstrap(bootstrap)
    if dht is not None:
        check_dht(dht)
    named = None if routers is None else named_routers(routers)
    return NetworkOptions(addresses, server_options, peers, dht, named)


def named_routers(routers: object) -> dict[str, object]:
    """
    Name the routers that a program gives: objects, or URLs of delegated routers, or a mapping.

    :raises ValueError: or `TypeError`, if one is none.
    """
    expected = "routers, or URLs of delegated routers; in a list, or by names"
    if isinstance(routers, Mapping):
        named = dict(routers)
    else:
        named = {}
        several = [routers] if isinstance(routers, str) else routers
        for router in arguments.listed(several, "routers", expected):
            name = router if isinstance(router, str) else type(router).__name__
            number = sum(each == name or each.startswith(f"{name} ") for each in named)
            named[f"{name} {number + 1}" if number else name] = router
    if len(named) > MAX_ROUTERS:
        raise arguments.out_of_range("len(routers)", len(named), f"{MAX_ROUTERS} or less")
    for name, router in named.items():
        if not isinstance(name, str) or name == DHT_NAME:
            raise arguments.out_of_range("the name of a router", name, f"a text, not {DHT_NAME!r}")
        if isinstance(router, str):
            check_router_url(router)
    ParallelRouter({name: each for name, each in named.items() if not isinstance(each, str)})
    return named


@dataclass(frozen=True, slots=True)
class Network:
    """What runs of it."""

    bitswap: BitswapClient
    routers: RouterTable
    names: NameService
    bootstrap: Bootstrap

    @property
    def host(self) -> IHost:
        return self.bitswap.host

    def routing(self, call: Call) -> PeerRouting:
        """Return the routers as the program asks them."""
        return PeerRouting(self.routers, call)

    def named(self, call: Call) -> PeerNames:
        """Return the names as the program publishes and resolves them."""
        return PeerNames(self.names, call)

    @property
    def resources(self) -> Resources:
        resources: Resources = self.host.resources  # type: ignore[attr-defined]  # a BasicHost
        return resources


@asynccontextmanager
async def run(options: NetworkOptions, parts: LocalParts) -> AsyncIterator[Network]:
    """
    Run the network of a peer for the length of the block.

    :raises OpenConnectionError: if an address cannot be listened on.
    """
    key, config = parts.private_key, parts.config
    host = new_host(key_pair=None if key is None else KeyPair(key, key.get_public_key()))
    peers = check_bootstrap(config.bootstrap if options.bootstrap is None else options.bootstrap)
    routers = named_routers(config.routers) if options.routers is None else dict(options.routers)
    bootstrap = Bootstrap(host, peers)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(host.run([]))
        table = RouterTable(routers, {}, None)
        await stack.enter_async_context(table.run())
        bitswap = BitswapClient(
            host,
            parts.store,
            provider_query_manager=ProviderQueryManager(table) if table.names else None,
            server_options=options.server_options,
        )
        await stack.enter_async_context(bitswap.run())
        # Listen last: a peer that connects asks once for the protocols, and remembers them.
        await host.get_network().listen(*options.listen)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(bootstrap.run)
        names = _names_of(parts, table, host)
        await stack.enter_async_context(names.run())
        yield Network(bitswap, table, names, bootstrap)
        nursery.cancel_scope.cancel()


def _names_of(parts: LocalParts, table: RouterTable, host: IHost) -> NameService:
    own = host.get_private_key()
    keys = OwnKey(own) if parts.repo is None else Keystore(parts.repo.path, own)
    return NameService(
        table.router if table.names else None,
        MemoryDatastore() if parts.datastore is None else parts.datastore,
        keys,
    )
