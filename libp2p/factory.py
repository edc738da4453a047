"""
The composition root: puts the parts together into swarms and hosts.

Its names are re-exported by `libp2p`; nothing else in the library imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack, cast

from libp2p.abc import IPeerStore, TMuxerOptions, TSecurityOptions
from libp2p.base_types import TProtocol
from libp2p.crypto.ed25519 import create_new_key_pair as create_new_ed25519_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.keystore import FileSystemKeyStore
from libp2p.dns.resolver import Resolver
from libp2p.exceptions import InvalidArgument, WrongArgumentType
from libp2p.host.basic_host import BasicHost
from libp2p.host.routed_host import RoutedHost
from libp2p.network.config import ConnectionConfig, RetryConfig, SwarmConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.handshake import HandshakeTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.pnet.key import read_key
from libp2p.security.pnet.xsalsa20 import NONCE_BYTES, XSalsa20
from libp2p.security.tls.transport import PROTOCOL_ID as TLS_PROTOCOL_ID
from libp2p.security.tls.transport import TLSTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.abc import RawTransport, Transport
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.host.addresses import AddrsFactory
    from libp2p.network.connection_gate import ConnectionGater
    from libp2p.rcmgr.manager import ResourceManager
    from libp2p.resources import Resources
    from libp2p.routing.abc import PeerRouter
    from libp2p.stream_muxer.yamux.config import YamuxConfig

MUXER_YAMUX: Final = "YAMUX"
MUXER_MPLEX: Final = "MPLEX"
DEFAULT_MUXER: Final = MUXER_YAMUX

_MPLEX_GONE: Final = (
    "mplex is deprecated by the libp2p specifications and not implemented: use yamux"
)


class EffectiveOptions(TypedDict, total=False):
    """Options that have an effect."""

    key_pair: KeyPair | None
    key_pair_provider: Callable[[], KeyPair] | None
    keystore: FileSystemKeyStore | None  # has the key under ``identity_name``
    identity_name: str
    auto_persist: bool | None  # keep a new key in the keystore; it is, unless this is False
    muxer_opt: TMuxerOptions | None
    sec_opt: TSecurityOptions | None
    peerstore_opt: IPeerStore | None
    muxer_preference: Literal["YAMUX", "MPLEX"] | None
    connection_config: SwarmConfig | None
    transports: Sequence[RawTransport | Transport] | None  # in place of TCP
    listen_addrs: Sequence[Multiaddr] | None  # besides those that `host.run` is given
    enable_tcp: bool
    negotiate_timeout: float
    announce_addrs: Sequence[Multiaddr | str] | None  # told to others, not those listened on
    addrs_factory: AddrsFactory | None  # makes what is told of what would be told
    disable_identify_address_discovery: bool  # believe no peer where this host is seen
    bootstrap: Sequence[object] | str | None  # the first peers: libp2p.discovery.bootstrap.sources
    bootstrap_allow_ipv6: bool  # py-libp2p's: IPv6 is always allowed
    bootstrap_dns_timeout: float  # py-libp2p's, as the next: see DnsConfig
    bootstrap_dns_max_retries: int
    connection_gater: ConnectionGater | None  # says whom to connect to: network.connection_gate
    retry_config: RetryConfig | None  # py-libp2p's: see there
    resolver: Resolver | None  # of names in addresses; with nameservers of one's own, for example
    resource_manager: ResourceManager | None  # limits, and a view of what is held
    psk: bytes | str | None  # the key of a private network: libp2p.security.pnet.key.read_key
    disc_opt: PeerRouter | None  # asked for addresses of peers: the host is a `RoutedHost`


class HostOptions(EffectiveOptions, total=False):
    """
    Options of `new_host` and `new_swarm`, by py-libp2p's names: `EffectiveOptions`, and these.

    These are what py-libp2p has and this library does not: ``None`` and ``False`` are accepted,
    anything else is an error that says so.
    """

    enable_mDNS: bool
    enable_upnp: bool
    enable_autotls: bool
    enable_metrics: bool
    enable_quic: bool
    enable_webrtc: bool
    enable_webtransport: bool
    enable_websocket: bool
    quic_transport_opt: object
    tls_client_config: object
    tls_server_config: object
    metric_send_channel: object


#: py-libp2p's first parameters, which may be given by position.
_FIRST: Final = (
    *("key_pair", "key_pair_provider", "keystore", "identity_name", "auto_persist"),
    *("muxer_opt", "sec_opt", "peerstore_opt"),
)

_QUESTIONS: Final = (
    "intercept_peer_dial",
    "intercept_addr_dial",
    "intercept_accept",
    "intercept_secured",
    "intercept_upgraded",
)

_KINDS: Final = {
    "key_pair": KeyPair,
    "keystore": FileSystemKeyStore,
    "muxer_opt": Mapping,
    "sec_opt": Mapping,
    "peerstore_opt": IPeerStore,
    "connection_config": SwarmConfig,
    "resolver": Resolver,
}


def generate_new_ed25519_identity() -> KeyPair:
    """Return a new Ed25519 key pair: the kind to use."""
    return create_new_ed25519_key_pair()


def generate_new_rsa_identity() -> KeyPair:
    """Return a new RSA key pair, for peers from before Ed25519 was common."""
    from libp2p.crypto.rsa import create_new_key_pair

    return create_new_key_pair()


def generate_peer_id_from(key_pair: KeyPair) -> ID:
    """Return the peer id that belongs to a key pair."""
    arguments.instance(key_pair, KeyPair, "key_pair")
    return ID.from_pubkey(key_pair.public_key)


def create_yamux_muxer_option(config: YamuxConfig | None = None) -> TMuxerOptions:
    """
    Return muxer options with yamux alone.

    :param config: other limits and times than by default.
    """
    return {TProtocol(YAMUX_PROTOCOL_ID): partial(Yamux, config=config) if config else Yamux}


def create_mplex_muxer_option() -> TMuxerOptions:
    """
    Exist, so that programs that import it run.

    :raises ValueError: always: mplex is deprecated by the libp2p specifications.
    """
    raise InvalidArgument(_MPLEX_GONE)


def set_default_muxer(muxer_name: Literal["YAMUX", "MPLEX"]) -> None:
    """
    Choose the default muxer, which can only be yamux.

    :raises ValueError: for any other.
    """
    if str(muxer_name).upper() == MUXER_MPLEX:
        raise InvalidArgument(_MPLEX_GONE)
    if str(muxer_name).upper() != MUXER_YAMUX:
        raise arguments.out_of_range("muxer_name", muxer_name, MUXER_YAMUX)


def get_default_muxer() -> str:
    """Return the name of the default muxer."""
    return DEFAULT_MUXER


def get_default_muxer_options() -> TMuxerOptions:
    """Return the default muxer options."""
    return create_yamux_muxer_option()


def _name(positional: Sequence[object], options: HostOptions) -> None:
    """Put options that were given by position under their names."""
    if len(positional) > len(_FIRST):
        raise WrongArgumentType(f"options after {_FIRST[-1]} have to be given by name")
    for name, value in zip(_FIRST, positional, strict=False):
        if name in options:
            raise WrongArgumentType(f"the option {name!r} was given twice")
        cast("dict[str, object]", options)[name] = value


def _check(options: HostOptions) -> None:
    """Refuse what has no effect here, by name, instead of ignoring it."""
    for name, value in options.items():
        if name not in HostOptions.__annotations__:
            raise WrongArgumentType(f"new_host() got an unexpected option {name!r}")
        if name not in EffectiveOptions.__annotations__ and value not in (None, False):
            raise InvalidArgument(f"new_host({name}=…) is not supported by this version of libp2p")
    for name, kind in _KINDS.items():
        if (value := options.get(name)) is not None:
            arguments.instance(value, kind, name)
    for name, value in (options.get("sec_opt") or {}).items():
        arguments.having(value, ("secure_inbound", "secure_outbound"), name, "a secure transport")
    if (gater := options.get("connection_gater")) is not None:
        arguments.having(gater, _QUESTIONS, "connection_gater", "a ConnectionGater")
    if (provider := options.get("key_pair_provider")) is not None:
        arguments.function(provider, "key_pair_provider")
    _check_transports(options)
    if (preference := options.get("muxer_preference")) not in (None, MUXER_YAMUX, MUXER_MPLEX):
        raise arguments.out_of_range("muxer_preference", preference, MUXER_YAMUX)
    if options.get("muxer_preference") == MUXER_MPLEX:
        raise InvalidArgument(_MPLEX_GONE)


def _check_transports(options: HostOptions) -> None:
    if options.get("enable_tcp") is False and not options.get("transports"):
        raise InvalidArgument("without TCP there is no transport: give others as transports=")
    for transport in options.get("transports") or ():
        if not isinstance(transport, RawTransport | Transport):
            raise arguments.wrong_type("transports", transport, "a list of transports")
        if options.get("psk") is not None and not isinstance(transport, RawTransport):
            raise InvalidArgument(f"{transport!r} cannot keep to a private network (psk=…)")


def _key_pair(options: HostOptions) -> KeyPair:
    key_pair, keystore = options.get("key_pair"), options.get("keystore")
    provider = options.get("key_pair_provider")
    if sum(each is not None for each in (key_pair, provider, keystore)) > 1:
        raise InvalidArgument("give at most one of key_pair, key_pair_provider and keystore")
    if keystore is not None:
        name = options.get("identity_name", "default")
        if keystore.has(name):
            return keystore.get(name)
        key_pair = generate_new_ed25519_identity()
        if options.get("auto_persist") is not False:
            keystore.put(name, key_pair)
        return key_pair
    pair = key_pair or (provider or generate_new_ed25519_identity)()
    arguments.instance(pair, KeyPair, "key_pair, or what key_pair_provider gives,")
    return pair


def new_swarm(*positional: object, **options: Unpack[HostOptions]) -> Swarm:
    """
    Return a `Swarm`: connections and streams without protocol handlers; see `HostOptions`.

    :raises ValueError: or `TypeError`, for an option that cannot be; ``bootstrap`` is a host's.
    """
    _name(positional, options)
    _check(options)
    if options.get("bootstrap"):
        raise InvalidArgument("new_swarm(bootstrap=…) has no effect: it is for new_host")
    key_pair = _key_pair(options)
    peer_id = generate_peer_id_from(key_pair)
    peerstore = options.get("peerstore_opt") or PeerStore()
    peerstore.add_key_pair(peer_id, key_pair)
    muxers = options.get("muxer_opt") or create_yamux_muxer_option()
    # The muxer is agreed on within the handshake: a round trip less.
    security = options.get("sec_opt") or {
        TLS_PROTOCOL_ID: TLSTransport(key_pair, muxers=tuple(muxers)),
        NOISE_PROTOCOL_ID: NoiseTransport(key_pair, early_muxers=tuple(muxers)),
    }
    for secure_transport in security.values():
        if isinstance(secure_transport, HandshakeTransport):
            secure_transport.offer_muxers(tuple(muxers))
    config = options.get("connection_config") or SwarmConfig()
    if (timeout := options.get("negotiate_timeout")) is not None:
        config = replace(config, negotiate_timeout=timeout)
    if (manager := options.get("resource_manager")) is None:
        resources = config.new_resources()
    else:
        config, resources = _managed(config, manager)
    psk = options.get("psk")
    key = None if psk is None else read_key(psk)
    if key is not None:
        XSalsa20(key, bytes(NONCE_BYTES))  # raises here, not at each connection
    return Swarm(
        peer_id,
        peerstore,
        TransportUpgrader(security, muxers, resources=resources, psk=key),
        options.get("transports") or (TCP(),),
        options.get("retry_config"),
        config,
        resources=resources,
        resolver=options.get("resolver"),
        gater=options.get("connection_gater"),
    )


def _managed(config: SwarmConfig, manager: ResourceManager) -> tuple[SwarmConfig, Resources]:
    """Return the configuration and the counts of a host that keeps to a manager's limits."""
    from libp2p.rcmgr.manager import ResourceManager

    arguments.instance(manager, ResourceManager, "resource_manager")
    resources = manager.resources
    if resources.find("sockets") is not None:
        raise InvalidArgument("resource_manager: it has a host already, each needs its own")
    resources.bound("receive windows", config.receive_budget)
    most = min(config.max_connections, manager.limits.max_connections)
    return replace(config, max_connections=most), resources


def new_host(*positional: object, **options: Unpack[HostOptions]) -> BasicHost:
    """
    Return a host with a new Ed25519 identity, TCP, TLS or Noise, and yamux, unless told otherwise.

    With ``bootstrap=[…]`` it keeps itself connected to these peers and to those that its peer store
    has seen before, as `libp2p.discovery.bootstrap.Bootstrap` does. With ``disc_opt``, a router
    that knows addresses of peers, it is a `RoutedHost`.

    :raises ValueError: or `TypeError`, for an option that cannot be.

    >>> host = new_host()
    >>> host.get_id().pretty().startswith("12D3KooW")
    True
    """
    _name(positional, options)
    announce, listen = options.get("announce_addrs"), options.get("listen_addrs")
    peers = options.pop("bootstrap", None)
    swarm = new_swarm(**options)
    router = options.get("disc_opt")
    how: dict[str, Any] = {
        "announce_addrs": announce,
        "listen_addrs": listen,
        "addrs_factory": options.get("addrs_factory"),
        "disable_identify_address_discovery": bool(
            options.get("disable_identify_address_discovery")
        ),
    }
    host = BasicHost(swarm, **how) if router is None else RoutedHost(swarm, router, **how)
    config = options.get("connection_config")
    if isinstance(config, ConnectionConfig) and config.min_connections:
        from libp2p.network.auto_connector import AutoConnector

        interval, least = config.auto_connect_interval, config.min_connections
        host.add_service(AutoConnector(swarm, interval, least=least).run)
    if peers:
        from libp2p.discovery.bootstrap.keeper import Bootstrap
        from libp2p.discovery.events.peerDiscovery import peerDiscovery

        found = peerDiscovery.emit_peer_discovered
        host.set_bootstrap(Bootstrap(host, peers, on_found=found))
    return host


def _with_options(function: Callable[..., object]) -> None:
    """Let `inspect.signature` and `help` show the options by name."""
    kinds = HostOptions.__annotations__
    names = [*_FIRST, *(name for name in kinds if name not in _FIRST)]
    options = [
        Parameter(
            name,
            Parameter.POSITIONAL_OR_KEYWORD if name in _FIRST else Parameter.KEYWORD_ONLY,
            default=None,
            annotation=kinds[name],
        )
        for name in names
    ]
    function.__signature__ = Signature(options)  # type: ignore[attr-defined]


_with_options(new_swarm)
_with_options(new_host)
