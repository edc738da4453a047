"""Identify push: telling peers what has changed."""

from libp2p.identity.identify.identify import update_peerstore_from_identify
from libp2p.identity.identify_push.identify_push import (
    ID_PUSH,
    identify_push_handler_for,
    push_identify_to_peer,
    push_identify_to_peers,
)

__all__ = [
    "ID_PUSH",
    "identify_push_handler_for",
    "push_identify_to_peer",
    "push_identify_to_peers",
    "update_peerstore_from_identify",
]
