"""The first peers: those seen before, and those that are given."""

from libp2p.discovery.bootstrap.bootstrap import BootstrapDiscovery
from libp2p.discovery.bootstrap.config import BootstrapConfig
from libp2p.discovery.bootstrap.keeper import Bootstrap, Outcome
from libp2p.discovery.bootstrap.sources import read_sources
from libp2p.exceptions import BootstrapError

__all__ = [
    "Bootstrap",
    "BootstrapConfig",
    "BootstrapDiscovery",
    "BootstrapError",
    "Outcome",
    "read_sources",
]
