"""When a DHT answers others: always, never, or while it can be reached."""

from __future__ import annotations

from enum import Enum


class DHTMode(Enum):
    """
    Whether peers may ask this host.

    ``SERVER`` answers peers and is listed by them. ``CLIENT`` only asks: it neither handles nor
    announces the protocol, so that nobody waits for a host that cannot be reached. ``AUTO`` is a
    server while the host has an address that the other peers of its network can reach: a public one
    in the public network, any in a local one.
    """

    CLIENT = "CLIENT"
    SERVER = "SERVER"
    AUTO = "AUTO"
