"""Errors of requests and responses."""

from __future__ import annotations

from libp2p.exceptions import (
    BaseLibp2pError,
    MessageTooLarge,
    MultiselectClientError,
    StreamFailure,
)

__all__ = [
    "MessageTooLargeError",
    "ProtocolNotSupportedError",
    "RequestDecodeError",
    "RequestEncodeError",
    "RequestResponseError",
    "RequestTimeoutError",
    "RequestTransportError",
    "ResponseDecodeError",
    "ResponseEncodeError",
]


class RequestResponseError(BaseLibp2pError):
    """A request has got no response."""


class RequestTimeoutError(RequestResponseError, TimeoutError):
    """It has taken longer than it may."""


class ProtocolNotSupportedError(RequestResponseError, MultiselectClientError):
    """The peer speaks none of the protocols."""


class RequestEncodeError(RequestResponseError):
    """The codec cannot write the request."""


class RequestDecodeError(RequestResponseError):
    """The codec cannot read a request that has come."""


class ResponseEncodeError(RequestResponseError):
    """The codec cannot write the response of a handler."""


class ResponseDecodeError(RequestResponseError):
    """The codec cannot read the response."""


class MessageTooLargeError(RequestResponseError, MessageTooLarge):
    """A request or a response has more bytes than it may."""


class RequestTransportError(RequestResponseError, StreamFailure):
    """The peer cannot be reached, or the stream ended before the response."""
