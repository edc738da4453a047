"""
``python -m interop.transport``: connects, pings twice, and says how long that took.

The variables of the environment and the keys in redis are `interop.contract`'s.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import trio

from interop.contract import App
from interop.redis import Redis
from libp2p.host import ping

if TYPE_CHECKING:
    from interop.contract import Settings
    from libp2p import BasicHost
    from libp2p.peer.peerinfo import PeerInfo


async def serve(host: BasicHost) -> None:
    """Do nothing: hosts answer pings."""
    await trio.lowlevel.checkpoint()


async def measure(settings: Settings, host: BasicHost, info: PeerInfo) -> str:
    """Time the connection with a first ping, and a second ping on the same stream."""
    began_at = time.perf_counter()
    await host.connect(info)
    async with await host.new_stream(info.peer_id, [ping.ID]) as stream:
        await ping.ping_once(stream)
        handshake = (time.perf_counter() - began_at) * 1000
        round_trip = await ping.ping_once(stream) * 1000
    return report(handshake, round_trip, legacy=settings.legacy)


def report(handshake: float, round_trip: float, *, legacy: bool) -> str:
    """Return two times in milliseconds as the suite, or test-plans before it, reads them."""
    if legacy:
        # Three l: the old suite spells it so.
        return json.dumps({"handshakePlusOneRTTMillis": handshake, "pingRTTMilllis": round_trip})
    return (
        "latency:\n"
        f"  handshake_plus_one_rtt: {handshake:.3f}\n"
        f"  ping_rtt: {round_trip:.3f}\n"
        "  unit: ms"
    )


if __name__ == "__main__":
    App(serve, Redis.push, measure).run()
