"""The name and version of this library."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.9.0.dev0"


def get_agent_version() -> str:
    """Return the agent version that identify sends to peers."""
    return f"py-libp2p/{__version__}"
