"""One request and its response on a stream of their own, with limits; py-libp2p's names."""

from libp2p.request_response.api import RequestContext, RequestResponse, RequestResponseConfig
from libp2p.request_response.codec import BytesCodec, JSONCodec, RequestResponseCodec
from libp2p.request_response.exceptions import (
    MessageTooLargeError,
    ProtocolNotSupportedError,
    RequestDecodeError,
    RequestEncodeError,
    RequestResponseError,
    RequestTimeoutError,
    RequestTransportError,
    ResponseDecodeError,
    ResponseEncodeError,
)

__all__ = [
    "BytesCodec",
    "JSONCodec",
    "MessageTooLargeError",
    "ProtocolNotSupportedError",
    "RequestContext",
    "RequestDecodeError",
    "RequestEncodeError",
    "RequestResponse",
    "RequestResponseCodec",
    "RequestResponseConfig",
    "RequestResponseError",
    "RequestTimeoutError",
    "RequestTransportError",
    "ResponseDecodeError",
    "ResponseEncodeError",
]
