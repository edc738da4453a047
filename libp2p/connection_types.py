"""How a connection reaches its peer; no behaviour."""

from __future__ import annotations

from enum import Enum


class ConnectionType(Enum):
    """Whether bytes go straight to the peer or through another one."""

    DIRECT = "direct"
    RELAYED = "relayed"
    UNKNOWN = "unknown"
