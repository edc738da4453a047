"""When a DHT answers others: always, never, or while it can be reached."""

from __future__ import annotations

from enum import Enum


class DHTMode(Enum):
    """
    Whether peers may ask this host.

    A ``SERVER`` answers peers, and peers list it. A ``CLIENT`` only asks: it neither handles nor
    announces the protocol, so that nobody waits for a host that cannot be reached. ``AUTO`` is a
    server while the other peers of its network can reach an address of the host: a public one in
    the public network, any address in a local network.
    """

    CLIENT = "CLIENT"
    SERVER = "SERVER"
    AUTO = "AUTO"
