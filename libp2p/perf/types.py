"""What py-libp2p's perf service takes and yields."""

from __future__ import annotations

from typing import Literal, TypedDict


class PerfOutput(TypedDict):
    """
    A report on a measurement.

    "intermediary" ones are about the time since the one before, the "final" one is about all.
    """

    type: Literal["connection", "stream", "intermediary", "final"]
    time_seconds: float
    upload_bytes: int
    download_bytes: int


class PerfInit(TypedDict, total=False):
    """Options of the service."""

    protocol_name: str
    write_block_size: int
