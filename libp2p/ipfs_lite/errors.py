"""Errors of the peer and its repo; every message says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import trio

from libp2p.bitswap.errors import ClientClosedError
from libp2p.exceptions import BaseLibp2pError


class IpfsLiteError(BaseLibp2pError):
    """Root of the peer's own errors."""


class RepoError(IpfsLiteError):
    """A repo cannot be made, read or written."""


class RepoLockedError(RepoError):
    """Another process uses the repo, and must not: one of an earlier version, for one."""


class ForeignRepoError(RepoError):
    """A folder is neither empty nor a repo of this peer, so nothing in it is changed."""


class KeystoreError(IpfsLiteError):
    """A key cannot be made, read or stored, or a name cannot be one of a key."""


class KeyNotFoundError(KeystoreError):
    """No key has that name."""


class KeyExistsError(KeystoreError):
    """A key has that name already, and is kept."""


class PinError(IpfsLiteError):
    """A pin cannot be made, changed or removed as it was asked for."""


class NotPinnedError(PinError):
    """Nothing is pinned there."""


class FilesConflictError(IpfsLiteError):
    """Another changed the same part of the mutable tree; what was asked for has not been done."""


class OfflineError(IpfsLiteError):
    """The peer was opened without a network, which the call needs."""


class PeerClosedError(IpfsLiteError, ClientClosedError):
    """The block of `Peer.open` has ended, or is about to; nothing works any more."""

    def __init__(self, message: str = "the peer was closed") -> None:
        super().__init__(message)


class ReaderClosedError(IpfsLiteError, ValueError):
    """A closed reader is used."""

    def __init__(self, message: str = "the file is closed") -> None:
        super().__init__(message)


class SourceError(IpfsLiteError):
    """A source to add cannot be read."""


class InvalidSource(SourceError, TypeError, ValueError):
    """A source to add is neither a path nor bytes nor an open reader of bytes."""


class OutputError(IpfsLiteError):
    """A fetched file cannot be written to its target."""


class ControlError(IpfsLiteError):
    """The peer that runs on a repo cannot do what it was asked for."""


class NotRunningError(ControlError):
    """No peer that could be asked runs on a repo."""


class NotFoundError(IpfsLiteError):
    """No peer or router that was asked knows what was looked for."""


class NotAnnouncedError(IpfsLiteError):
    """No peer or router has taken the announcement of a block."""


class UnhealthyError(IpfsLiteError):
    """``doctor`` has found something that needs attention."""


@contextlib.contextmanager
def plain_errors() -> Iterator[list[BaseException]]:
    """
    Raise a lone error of the nurseries inside as itself, not as a group of one.

    Callers need not know which tasks a call runs; several errors stay a group. Put errors of the
    caller's code into the list that this yields: if one of them is a group, it stays that group.
    """
    own: list[BaseException] = []
    try:
        yield own
    except BaseExceptionGroup as group:
        # When the surrounding scope is cancelled too, such as the peer's, the error is still
        # raised.
        ended = list(leaves_of(group))
        leaves = [leaf for leaf in ended if not isinstance(leaf, trio.Cancelled)] or ended
        # Nurseries make new groups of the groups inside, but keep the errors in them.
        for error in own:
            if list(map(id, leaves_of(error))) in (list(map(id, ended)), list(map(id, leaves))):
                raise error from error.__cause__
        if len(leaves) != 1:
            raise
        raise leaves[0] from leaves[0].__cause__


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group and of the groups in it, or an error that is no group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    else:
        yield error
