"""Two hosts measure each other over loopback."""

from __future__ import annotations

from libp2p.perf import PerfService
from tests.support.hosts import connected_hosts

MEGABYTE = 10**6


async def test_a_measurement_in_both_directions() -> None:
    async with connected_hosts() as (dialler, listener):
        server = PerfService(listener)
        await server.start()
        result = await PerfService(dialler).measure(listener.get_id(), 3 * MEGABYTE, 5 * MEGABYTE)
        assert (result.upload_bytes, result.download_bytes) == (3 * MEGABYTE, 5 * MEGABYTE)
        assert result.upload_rate > MEGABYTE
        assert result.download_rate > MEGABYTE
        await server.stop()
