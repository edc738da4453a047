"""Identify push: telling peers what has changed."""

from libp2p.identity.identify_push.identify_push import (
    ID_PUSH,
    identify_push_handler_for,
    push_identify_to_peer,
    push_identify_to_peers,
)
from libp2p.identity.update import update_peerstore_from_identify

__all__ = [
    "ID_PUSH",
    "identify_push_handler_for",
    "push_identify_to_peer",
    "push_identify_to_peers",
    "update_peerstore_from_identify",
]
