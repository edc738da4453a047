"""Turns keys, as programs give them, into the form in which records are kept (sans-I/O)."""

from __future__ import annotations

from typing import Final, TypeAlias

from libp2p.exceptions import InvalidArgument, InvalidCID
from libp2p.ipld.cid import CID, CIDInput
from libp2p.kad_dht.messages import MAX_PROVIDER_KEY_BYTES
from libp2p.records.utils import key_to_bytes
from libp2p.utils.arguments import out_of_range

ProviderKey: TypeAlias = CIDInput

_EMPTY: Final = "a CID, a multihash, or a text"


def provider_key(key: ProviderKey) -> bytes:
    """
    Return the key of provider records: the multihash of a CID.

    Bytes that are no CID are the key themselves. Text may be a CID, hexadecimal digits of a
    multihash, or any other text, whose UTF-8 form is the key then: py-libp2p's rules.

    :raises InvalidArgument: if it is empty, or longer than peers accept.
    """
    found = _provider_key(key)
    if not found:
        raise out_of_range("the key", key, _EMPTY)
    if len(found) > MAX_PROVIDER_KEY_BYTES:
        most = f"{MAX_PROVIDER_KEY_BYTES} bytes or fewer"
        raise InvalidArgument(f"the key of a provider record must be {most}, not {len(found)}")
    return found


def _provider_key(key: ProviderKey) -> bytes:
    try:
        return bytes(CID.of(key).multihash)
    except InvalidCID:
        pass
    if not isinstance(key, str):
        return key_to_bytes(key)  # type: ignore[arg-type]  # it raises for what is neither
    try:
        return bytes.fromhex(key)
    except ValueError:
        return key.encode()


value_key = key_to_bytes
"""Return the key of a value in bytes; text is taken in UTF-8."""
