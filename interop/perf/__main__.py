"""
``python -m interop.perf``: measures upload, download and latency with the perf protocol.

The variables of the environment and the keys in redis are `interop.contract`'s. A dialer has
five more: UPLOAD_BYTES, DOWNLOAD_BYTES, UPLOAD_ITERATIONS, DOWNLOAD_ITERATIONS, LATENCY_ITERATIONS.
"""

from __future__ import annotations

import os
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from interop.contract import App
from interop.redis import Redis
from libp2p.perf import PerfService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interop.contract import Settings
    from libp2p import BasicHost
    from libp2p.peer.peerinfo import PeerInfo

GIB: Final = 1 << 30
#: How many times the middle half's width a sample may lie outside of it.
FENCE: Final = 1.5


async def serve(host: BasicHost) -> None:
    """Answer measurements."""
    await PerfService(host).start()


async def measure(settings: Settings, host: BasicHost, info: PeerInfo) -> str:
    """Measure the three one after the other, each iteration on a stream of its own."""
    await host.connect(info)
    service = PerfService(host)

    async def seconds(upload: int, download: int, iterations: int) -> list[float]:
        """Return the seconds of each iteration, the opening of its stream included."""
        samples = []
        for _ in range(iterations):
            began_at = time.perf_counter()
            await service.measure(info.peer_id, upload, download)
            samples.append(time.perf_counter() - began_at)
        return samples

    upload, download = _number("UPLOAD_BYTES", GIB), _number("DOWNLOAD_BYTES", GIB)
    uploads = await seconds(upload, 0, _number("UPLOAD_ITERATIONS", 10))
    downloads = await seconds(0, download, _number("DOWNLOAD_ITERATIONS", 10))
    latencies = await seconds(1, 1, _number("LATENCY_ITERATIONS", 100))
    return "\n".join(
        [
            section("upload", [upload * 8e-9 / each for each in uploads], "Gbps"),
            section("download", [download * 8e-9 / each for each in downloads], "Gbps"),
            section("latency", [each * 1000 for each in latencies], "ms"),
        ]
    )


def section(name: str, samples: Sequence[float], unit: str) -> str:
    """
    Return one part of the report: what a box plot of the samples shows, and they themselves.

    As in the suite's other programs, least and greatest are those of the samples that are no
    outliers.
    """
    ordered = sorted(samples)
    q1, median, q3 = quantiles(ordered if len(ordered) > 1 else ordered * 2, method="inclusive")
    reach = FENCE * (q3 - q1)
    inner = [each for each in ordered if q1 - reach <= each <= q3 + reach]
    outliers = [each for each in ordered if not q1 - reach <= each <= q3 + reach]
    numbers = {"min": inner[0], "q1": q1, "median": median, "q3": q3, "max": inner[-1]}
    lines = [f"{name}:", f"  iterations: {len(ordered)}"]
    lines += [f"  {key}: {number:.3f}" for key, number in numbers.items()]
    for key, several in (("outliers", outliers), ("samples", ordered)):
        lines.append(f"  {key}: [{', '.join(f'{each:.3f}' for each in several)}]")
    return "\n".join([*lines, f"  unit: {unit}"])


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


if __name__ == "__main__":
    App(serve, Redis.set, measure).run()
