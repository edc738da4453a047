"""What announcing can raise."""

from __future__ import annotations

from libp2p.exceptions import BaseLibp2pError


class ProvideError(BaseLibp2pError):
    """Keys cannot be announced: there are too many, or the provider does not run."""
