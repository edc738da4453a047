"""What this library calls itself."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.9.0.dev0"


def get_agent_version() -> str:
    """Return the name and version that identify tells to peers."""
    return f"py-libp2p/{__version__}"
