"""Makes the messages of records that the DHT sends, under py-libp2p's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libp2p.records.pb.record_pb2 import Record
from libp2p.records.utils import sign_record

if TYPE_CHECKING:
    from libp2p.crypto.keys import PrivateKey

__all__ = ["make_put_record", "make_signed_put_record"]


def make_put_record(key: bytes, value: bytes) -> Record:
    """Return the message of a record, as it is sent to be stored."""
    return Record(key=key, value=value)


def make_signed_put_record(key: bytes, value: bytes, private_key: PrivateKey) -> Record:
    """
    Return the message of a record that is signed as a whole.

    No implementation reads this signature: records are signed inside, as their namespace says.
    """
    signature, author = sign_record(private_key, key, value)
    return Record(key=key, value=value, signature=signature, author=author)
