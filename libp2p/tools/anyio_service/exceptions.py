"""What can go wrong with a service."""

from __future__ import annotations

from libp2p.exceptions import BaseLibp2pError


class ServiceException(BaseLibp2pError):
    """Something is wrong with a service."""


class LifecycleError(ServiceException):
    """A service was used at the wrong time: before it ran, or after."""


class DaemonTaskExit(ServiceException):
    """A task that was to run for ever has returned."""
