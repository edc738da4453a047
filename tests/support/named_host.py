"""A host that listens on all interfaces, as a process of its own; driven by lines of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from multiaddr import Multiaddr

from libp2p import new_host
from libp2p.peer import interfaces
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.peer.peerstore import PeerStore
from tests.support.commands import serve_commands

if TYPE_CHECKING:
    from libp2p import BasicHost


class NamedHost:
    """What the parent may ask for."""

    def __init__(self, host: BasicHost) -> None:
        self._host = host

    async def connect(self, address: str) -> dict[str, Any]:
        """Connect, and have identified the peer."""
        await self._host.connect(info_from_p2p_addr(address))
        return {}

    async def disconnect(self, peer: str) -> dict[str, Any]:
        await self._host.disconnect(ID.from_string(peer))
        return {}

    async def dial(self, address: str) -> dict[str, Any]:
        """Connect as somebody else, who knows nothing but this address."""
        host = new_host()
        async with host.run([]):
            await host.connect(info_from_p2p_addr(address))
        return {}

    async def own(self) -> dict[str, Any]:
        return {"addresses": [str(address) for address in self._host.get_addrs()]}

    async def identified(self, peer: str) -> dict[str, Any]:
        """Wait until the peer has told of itself; what addresses it has, and what it signed."""
        store, peer_id = self._store(), ID.from_string(peer)
        while (record := store.get_peer_record(peer_id)) is None:
            await anext(store.addr_stream(peer_id))
        return {
            "addresses": [str(address) for address in store.addrs(peer_id)],
            "signed": [str(address) for address in record.record().addrs],
        }

    def _store(self) -> PeerStore:
        store = self._host.get_peerstore()
        assert isinstance(store, PeerStore)
        return store

    async def told_of(self, peer: str, address: str) -> dict[str, Any]:
        """Wait until the peer has pushed this address."""
        store, peer_id = self._store(), ID.from_string(peer)
        while Multiaddr(address) not in store.addrs(peer_id):
            await anext(store.addr_stream(peer_id))
        return {}


async def serve() -> None:
    # Interfaces come and go while the test waits.
    interfaces.FRESH_SECONDS = interfaces.FRESH_FACTOR = 0.0  # type: ignore[misc]
    host = new_host()
    named = NamedHost(host)
    names = ("connect", "disconnect", "dial", "own", "identified", "told_of")
    async with host.run([Multiaddr("/ip4/0.0.0.0/tcp/0"), Multiaddr("/ip6/::/tcp/0")]):
        hello = {"id": str(host.get_id())}
        await serve_commands(hello, {name: getattr(named, name) for name in names})


if __name__ == "__main__":
    trio.run(serve)
