"""Key pairs that are the same in every run."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

if TYPE_CHECKING:
    from libp2p.crypto.keys import PublicKey


@cache
def ed25519_pair(name: str) -> KeyPair:
    """The Ed25519 key pair of ``name``."""
    private_key = Ed25519PrivateKey.new(sha256(name.encode()).digest())
    return KeyPair(private_key, private_key.get_public_key())


@cache
def peer_id_of(name: str) -> ID:
    """The peer id of that key pair."""
    public_key: PublicKey = ed25519_pair(name).public_key
    return ID.from_pubkey(public_key)
