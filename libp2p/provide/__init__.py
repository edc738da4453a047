"""
Announces what this peer has, again and again, at a cost that does not grow with each CID.

`Provider` is the service, `key_source` names what it announces.
"""

from libp2p.provide.abc import KeySource, Pins, Sweepable
from libp2p.provide.config import ProvideConfig
from libp2p.provide.errors import ProvideError
from libp2p.provide.provider import Provider
from libp2p.provide.sources import key_source
from libp2p.provide.statistics import ProvideStats

__all__ = [
    "KeySource",
    "Pins",
    "ProvideConfig",
    "ProvideError",
    "ProvideStats",
    "Provider",
    "Sweepable",
    "key_source",
]
