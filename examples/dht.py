"""Three hosts that find each other's content through a DHT: no server, no tracker."""

from contextlib import AsyncExitStack, aclosing

import trio

from libp2p import new_host
from libp2p.ipld.cid import CID
from libp2p.kad_dht import DHTMode, KadDHT
from libp2p.records.validator import Validator


class Greetings(Validator):
    """The rules of the values below /greetings/: text, and the longest is the best."""

    def validate(self, key: str, value: bytes) -> None:
        value.decode()

    def select(self, key: str, values: list[bytes]) -> int:
        return values.index(max(values, key=len))


async def main() -> None:
    async with AsyncExitStack() as stack:
        dhts = []
        for _ in range(3):
            host = new_host(listen_addrs=["/ip4/127.0.0.1/tcp/0"])
            dht = KadDHT(host, DHTMode.SERVER)
            dht.register_validator("greetings", Greetings())
            await stack.enter_async_context(host.run())
            await stack.enter_async_context(dht.run())
            dhts.append(dht)
        one, two, three = dhts
        # One address is enough; all the others are found.
        await two.host.connect(one.host.get_addrs()[0])
        await three.host.connect(one.host.get_addrs()[0])

        block = CID.for_block(b"hello from two")
        print("told others:", await two.provide(block))
        async with aclosing(three.find_provider_iter(block)) as providers:
            async for info in providers:
                print("found two:", info.peer_id == two.local_peer_id)
                break

        await one.put_value("/greetings/world", b"hello, world")
        print("the value:", await three.get_value("/greetings/world"))

        found = await three.find_peer(two.local_peer_id)
        print("where two is:", found is not None and found.addrs == two.host.get_transport_addrs())


trio.run(main)
