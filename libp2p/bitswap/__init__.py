"""Bitswap: blocks by their CIDs, from peers and for peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.bitswap.block_service import BlockService as BlockService
    from libp2p.bitswap.cid import CID_V0 as CID_V0
    from libp2p.bitswap.cid import CID_V1 as CID_V1
    from libp2p.bitswap.cid import CODEC_DAG_PB as CODEC_DAG_PB
    from libp2p.bitswap.cid import CODEC_RAW as CODEC_RAW
    from libp2p.bitswap.cid import CIDObject as CIDObject
    from libp2p.bitswap.cid import cid_to_bytes as cid_to_bytes
    from libp2p.bitswap.cid import cid_to_text as cid_to_text
    from libp2p.bitswap.cid import compute_cid as compute_cid
    from libp2p.bitswap.cid import compute_cid_obj as compute_cid_obj
    from libp2p.bitswap.cid import compute_cid_v0 as compute_cid_v0
    from libp2p.bitswap.cid import compute_cid_v0_obj as compute_cid_v0_obj
    from libp2p.bitswap.cid import compute_cid_v1 as compute_cid_v1
    from libp2p.bitswap.cid import compute_cid_v1_obj as compute_cid_v1_obj
    from libp2p.bitswap.cid import format_cid_for_display as format_cid_for_display
    from libp2p.bitswap.cid import get_cid_prefix as get_cid_prefix
    from libp2p.bitswap.cid import parse_cid as parse_cid
    from libp2p.bitswap.cid import parse_cid_codec as parse_cid_codec
    from libp2p.bitswap.cid import (
        reconstruct_cid_from_prefix_and_data as reconstruct_cid_from_prefix_and_data,
    )
    from libp2p.bitswap.cid import verify_cid as verify_cid
    from libp2p.bitswap.client import BitswapClient as BitswapClient
    from libp2p.bitswap.config import BitswapConfig as BitswapConfig
    from libp2p.bitswap.errors import BitswapError as BitswapError
    from libp2p.bitswap.errors import BlockNotFoundError as BlockNotFoundError
    from libp2p.bitswap.errors import BlockTimeoutError as BlockTimeoutError
    from libp2p.bitswap.errors import BlockTooLargeError as BlockTooLargeError
    from libp2p.bitswap.errors import BlockUnavailableError as BlockUnavailableError
    from libp2p.bitswap.errors import ClientClosedError as ClientClosedError
    from libp2p.bitswap.errors import DenylistError as DenylistError
    from libp2p.bitswap.errors import InvalidBlockError as InvalidBlockError
    from libp2p.bitswap.errors import InvalidCIDError as InvalidCIDError
    from libp2p.bitswap.errors import MessageTooLargeError as MessageTooLargeError
    from libp2p.bitswap.errors import PeerAnswer as PeerAnswer
    from libp2p.bitswap.errors import TimeoutError as TimeoutError
    from libp2p.bitswap.extension import IBitswapExtension as IBitswapExtension
    from libp2p.bitswap.fetch.session import BitswapSession as BitswapSession
    from libp2p.bitswap.provider_query import ProviderQueryManager as ProviderQueryManager
    from libp2p.bitswap.serve.filters import AllOf as AllOf
    from libp2p.bitswap.serve.filters import AllowList as AllowList
    from libp2p.bitswap.serve.filters import DenylistFiles as DenylistFiles
    from libp2p.bitswap.serve.filters import DenylistReport as DenylistReport
    from libp2p.bitswap.serve.filters import Remembered as Remembered
    from libp2p.bitswap.serve.filters import RequestFilter as RequestFilter
    from libp2p.bitswap.serve.rate_limit import BandwidthLimits as BandwidthLimits
    from libp2p.bitswap.serve.server import ServerLimits as ServerLimits
    from libp2p.bitswap.serve.server import ServerOptions as ServerOptions
    from libp2p.bitswap.stats import BitswapStat as BitswapStat
    from libp2p.bitswap.tracer import BlockTracer as BlockTracer
    from libp2p.bitswap.tracer import Tracer as Tracer
    from libp2p.bitswap.wantlist import BitswapMessage as BitswapMessage
    from libp2p.bitswap.wantlist import BlockPresence as BlockPresence
    from libp2p.bitswap.wantlist import Wantlist as Wantlist
    from libp2p.bitswap.wantlist import WantlistEntry as WantlistEntry
    from libp2p.bitswap.wire.entry import BlockPresenceType as BlockPresenceType
    from libp2p.bitswap.wire.entry import WantType as WantType
    from libp2p.blockstore import BlockStore as BlockStore
    from libp2p.blockstore import FilesystemBlockStore as FilesystemBlockStore
    from libp2p.blockstore import MemoryBlockStore as MemoryBlockStore
    from libp2p.ipld.cid import CIDInput as CIDInput

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            ".block_service": ["BlockService"],
            ".cid": [
                "CID_V0",
                "CID_V1",
                "CODEC_DAG_PB",
                "CODEC_RAW",
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
            ],
            ".client": ["BitswapClient"],
            ".config": ["BitswapConfig"],
            ".errors": [
                "BitswapError",
                "BlockNotFoundError",
                "BlockTimeoutError",
                "BlockTooLargeError",
                "BlockUnavailableError",
                "ClientClosedError",
                "DenylistError",
                "InvalidBlockError",
                "InvalidCIDError",
                "MessageTooLargeError",
                "PeerAnswer",
                "TimeoutError",
            ],
            ".extension": ["IBitswapExtension"],
            ".fetch.session": ["BitswapSession"],
            ".provider_query": ["ProviderQueryManager"],
            ".serve.rate_limit": ["BandwidthLimits"],
            ".serve.filters": [
                "AllOf",
                "AllowList",
                "DenylistFiles",
                "DenylistReport",
                "Remembered",
                "RequestFilter",
            ],
            ".serve.server": ["ServerLimits", "ServerOptions"],
            ".stats": ["BitswapStat"],
            ".tracer": ["BlockTracer", "Tracer"],
            ".wantlist": ["BitswapMessage", "BlockPresence", "Wantlist", "WantlistEntry"],
            ".wire.entry": ["BlockPresenceType", "WantType"],
            "libp2p.blockstore": ["BlockStore", "FilesystemBlockStore", "MemoryBlockStore"],
            "libp2p.ipld.cid": ["CIDInput"],
        },
    )
