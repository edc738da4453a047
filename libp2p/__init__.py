"""
libp2p for Python: hosts that connect, and streams between them.

``new_host()`` gives a `BasicHost` with TCP, TLS or Noise, and yamux; its life is
``async with host.run(listen_addrs=[…])``. Bitswap is in `libp2p.bitswap`, the embeddable IPFS peer
in `libp2p.ipfs_lite`.

The names are loaded when they are first used, so that who needs only content addressing, or only
keys, does not pay for the network.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

from libp2p.utils.version import __version__ as __version__

if TYPE_CHECKING:
    from libp2p.abc import IHost as IHost
    from libp2p.abc import INetworkService as INetworkService
    from libp2p.abc import IPeerRouting as IPeerRouting
    from libp2p.abc import IPeerStore as IPeerStore
    from libp2p.abc import ISecureTransport as ISecureTransport
    from libp2p.abc import ITransport as ITransport
    from libp2p.crypto.ed25519 import create_new_key_pair as create_new_ed25519_key_pair
    from libp2p.crypto.keys import KeyPair as KeyPair
    from libp2p.crypto.rsa import create_new_key_pair as create_new_rsa_key_pair
    from libp2p.factory import DEFAULT_MUXER as DEFAULT_MUXER
    from libp2p.factory import MUXER_MPLEX as MUXER_MPLEX
    from libp2p.factory import MUXER_YAMUX as MUXER_YAMUX
    from libp2p.factory import HostOptions as HostOptions
    from libp2p.factory import create_mplex_muxer_option as create_mplex_muxer_option
    from libp2p.factory import create_yamux_muxer_option as create_yamux_muxer_option
    from libp2p.factory import generate_new_ed25519_identity as generate_new_ed25519_identity
    from libp2p.factory import generate_new_rsa_identity as generate_new_rsa_identity
    from libp2p.factory import generate_peer_id_from as generate_peer_id_from
    from libp2p.factory import get_default_muxer as get_default_muxer
    from libp2p.factory import get_default_muxer_options as get_default_muxer_options
    from libp2p.factory import new_host as new_host
    from libp2p.factory import new_swarm as new_swarm
    from libp2p.factory import set_default_muxer as set_default_muxer
    from libp2p.host.basic_host import BasicHost as BasicHost
    from libp2p.network.config import ConnectionConfig as ConnectionConfig
    from libp2p.network.swarm import Swarm as Swarm
    from libp2p.peer.id import ID as ID
    from libp2p.peer.peerstore import PeerStore as PeerStore
    from libp2p.security.noise.transport import Transport as NoiseTransport
    from libp2p.security.tls.transport import TLSTransport as TLSTransport
    from libp2p.stream_muxer.yamux.yamux import Yamux as Yamux
    from libp2p.transport.memory.memory import MemoryTransport as MemoryTransport
    from libp2p.transport.tcp.tcp import TCP as TCP
    from libp2p.transport.upgrader import TransportUpgrader as TransportUpgrader

# A library says nothing on its own; docs/logging.rst says how to listen.
logging.getLogger("libp2p").addHandler(logging.NullHandler())

#: Where each public name lives: the module, and its name there.
_HOMES: Final = {
    **dict.fromkeys(
        (
            "DEFAULT_MUXER",
            "HostOptions",
            "MUXER_MPLEX",
            "MUXER_YAMUX",
            "create_mplex_muxer_option",
            "create_yamux_muxer_option",
            "generate_new_ed25519_identity",
            "generate_new_rsa_identity",
            "generate_peer_id_from",
            "get_default_muxer",
            "get_default_muxer_options",
            "new_host",
            "new_swarm",
            "set_default_muxer",
        ),
        ("libp2p.factory", ""),
    ),
    **dict.fromkeys(
        (
            "IHost",
            "INetworkService",
            "IPeerRouting",
            "IPeerStore",
            "ISecureTransport",
            "ITransport",
        ),
        ("libp2p.abc", ""),
    ),
    "BasicHost": ("libp2p.host.basic_host", ""),
    "ConnectionConfig": ("libp2p.network.config", ""),
    "ID": ("libp2p.peer.id", ""),
    "KeyPair": ("libp2p.crypto.keys", ""),
    "MemoryTransport": ("libp2p.transport.memory.memory", ""),
    "NoiseTransport": ("libp2p.security.noise.transport", "Transport"),
    "PeerStore": ("libp2p.peer.peerstore", ""),
    "Swarm": ("libp2p.network.swarm", ""),
    "TLSTransport": ("libp2p.security.tls.transport", ""),
    "TCP": ("libp2p.transport.tcp.tcp", ""),
    "TransportUpgrader": ("libp2p.transport.upgrader", ""),
    "Yamux": ("libp2p.stream_muxer.yamux.yamux", ""),
    "create_new_ed25519_key_pair": ("libp2p.crypto.ed25519", "create_new_key_pair"),
    "create_new_rsa_key_pair": ("libp2p.crypto.rsa", "create_new_key_pair"),
}

__all__ = [
    "BasicHost",
    "ConnectionConfig",
    "DEFAULT_MUXER",
    "HostOptions",
    "ID",
    "IHost",
    "INetworkService",
    "IPeerRouting",
    "IPeerStore",
    "ISecureTransport",
    "ITransport",
    "KeyPair",
    "MUXER_MPLEX",
    "MUXER_YAMUX",
    "MemoryTransport",
    "NoiseTransport",
    "PeerStore",
    "Swarm",
    "TCP",
    "TLSTransport",
    "TransportUpgrader",
    "Yamux",
    "create_mplex_muxer_option",
    "create_new_ed25519_key_pair",
    "create_new_rsa_key_pair",
    "create_yamux_muxer_option",
    "generate_new_ed25519_identity",
    "generate_new_rsa_identity",
    "generate_peer_id_from",
    "get_default_muxer",
    "get_default_muxer_options",
    "new_host",
    "new_swarm",
    "set_default_muxer",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'libp2p' has no attribute {name!r}")
    module, original = _HOMES[name]
    value = getattr(import_module(module), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
