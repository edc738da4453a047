"""Errors of transports and upgrades, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    MuxerUpgradeFailure,
    OpenConnectionError,
    SecurityUpgradeFailure,
    UpgradeFailure,
)

__all__ = [
    "MuxerUpgradeFailure",
    "OpenConnectionError",
    "SecurityUpgradeFailure",
    "UpgradeFailure",
]
