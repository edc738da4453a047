"""
One node of the kad-dht suite of libp2p's interop tests, as a py-libp2p program is written for it.

It uses names of py-libp2p alone, so that this library, py-libp2p 0.6 and 0.8 can run it. In the
environment are ROLE (bootstrap, provider or querier), REDIS_ADDR (host:port) and TEST_KEY. The
nodes tell each other through redis: ``{TEST_KEY}_bootstrap_addr`` and
``{TEST_KEY}_provider_done``. The querier prints ``status: pass``, or ``status: fail`` and
``error:``.
"""

from __future__ import annotations

import os
import sys

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.records.validator import Validator

try:
    from libp2p.tools.async_service.trio_service import background_trio_service
except ImportError:  # py-libp2p since 0.7
    from libp2p.tools.anyio_service import background_trio_service

WAIT_SECONDS = 60
QUERY_SECONDS = 30
PAUSE = 0.1


class AnyValue(Validator):
    """Takes every value, and the first of several."""

    def validate(self, key: str, value: bytes) -> None:
        """Accept it."""

    def select(self, key: str, values: list[bytes]) -> int:
        """Return the first."""
        return 0


class Redis:
    """SET and GET of a redis server."""

    def __init__(self, address: str, test_key: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._test_key = test_key

    async def set(self, name: str, value: str) -> None:
        """Set a key of this test."""
        await self._command("SET", f"{self._test_key}_{name}", value)

    async def wait_for(self, name: str) -> str:
        """Wait until another node has set a key of this test; return its value."""
        with trio.fail_after(WAIT_SECONDS):
            while True:
                value = await self._command("GET", f"{self._test_key}_{name}")
                if value:
                    return value
                await trio.sleep(PAUSE)

    async def _command(self, *words: str) -> str:
        parts = [f"*{len(words)}\r\n"]
        parts += [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        async with await trio.open_tcp_stream(*self._address) as stream:
            await stream.send_all("".join(parts).encode())
            reply = b""
            while not _is_whole(reply):
                reply += await stream.receive_some(4096)
        return "" if reply.startswith((b"$-1", b"+")) else reply.split(b"\r\n")[1].decode()


def _is_whole(reply: bytes) -> bool:
    if not reply.endswith(b"\r\n"):
        return False
    return not reply.startswith(b"$") or reply.startswith(b"$-1") or reply.count(b"\r\n") > 1


async def bootstrap(host: object, dht: KadDHT, redis: Redis, test_key: str) -> None:
    """Be there for the others."""
    await redis.set("bootstrap_addr", str(dht.host.get_addrs()[0]))
    await trio.sleep_forever()


async def provider(host: object, dht: KadDHT, redis: Redis, test_key: str) -> None:
    """Announce a key and store a value."""
    await dht.provide(f"interop-test-key-{test_key}")
    await dht.put_value(f"/example/data/{test_key}", f"hello from {dht.local_peer_id}".encode())
    await redis.set("provider_done", "done")
    await trio.sleep_forever()


async def querier(host: object, dht: KadDHT, redis: Redis, test_key: str) -> None:
    """Find both."""
    await redis.wait_for("provider_done")
    with trio.fail_after(QUERY_SECONDS):
        providers = await dht.find_providers(f"interop-test-key-{test_key}")
        value = await dht.get_value(f"/example/data/{test_key}")
    if not providers:
        raise RuntimeError("no provider was found")
    if value is None or b"hello from" not in value:
        raise RuntimeError(f"the value is {value!r}")


ROLES = {"bootstrap": bootstrap, "provider": provider, "querier": querier}


async def run(role: str, redis: Redis, test_key: str) -> None:
    """Run one node."""
    host = new_host()
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        dht = KadDHT(host, DHTMode.SERVER)
        dht.register_validator("example", AnyValue())
        async with background_trio_service(dht):
            if role != "bootstrap":
                info = info_from_p2p_addr(Multiaddr(await redis.wait_for("bootstrap_addr")))
                await host.connect(info)
                await dht.routing_table.add_peer(info.peer_id)
            await ROLES[role](host, dht, redis, test_key)


def main() -> None:
    """Play the role that the environment names."""
    role, test_key = os.environ["ROLE"], os.environ["TEST_KEY"]
    try:
        trio.run(run, role, Redis(os.environ["REDIS_ADDR"], test_key), test_key)
    except Exception as error:  # noqa: BLE001 - it is printed
        print(f"status: fail\nerror: {error!r}", flush=True)
        sys.exit(1)
    print("status: pass", flush=True)


if __name__ == "__main__":
    main()
