"""Errors of byte channels, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import (
    ConnectionClosedError,
    DecryptionFailedException,
    IncompleteReadError,
    IOException,
    MessageTooLarge,
    MissingLengthException,
    MissingMessageException,
    MsgioException,
)

__all__ = [
    "ConnectionClosedError",
    "DecryptionFailedException",
    "IOException",
    "IncompleteReadError",
    "MessageTooLarge",
    "MissingLengthException",
    "MissingMessageException",
    "MsgioException",
]
