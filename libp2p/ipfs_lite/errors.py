"""What the peer and its repo can fail with; every message says what to do about it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from libp2p.bitswap.errors import ClientClosedError
from libp2p.exceptions import BaseLibp2pError

if TYPE_CHECKING:
    from collections.abc import Iterator


class IpfsLiteError(BaseLibp2pError):
    """Root of the peer's own errors."""


class RepoError(IpfsLiteError):
    """A repo cannot be made, read or written."""


class RepoLockedError(RepoError):
    """Another process has the repo open."""


class ForeignRepoError(RepoError):
    """A folder is not empty and not a repo of this peer, so nothing in it is touched."""


class OfflineError(IpfsLiteError):
    """The peer was opened without a network and is asked for something that needs one."""


class PeerClosedError(IpfsLiteError, ClientClosedError):
    """The block of `Peer.open` has ended, or is about to; nothing works any more."""

    def __init__(self, message: str = "the peer was closed") -> None:
        super().__init__(message)


class ReaderClosedError(IpfsLiteError, ValueError):
    """A reader was closed and is asked for something."""

    def __init__(self, message: str = "the file is closed") -> None:
        super().__init__(message)


class SourceError(IpfsLiteError):
    """What is to be added cannot be read."""


class InvalidSource(SourceError, TypeError, ValueError):
    """What is to be added is neither a path nor bytes nor a reader of bytes that is open."""


class OutputError(IpfsLiteError):
    """What was fetched cannot be written where it was wanted."""


@contextlib.contextmanager
def plain_errors() -> Iterator[list[BaseException]]:
    """
    Let a lone error leave the nurseries inside as itself, not as a group of one.

    Which tasks a call runs inside is nobody's business but its own; several errors stay a group.
    An error of the caller's code is put into the list that this gives: a group stays that group.
    """
    own: list[BaseException] = []
    try:
        yield own
    except BaseExceptionGroup as group:
        leaves = list(leaves_of(group))
        # Nurseries make the groups inside theirs anew, but not what is in them.
        for error in own:
            if list(map(id, leaves_of(error))) == list(map(id, leaves)):
                raise error from error.__cause__
        if len(leaves) != 1:
            raise
        raise leaves[0] from leaves[0].__cause__


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Walk the errors of a group, of its groups and so on; an error that is no group is its own."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    else:
        yield error
