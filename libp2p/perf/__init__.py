"""The perf protocol: measures what a connection carries."""

from libp2p.perf.perf_service import PROTOCOL_NAME, WRITE_BLOCK_SIZE, PerfResult, PerfService
from libp2p.perf.types import PerfInit, PerfOutput

__all__ = [
    "PROTOCOL_NAME",
    "WRITE_BLOCK_SIZE",
    "PerfInit",
    "PerfOutput",
    "PerfResult",
    "PerfService",
]
