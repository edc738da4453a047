"""Bitswap: blocks by their CIDs, from peers and for peers."""

from __future__ import annotations

from libp2p.bitswap.block_service import BlockService
from libp2p.bitswap.cid import (
    CID_V0,
    CID_V1,
    CODEC_DAG_PB,
    CODEC_RAW,
    CIDObject,
    cid_to_bytes,
    cid_to_text,
    compute_cid,
    compute_cid_obj,
    compute_cid_v0,
    compute_cid_v0_obj,
    compute_cid_v1,
    compute_cid_v1_obj,
    format_cid_for_display,
    get_cid_prefix,
    parse_cid,
    parse_cid_codec,
    reconstruct_cid_from_prefix_and_data,
    verify_cid,
)
from libp2p.bitswap.client import BitswapClient
from libp2p.bitswap.errors import (
    BitswapError,
    BlockNotFoundError,
    BlockTooLargeError,
    BlockUnavailableError,
    ClientClosedError,
    DenylistError,
    InvalidBlockError,
    InvalidCIDError,
    MessageTooLargeError,
    PeerAnswer,
    TimeoutError,
)
from libp2p.bitswap.extension import IBitswapExtension
from libp2p.bitswap.fetch.session import BitswapSession
from libp2p.bitswap.provider_query import ProviderQueryManager
from libp2p.bitswap.serve.filters import (
    AllOf,
    AllowList,
    DenylistFiles,
    DenylistReport,
    Remembered,
    RequestFilter,
)
from libp2p.bitswap.serve.rate_limit import BandwidthLimits
from libp2p.bitswap.serve.server import ServerOptions
from libp2p.bitswap.stats import BitswapStat
from libp2p.bitswap.tracer import BlockTracer, Tracer
from libp2p.bitswap.wantlist import BitswapMessage, BlockPresence, Wantlist, WantlistEntry
from libp2p.bitswap.wire.entry import BlockPresenceType, WantType
from libp2p.blockstore import BlockStore, FilesystemBlockStore, MemoryBlockStore
from libp2p.ipld.cid import CIDInput

__all__ = [
    # fetching and serving
    "BitswapClient",
    "BitswapSession",
    "BitswapStat",
    "BlockService",
    "BlockTracer",
    "IBitswapExtension",
    "ProviderQueryManager",
    "Tracer",
    # how blocks are served
    "AllOf",
    "AllowList",
    "BandwidthLimits",
    "DenylistFiles",
    "DenylistReport",
    "Remembered",
    "RequestFilter",
    "ServerOptions",
    # stores
    "BlockStore",
    "FilesystemBlockStore",
    "MemoryBlockStore",
    # messages
    "BitswapMessage",
    "BlockPresence",
    "BlockPresenceType",
    "WantType",
    "Wantlist",
    "WantlistEntry",
    # CIDs
    "CID_V0",
    "CID_V1",
    "CODEC_DAG_PB",
    "CODEC_RAW",
    "CIDInput",
    "CIDObject",
    "cid_to_bytes",
    "cid_to_text",
    "compute_cid",
    "compute_cid_obj",
    "compute_cid_v0",
    "compute_cid_v0_obj",
    "compute_cid_v1",
    "compute_cid_v1_obj",
    "format_cid_for_display",
    "get_cid_prefix",
    "parse_cid",
    "parse_cid_codec",
    "reconstruct_cid_from_prefix_and_data",
    "verify_cid",
    # errors
    "BitswapError",
    "BlockNotFoundError",
    "BlockTooLargeError",
    "BlockUnavailableError",
    "ClientClosedError",
    "DenylistError",
    "InvalidBlockError",
    "InvalidCIDError",
    "MessageTooLargeError",
    "PeerAnswer",
    "TimeoutError",
]
