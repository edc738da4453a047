"""The edge around a program's connection gater."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from libp2p.peer.addresses import tcp_address
from libp2p.utils.fault_log import FaultLog

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.network.connection_gate import ConnectionGater
    from libp2p.peer.id import ID
    from libp2p.transport.abc import MuxedConnection


class Gating:
    """Asks a gater; an exception of the gater is logged, and refuses."""

    def __init__(self, gater: ConnectionGater) -> None:
        self._gater = gater
        self._faults = FaultLog()

    def may_dial(self, peer_id: ID) -> bool:
        return self._ask(lambda: self._gater.intercept_peer_dial(peer_id))

    def may_dial_at(self, peer_id: ID, address: Multiaddr) -> bool:
        return self._ask(lambda: self._gater.intercept_addr_dial(peer_id, address))

    def may_accept(self, remote: tuple[str, int] | None) -> bool:
        return self._ask(lambda: self._gater.intercept_accept(remote and tcp_address(*remote)))

    def may_use(self, connection: MuxedConnection) -> bool:
        address = next(iter(connection.get_transport_addresses()), None)
        secured = (connection.is_initiator, connection.peer_id, address)
        return self._ask(
            lambda: (
                self._gater.intercept_secured(*secured)
                and self._gater.intercept_upgraded(connection)
            )
        )

    def _ask(self, question: Callable[[], bool]) -> bool:
        try:
            return bool(question())
        except Exception as error:  # noqa: BLE001 - task's edge: a program's gater
            self._faults.note("the connection gater", error)
            return False
