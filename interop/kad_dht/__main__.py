"""
``python -m interop.kad_dht``: one node of the suite's small DHT.

It uses names of py-libp2p alone, so that this library, py-libp2p 0.6 and 0.8 can run it. In the
environment are ROLE (bootstrap, provider or querier), REDIS_ADDR (host:port) and TEST_KEY. The
nodes tell each other through redis: ``{TEST_KEY}_bootstrap_addr`` and
``{TEST_KEY}_provider_done``. The querier prints ``status: pass``, or ``status: fail`` and
``error:``.
"""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import trio
from multiaddr import Multiaddr

from interop.redis import connected
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.records.validator import Validator

try:
    from libp2p.tools.async_service.trio_service import background_trio_service
except ImportError:  # py-libp2p since 0.7
    from libp2p.tools.anyio_service import background_trio_service

if TYPE_CHECKING:
    from interop.redis import Redis

WAIT_SECONDS = 60
QUERY_SECONDS = 30


class AnyValue(Validator):
    """Takes every value, and the first of several."""

    def validate(self, key: str, value: bytes) -> None:
        """Accept it."""

    def select(self, key: str, values: list[bytes]) -> int:
        """Return the first."""
        return 0


async def bootstrap(dht: KadDHT, redis: Redis, test_key: str) -> None:
    """Be there for the others."""
    await redis.set(f"{test_key}_bootstrap_addr", str(dht.host.get_addrs()[0]))
    await trio.sleep_forever()


async def provider(dht: KadDHT, redis: Redis, test_key: str) -> None:
    """Announce a key and store a value."""
    await dht.provide(f"interop-test-key-{test_key}")
    await dht.put_value(f"/example/data/{test_key}", f"hello from {dht.local_peer_id}".encode())
    await redis.set(f"{test_key}_provider_done", "done")
    await trio.sleep_forever()


async def querier(dht: KadDHT, redis: Redis, test_key: str) -> None:
    """Find both."""
    with trio.fail_after(WAIT_SECONDS):
        await redis.wait_for(f"{test_key}_provider_done")
    with trio.fail_after(QUERY_SECONDS):
        providers = await dht.find_providers(f"interop-test-key-{test_key}")
        value = await dht.get_value(f"/example/data/{test_key}")
    if not providers:
        raise RuntimeError("no provider was found")
    if value is None or b"hello from" not in value:
        raise RuntimeError(f"the value is {value!r}")


ROLES = {"bootstrap": bootstrap, "provider": provider, "querier": querier}


async def run(role: str, redis_addr: str, test_key: str) -> None:
    """Run one node."""
    host = new_host()
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connected(redis_addr))
        # The address on the network of the redis server: the other nodes are there too.
        listen = Multiaddr(f"/ip4/{redis.local_ip}/tcp/0")
        await stack.enter_async_context(host.run(listen_addrs=[listen]))
        dht = KadDHT(host, DHTMode.SERVER)
        dht.register_validator("example", AnyValue())
        await stack.enter_async_context(background_trio_service(dht))
        if role != "bootstrap":
            with trio.fail_after(WAIT_SECONDS):
                address = await redis.wait_for(f"{test_key}_bootstrap_addr")
            info = info_from_p2p_addr(Multiaddr(address))
            await host.connect(info)
            await dht.routing_table.add_peer(info.peer_id)
        await ROLES[role](dht, redis, test_key)


def main() -> None:
    """Play the role that the environment names."""
    role, test_key = os.environ["ROLE"], os.environ["TEST_KEY"]
    try:
        trio.run(run, role, os.environ["REDIS_ADDR"], test_key)
    except Exception as error:  # noqa: BLE001 - it is printed
        print(f"status: fail\nerror: {error!r}", flush=True)
        sys.exit(1)
    print("status: pass", flush=True)


if __name__ == "__main__":
    main()
