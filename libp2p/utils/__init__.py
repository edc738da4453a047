"""Small things that every layer may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.utils.lazy import lazy_names

if TYPE_CHECKING:
    from libp2p.utils.address_validation import (
        expand_wildcard_address as expand_wildcard_address,
    )
    from libp2p.utils.address_validation import (
        find_free_port as find_free_port,
    )
    from libp2p.utils.address_validation import (
        get_available_interfaces as get_available_interfaces,
    )
    from libp2p.utils.address_validation import (
        get_optimal_binding_address as get_optimal_binding_address,
    )
    from libp2p.utils.address_validation import (
        get_wildcard_address as get_wildcard_address,
    )
    from libp2p.utils.varint import decode_uvarint_from_stream as decode_uvarint_from_stream
    from libp2p.utils.varint import decode_varint_from_bytes as decode_varint_from_bytes
    from libp2p.utils.varint import decode_varint_with_size as decode_varint_with_size
    from libp2p.utils.varint import encode_delim as encode_delim
    from libp2p.utils.varint import encode_uvarint as encode_uvarint
    from libp2p.utils.varint import encode_varint_prefixed as encode_varint_prefixed
    from libp2p.utils.varint import read_delim as read_delim
    from libp2p.utils.varint import read_length_prefixed_protobuf as read_length_prefixed_protobuf
    from libp2p.utils.varint import read_varint_prefixed_bytes as read_varint_prefixed_bytes
    from libp2p.utils.varint import (
        read_varint_prefixed_bytes_limited as read_varint_prefixed_bytes_limited,
    )
    from libp2p.utils.version import get_agent_version as get_agent_version

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        ".address_validation": [
            "expand_wildcard_address",
            "find_free_port",
            "get_available_interfaces",
            "get_optimal_binding_address",
            "get_wildcard_address",
        ],
        ".varint": [
            "decode_uvarint_from_stream",
            "decode_varint_from_bytes",
            "decode_varint_with_size",
            "encode_delim",
            "encode_uvarint",
            "encode_varint_prefixed",
            "read_delim",
            "read_length_prefixed_protobuf",
            "read_varint_prefixed_bytes",
            "read_varint_prefixed_bytes_limited",
        ],
        ".version": ["get_agent_version"],
    },
)
