"""py-libp2p's `BootstrapDiscovery`, on `libp2p.discovery.bootstrap.keeper`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from libp2p.discovery.bootstrap.config import CONNECT_TIMEOUT, RETRY_SECONDS, BootstrapConfig
from libp2p.discovery.bootstrap.keeper import Bootstrap
from libp2p.discovery.bootstrap.utils import validate_bootstrap_addresses
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.peer.addresses import DNS, split_address
from libp2p.utils import arguments

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.network.swarm import Swarm
    from libp2p.peer.peerinfo import PeerInfo


#: More than a host can have: the given peers are dialled whomever else it is connected to.
_ALL: Final = 1 << 30


class BootstrapDiscovery:
    """
    Connects to given peers when it is started, and again when their connections end.

    `Bootstrap` does the same for peers that are given in other ways, and for those seen before.

    :param swarm: of the host; it must be running when this is started.
    :param allow_ipv6: of py-libp2p; IPv6 is always allowed.
    :param connection_timeout: seconds for each peer.
    :param reconnect_interval: seconds until a peer that did not answer is dialled again.
    """

    def __init__(
        self,
        swarm: Swarm,
        bootstrap_addrs: Sequence[str],
        *,
        allow_ipv6: bool = False,
        connection_timeout: float = CONNECT_TIMEOUT,
        reconnect_interval: float = RETRY_SECONDS,
    ) -> None:
        self.swarm = swarm
        self.peerstore = swarm.peerstore
        self.bootstrap_addrs = arguments.texts(bootstrap_addrs or [], "bootstrap_addrs")
        self.allow_ipv6 = allow_ipv6
        self.discovered_peers: set[str] = set()
        self._config = BootstrapConfig(
            min_peers=_ALL,
            connect_timeout=arguments.seconds(connection_timeout, "connection_timeout"),
            retry=arguments.seconds(reconnect_interval, "reconnect_interval"),
            max_seen=0,
        )
        self._keeper: Bootstrap | None = None

    async def start(self) -> None:
        """
        Tell `peerDiscovery` of the peers, and try each of them once; go on in a task of the swarm.

        Addresses that name no peer are left out with a warning.

        :raises SwarmException: if the swarm is not running.
        """
        addresses = validate_bootstrap_addresses(self.bootstrap_addrs)
        self.stop_connecting()
        self._keeper = keeper = Bootstrap(self.swarm, addresses, self._config, self._found)
        self.swarm.start_soon(keeper.run)
        await keeper.outcomes()

    def _found(self, info: PeerInfo) -> None:
        self.discovered_peers.add(str(info.peer_id))
        peerDiscovery.emit_peer_discovered(info)

    def is_dns_addr(self, addr: Multiaddr) -> bool:
        """Tell whether an address begins with a name that has to be looked up."""
        return split_address(addr.to_bytes())[0].code in DNS

    def stop(self) -> None:
        """Connect to nobody any more; connections stay."""
        self.stop_connecting()
        self.discovered_peers.clear()

    def stop_connecting(self) -> None:
        """End the task that keeps the peers connected."""
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None
