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
from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names
from libp2p.utils.version import __version__ as __version__

if TYPE_CHECKING:
    from libp2p.abc import IHost as IHost
    from libp2p.abc import INetworkService as INetworkService
    from libp2p.abc import IPeerRouting as IPeerRouting
    from libp2p.abc import IPeerStore as IPeerStore
    from libp2p.abc import ISecureTransport as ISecureTransport
    from libp2p.abc import ITransport as ITransport
    from libp2p.crypto import ed25519, rsa, x25519
    from libp2p.crypto.ed25519 import Ed25519PrivateKey as Ed25519PrivateKey
    from libp2p.crypto.keys import KeyPair as KeyPair
    from libp2p.crypto.keystore import FileSystemKeyStore as FileSystemKeyStore
    from libp2p.crypto.keystore import create_identity_from_seed as create_identity_from_seed
    from libp2p.crypto.keystore import identity_exists as identity_exists
    from libp2p.crypto.keystore import load_identity as load_identity
    from libp2p.crypto.keystore import load_keypair as load_keypair
    from libp2p.crypto.keystore import provider_from_keystore as provider_from_keystore
    from libp2p.crypto.keystore import provider_from_path as provider_from_path
    from libp2p.crypto.keystore import provider_new_ed25519 as provider_new_ed25519
    from libp2p.crypto.keystore import save_identity as save_identity
    from libp2p.crypto.keystore import save_keypair as save_keypair
    from libp2p.custom_types import TMuxerOptions as TMuxerOptions
    from libp2p.custom_types import TProtocol as TProtocol
    from libp2p.custom_types import TSecurityOptions as TSecurityOptions
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
    from libp2p.host.addresses import AddrsFactory as AddrsFactory
    from libp2p.host.basic_host import BasicHost as BasicHost
    from libp2p.host.routed_host import RoutedHost as RoutedHost
    from libp2p.network.config import ConnectionConfig as ConnectionConfig
    from libp2p.network.config import RetryConfig as RetryConfig
    from libp2p.network.config import SwarmConfig as SwarmConfig
    from libp2p.network.swarm import Swarm as Swarm
    from libp2p.peer.id import ID as ID
    from libp2p.peer.peerstore import PeerStore as PeerStore
    from libp2p.peer.peerstore import create_signed_peer_record as create_signed_peer_record
    from libp2p.peer.persistent.factory import (
        create_async_leveldb_peerstore as create_async_leveldb_peerstore,
    )
    from libp2p.peer.persistent.factory import (
        create_async_memory_peerstore as create_async_memory_peerstore,
    )
    from libp2p.peer.persistent.factory import create_async_peerstore as create_async_peerstore
    from libp2p.peer.persistent.factory import (
        create_async_rocksdb_peerstore as create_async_rocksdb_peerstore,
    )
    from libp2p.peer.persistent.factory import (
        create_async_sqlite_peerstore as create_async_sqlite_peerstore,
    )
    from libp2p.peer.persistent.factory import (
        create_sync_leveldb_peerstore as create_sync_leveldb_peerstore,
    )
    from libp2p.peer.persistent.factory import (
        create_sync_memory_peerstore as create_sync_memory_peerstore,
    )
    from libp2p.peer.persistent.factory import create_sync_peerstore as create_sync_peerstore
    from libp2p.peer.persistent.factory import (
        create_sync_rocksdb_peerstore as create_sync_rocksdb_peerstore,
    )
    from libp2p.peer.persistent.factory import (
        create_sync_sqlite_peerstore as create_sync_sqlite_peerstore,
    )
    from libp2p.rcmgr.manager import ResourceManager as ResourceManager
    from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID as PLAINTEXT_PROTOCOL_ID
    from libp2p.security.insecure.transport import InsecureTransport as InsecureTransport
    from libp2p.security.noise import transport as noise_transport
    from libp2p.security.tls import transport as tls_transport
    from libp2p.security.tls.transport import TLSTransport as TLSTransport
    from libp2p.stream_muxer.yamux import yamux as yamux_muxer
    from libp2p.stream_muxer.yamux.yamux import Yamux as Yamux
    from libp2p.transport.memory.memory import MemoryTransport as MemoryTransport
    from libp2p.transport.tcp.tcp import TCP as TCP
    from libp2p.transport.upgrader import TransportUpgrader as TransportUpgrader
    from libp2p.utils.logging import setup_logging as setup_logging

    NoiseTransport = noise_transport.Transport
    create_new_ed25519_key_pair = ed25519.create_new_key_pair
    create_new_rsa_key_pair = rsa.create_new_key_pair
    create_new_x25519_key_pair = x25519.create_new_key_pair
    NOISE_PROTOCOL_ID = noise_transport.PROTOCOL_ID
    TLS_PROTOCOL_ID = tls_transport.PROTOCOL_ID
    YAMUX_PROTOCOL_ID = yamux_muxer.PROTOCOL_ID

# A library says nothing on its own; docs/logging.rst says how to listen.
logging.getLogger("libp2p").addHandler(logging.NullHandler())

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".abc": [
                "IHost",
                "INetworkService",
                "IPeerRouting",
                "IPeerStore",
                "ISecureTransport",
                "ITransport",
            ],
            ".crypto.ed25519": [
                "Ed25519PrivateKey",
                "create_new_key_pair as create_new_ed25519_key_pair",
            ],
            ".crypto.keys": ["KeyPair"],
            ".crypto.keystore": [
                "FileSystemKeyStore",
                "create_identity_from_seed",
                "identity_exists",
                "load_identity",
                "load_keypair",
                "provider_from_keystore",
                "provider_from_path",
                "provider_new_ed25519",
                "save_identity",
                "save_keypair",
            ],
            ".crypto.rsa": ["create_new_key_pair as create_new_rsa_key_pair"],
            ".crypto.x25519": ["create_new_key_pair as create_new_x25519_key_pair"],
            ".custom_types": ["TMuxerOptions", "TProtocol", "TSecurityOptions"],
            ".factory": [
                "DEFAULT_MUXER",
                "MUXER_MPLEX",
                "MUXER_YAMUX",
                "HostOptions",
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
            ],
            ".host.addresses": ["AddrsFactory"],
            ".host.basic_host": ["BasicHost"],
            ".host.routed_host": ["RoutedHost"],
            ".network.config": ["ConnectionConfig", "RetryConfig", "SwarmConfig"],
            ".network.swarm": ["Swarm"],
            ".peer.id": ["ID"],
            ".peer.peerstore": ["PeerStore", "create_signed_peer_record"],
            ".peer.persistent.factory": [
                "create_async_leveldb_peerstore",
                "create_async_memory_peerstore",
                "create_async_peerstore",
                "create_async_rocksdb_peerstore",
                "create_async_sqlite_peerstore",
                "create_sync_leveldb_peerstore",
                "create_sync_memory_peerstore",
                "create_sync_peerstore",
                "create_sync_rocksdb_peerstore",
                "create_sync_sqlite_peerstore",
            ],
            ".rcmgr.manager": ["ResourceManager"],
            ".security.insecure.transport": ["PLAINTEXT_PROTOCOL_ID", "InsecureTransport"],
            ".security.noise.transport": [
                "PROTOCOL_ID as NOISE_PROTOCOL_ID",
                "Transport as NoiseTransport",
            ],
            ".security.tls.transport": ["PROTOCOL_ID as TLS_PROTOCOL_ID", "TLSTransport"],
            ".stream_muxer.yamux.yamux": ["PROTOCOL_ID as YAMUX_PROTOCOL_ID", "Yamux"],
            ".transport.memory.memory": ["MemoryTransport"],
            ".transport.tcp.tcp": ["TCP"],
            ".transport.upgrader": ["TransportUpgrader"],
            ".utils.logging": ["setup_logging"],
        },
    )
