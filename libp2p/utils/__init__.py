"""Small things that every layer may use."""

from libp2p.utils.varint import (
    decode_varint_with_size,
    encode_uvarint,
    encode_varint_prefixed,
)
from libp2p.utils.version import get_agent_version

__all__ = [
    "decode_varint_with_size",
    "encode_uvarint",
    "encode_varint_prefixed",
    "get_agent_version",
]
