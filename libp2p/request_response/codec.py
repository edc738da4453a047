"""How requests and responses are written: as bytes, as JSON, or as a program likes."""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar, runtime_checkable

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@runtime_checkable
class RequestResponseCodec(Protocol[RequestT, ResponseT]):
    """Writes and reads both; whatever a method raises fails that request only."""

    def encode_request(self, request: RequestT) -> bytes: ...

    def decode_request(self, payload: bytes) -> RequestT: ...

    def encode_response(self, response: ResponseT) -> bytes: ...

    def decode_response(self, payload: bytes) -> ResponseT: ...


class BytesCodec(RequestResponseCodec[bytes, bytes]):
    """Bytes as they are."""

    def encode_request(self, request: bytes) -> bytes:
        return _as_bytes(request)

    def decode_request(self, payload: bytes) -> bytes:
        return payload

    def encode_response(self, response: bytes) -> bytes:
        return _as_bytes(response)

    def decode_response(self, payload: bytes) -> bytes:
        return payload


class JSONCodec(RequestResponseCodec[Any, Any]):
    """Values that JSON can say, in UTF-8."""

    def encode_request(self, request: Any) -> bytes:
        return json.dumps(request).encode()

    def decode_request(self, payload: bytes) -> Any:
        return json.loads(payload)

    def encode_response(self, response: Any) -> bytes:
        return json.dumps(response).encode()

    def decode_response(self, payload: bytes) -> Any:
        return json.loads(payload)


def _as_bytes(data: bytes) -> bytes:
    return bytes(memoryview(data))  # `bytes(7)` would be seven zeros
