"""py-libp2p's table of the protocols that each host answers; `BasicHost` registers its own."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from libp2p.host.ping import ID as PING_ID
from libp2p.host.ping import handle_ping
from libp2p.identity.identify.identify import ID as IDENTIFY_ID
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.identity.identify_push.identify_push import ID_PUSH, identify_push_handler_for

if TYPE_CHECKING:
    from libp2p.abc import IHost, StreamHandlerFn
    from libp2p.base_types import TProtocol


def get_default_protocols(host: IHost) -> OrderedDict[TProtocol, StreamHandlerFn]:
    """Return the handlers of identify, identify push and ping, by protocol."""
    return OrderedDict(
        [
            (IDENTIFY_ID, identify_handler_for(host)),
            (ID_PUSH, identify_push_handler_for(host)),
            (PING_ID, handle_ping),
        ]
    )
