"""
The parts of a peer that need a network: the host, bitswap, the DHT, other routers, the first peers.

The module is loaded when a peer with a network is opened. The parts run for the length of a block.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict

import trio
from multiaddr import Multiaddr

from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.config import DEFAULT_CONFIG
from libp2p.bitswap.provider_query import ProviderQueryManager
from libp2p.bitswap.serve.rate_limit import BandwidthLimits
from libp2p.bitswap.serve.server import ServerOptions
from libp2p.crypto.keys import KeyPair
from libp2p.datastore import MemoryDatastore
from libp2p.discovery.bootstrap.keeper import Bootstrap
from libp2p.discovery.bootstrap.sources import read_sources
from libp2p.discovery.peering.keeper import Peering, peers_to_keep
from libp2p.exceptions import BlockStoreError, InvalidArgument, WrongArgumentType
from libp2p.factory import new_host
from libp2p.host.basic_host import BasicHost
from libp2p.ipfs_lite.announcements import Announcements, announcing
from libp2p.ipfs_lite.config import DHT_NAME, NO_STRATEGY, check_dht, check_router_url
from libp2p.ipfs_lite.keystore import Keystore
from libp2p.ipfs_lite.naming import NameService, OwnKey, PeerNames
from libp2p.ipfs_lite.reaching import connect
from libp2p.ipfs_lite.routing import PatientRouter, PeerRouting, RouterTable
from libp2p.kad_dht.dual import DualDHT
from libp2p.kad_dht.mode import DHTMode
from libp2p.peer.addresses import to_multiaddrs
from libp2p.peer.peerstore import PeerStore
from libp2p.peer.persistent.peerstore import PersistentPeerStore
from libp2p.provide.errors import ProvideError
from libp2p.records.ipns import IPNSValidator
from libp2p.records.pubkey import PublicKeyValidator
from libp2p.records.validator import NamespacedValidator
from libp2p.routing.parallel import ParallelRouter
from libp2p.security.pnet.key import read_key
from libp2p.utils import arguments
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.logs import get_logger

if TYPE_CHECKING:
    from libp2p.abc import IHost, TMuxerOptions, TSecurityOptions
    from libp2p.bitswap.config import BitswapConfig
    from libp2p.bitswap.tracer import Tracer
    from libp2p.dns.resolver import Resolver
    from libp2p.ipfs_lite.config import Config
    from libp2p.ipfs_lite.local import LocalParts
    from libp2p.ipfs_lite.operations import Call
    from libp2p.network.config import SwarmConfig
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.resources import Resources
    from libp2p.transport.abc import RawTransport, Transport

#: Routers of one peer: each is asked for every block that no connected peer has.
MAX_ROUTERS: Final = 16

#: Seconds in which the first connected peer should say which protocols it speaks. It usually takes
#: a round trip.
IDENTIFY_SECONDS: Final = 5.0

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a peer takes part in the network; None is what the settings say. See `Peer.open`."""

    listen: Sequence[Multiaddr]
    server_options: ServerOptions | None
    bootstrap: Sequence[object] | None
    dht: str | None
    routers: Mapping[str, object] | None
    provide: bool
    psk: bytes | None
    peering: Sequence[object] | None
    knobs: NetworkKnobs


class NetworkKnobs(TypedDict, total=False):
    """
    What a peer's parts take, given to `Peer.open` by name; those of the host as in `new_host`.

    ``host`` is a host of the program's, already running, in place of one of the peer's own; then
    there are no other options of a host. ``bandwidth`` limits what is sent, as in `ServerOptions`;
    ``tracer`` is told of every bitswap message; ``bitswap_config`` has its limits and times.
    """

    host: BasicHost
    announce_addrs: Sequence[Multiaddr | str]
    sec_opt: TSecurityOptions
    muxer_opt: TMuxerOptions
    connection_config: SwarmConfig
    transports: Sequence[RawTransport | Transport]
    negotiate_timeout: float
    resolver: Resolver
    bandwidth: BandwidthLimits
    tracer: Tracer
    bitswap_config: BitswapConfig


_HOST_KNOBS: Final = (
    "announce_addrs", "sec_opt", "muxer_opt", "connection_config", "transports",
    "negotiate_timeout", "resolver",
)  # fmt: skip


def options_of(  # noqa: PLR0913, PLR0917 - the options of `Peer.open`, checked
    listen: object,
    server_options: ServerOptions | None,
    bootstrap: object,
    dht: str | None,
    routers: object,
    provide: bool,
    psk: bytes | str | None,
    peering: object,
    knobs: NetworkKnobs,
) -> NetworkOptions:
    """
    Check the options.

    :raises ValueError: or `TypeError`, if one of them cannot be.
    """
    addresses = to_multiaddrs(listen, "listen")
    peers: Sequence[object] | None = None
    if bootstrap is not None:
        read_sources(bootstrap)
        peers = [bootstrap]
        if isinstance(bootstrap, Iterable) and not isinstance(bootstrap, str | Multiaddr):
            peers = list(bootstrap)
    if dht is not None:
        check_dht(dht)
    named = None if routers is None else named_routers(routers)
    arguments.instance(provide, bool, "provide")
    key = None if psk is None else read_key(psk)
    _check_knobs(knobs, addresses, server_options, key)
    if server_options is not None:
        arguments.instance(server_options, ServerOptions, "server_options")
    if "bandwidth" in knobs:
        server_options = replace(server_options or ServerOptions(), bandwidth=knobs["bandwidth"])
    kept = None if peering is None else peers_to_keep(peering)
    return NetworkOptions(addresses, server_options, peers, dht, named, provide, key, kept, knobs)


def _check_knobs(
    knobs: NetworkKnobs,
    addresses: Sequence[Multiaddr],
    server_options: ServerOptions | None,
    psk: bytes | None,
) -> None:
    for name in knobs:
        if name not in NetworkKnobs.__annotations__:
            raise WrongArgumentType(f"Peer.open() got an unexpected option {name!r}")
    if "bandwidth" in knobs:
        arguments.instance(knobs["bandwidth"], BandwidthLimits, "bandwidth")
        if server_options is not None and server_options.bandwidth is not None:
            raise InvalidArgument("bandwidth is given twice: it is in server_options too")
    if "tracer" in knobs:
        arguments.having(
            knobs["tracer"], ("message_sent", "message_received"), "tracer", "a Tracer"
        )
    if "host" in knobs:
        arguments.instance(knobs["host"], BasicHost, "host")
        others: list[str] = [name for name in _HOST_KNOBS if name in knobs]
        others += ["listen"] * bool(addresses) + ["psk"] * (psk is not None)
        if others:
            raise InvalidArgument(f"{others[0]} has no effect beside host: give it to new_host")


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
    """The parts of a peer that run while it has a network."""

    bitswap: BitswapClient
    routers: RouterTable
    names: NameService
    bootstrap: Bootstrap
    dht: DualDHT | None
    """None if the peer has no part in it."""
    announcements: Announcements | None
    peering: Peering

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
    config, datastore = parts.config, parts.datastore
    host = options.knobs.get("host")
    async with AsyncExitStack() as stack:
        if host is None:
            host = await _new_host(parts, options)
            await stack.enter_async_context(host.run([]))
        first = _first_peers(options, config)
        bootstrap = Bootstrap(host, first)
        dht = None
        mode = options.dht or config.dht
        if mode == "auto" and not options.listen:
            mode = "client"  # nobody can reach this peer
        if mode != "off":
            dht = DualDHT.of_host(host, DHTMode[mode.upper()], datastore=datastore)
            await stack.enter_async_context(dht.run())
        routers = await _run_routers(options, config, stack)
        kept = config.peering if options.peering is None else options.peering
        table = _table_of(routers, dht, host, bootstrap)
        await stack.enter_async_context(table.run())
        peering = Peering(host, kept, partial(connect, host, PeerRouting(table, nullcontext)))
        acquaintances = _Acquaintances(host, bootstrap, peering) if first or kept else None
        finder = table if table.names else acquaintances
        bitswap = BitswapClient(
            host,
            parts.store,
            provider_query_manager=None if finder is None else ProviderQueryManager(finder),
            server_options=options.server_options,
            tracer=options.knobs.get("tracer"),
            config=options.knobs.get("bitswap_config", DEFAULT_CONFIG),
        )
        await stack.enter_async_context(bitswap.run())
        # Listen last: a peer that connects asks once for the protocols, and remembers them.
        await host.get_network().listen(*options.listen)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(bootstrap.run)
        nursery.start_soon(peering.run)
        names = _names_of(parts, table, host, "host" not in options.knobs)
        await stack.enter_async_context(names.run())
        announcements = None
        if options.provide and config.provide != NO_STRATEGY:
            router = table.router if dht is None else dht
            announcements = await stack.enter_async_context(announcing(parts, router, host))
        if parts.neighbours is not None:
            look = partial(_look, bitswap, announcements, FaultLog())
            nursery.start_soon(parts.neighbours.listen, look)
        yield Network(bitswap, table, names, bootstrap, dht, announcements, peering)
        nursery.cancel_scope.cancel()


async def _look(bitswap: BitswapClient, announced: Announcements | None, faults: FaultLog) -> None:
    """Serve and announce what other processes of the repo have stored and pinned."""
    try:
        await bitswap.look_for_blocks()
        if announced is not None:
            await announced.add_pins()
    except (BlockStoreError, ProvideError) as error:
        faults.note("what other processes have stored", error)


def _names_of(
    parts: LocalParts, table: RouterTable, host: BasicHost, has_own_host: bool
) -> NameService:
    own = parts.private_key
    if own is None or not has_own_host:
        own = host.get_private_key()
    keys = OwnKey(own) if parts.repo is None else Keystore(parts.repo.path, own)
    return NameService(
        table.router if table.names else None,
        MemoryDatastore() if parts.datastore is None else parts.datastore,
        keys,
        host.get_network().resolver,
    )


async def _new_host(parts: LocalParts, options: NetworkOptions) -> BasicHost:
    key, psk = parts.private_key, options.psk
    if not parts.has_identity:
        key = None
        logger.info("another process is online with the repo's key: this one has a key of its own")
    pair = None if key is None else KeyPair(key, key.get_public_key())
    store = PeerStore() if parts.datastore is None else PersistentPeerStore(parts.datastore)
    if psk is None and parts.repo is not None:
        psk = await trio.to_thread.run_sync(parts.repo.swarm_key)
    knobs: Any = {name: one for name, one in options.knobs.items() if name in _HOST_KNOBS}
    host = new_host(key_pair=pair, peerstore_opt=store, psk=psk, **knobs)
    assert isinstance(host, BasicHost)
    return host


def _first_peers(options: NetworkOptions, config: Config) -> Sequence[object] | None:
    """Return the peers to meet first, beside those seen before; [] is nobody at all."""
    if options.bootstrap is not None:
        return options.bootstrap
    return config.bootstrap or None


async def _until_somebody_is_known(host: BasicHost, bootstrap: Bootstrap) -> None:
    """Wait until a peer has said what it speaks, or until it is clear that nobody will."""
    await bootstrap.until_met()
    connections = host.get_network().get_connections()
    if any(connection.event_identified.is_set() for connection in connections):
        return
    with trio.move_on_after(IDENTIFY_SECONDS):
        for connection in connections:
            await connection.event_identified.wait()
            return


class _Acquaintances:
    """
    The peers that a peer connects to by its settings, as a router that knows no providers.

    A block that is asked for while they are being connected to may be with one of them. A DHT waits
    for bootstrap peers alone: peering asks it where its peers are.
    """

    def __init__(self, host: BasicHost, bootstrap: Bootstrap, peering: Peering) -> None:
        self._network = host.get_network()
        self._meetings = (partial(_until_somebody_is_known, host, bootstrap), peering.until_met)

    async def find_provider_iter(self, cid: bytes, count: int) -> AsyncIterator[PeerInfo]:
        """See `ContentRouter`."""
        async with trio.open_nursery() as nursery:
            for meeting in self._meetings:
                nursery.start_soon(self._meet, meeting, nursery.cancel_scope)
        nobody: tuple[PeerInfo, ...] = ()
        for info in nobody:
            yield info

    async def _meet(self, meeting: Callable[[], Awaitable[None]], both: trio.CancelScope) -> None:
        await meeting()
        if self._network.get_connections():
            both.cancel()


async def _run_routers(
    options: NetworkOptions, config: Config, stack: AsyncExitStack
) -> dict[str, object]:
    """Return the routers by name; those that are URLs run for as long as the peer does."""
    named = named_routers(config.routers) if options.routers is None else options.routers
    routers: dict[str, object] = {}
    for name, router in named.items():
        if isinstance(router, str):
            from libp2p.routing.http_client import HttpRouter

            routers[name] = await stack.enter_async_context(HttpRouter(router).run())
        else:
            routers[name] = router
    return routers


def _table_of(
    routers: Mapping[str, object], dht: DualDHT | None, host: BasicHost, bootstrap: Bootstrap
) -> RouterTable:
    validator = NamespacedValidator({"pk": PublicKeyValidator(), "ipns": IPNSValidator()})
    if dht is None:
        return RouterTable(routers, {}, validator)

    def about() -> str:
        peers = len(dht.wan.table) + len(dht.lan.table)
        return f"of {peers} peers that this one knows" if peers else "this peer knows none of it"

    patient = PatientRouter(dht, partial(_until_somebody_is_known, host, bootstrap))
    return RouterTable({DHT_NAME: patient, **routers}, {DHT_NAME: about}, validator)
