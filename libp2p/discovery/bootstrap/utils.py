"""py-libp2p's functions that read lists of bootstrap addresses."""

from __future__ import annotations

from collections.abc import Iterable

from libp2p.exceptions import InvalidAddrError
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.utils.logs import get_logger

logger = get_logger(__name__)


def validate_bootstrap_addresses(addrs: Iterable[str]) -> list[str]:
    """Return those of ``addrs`` that name a peer; the others are logged."""
    return [address for address in addrs if parse_bootstrap_peer_info(address) is not None]


def parse_bootstrap_peer_info(addr_str: str) -> PeerInfo | None:
    """Read an address that ends in ``/p2p/<peer id>``; None, and a log line, if it is none."""
    try:
        return info_from_p2p_addr(addr_str)
    except (InvalidAddrError, TypeError) as error:
        logger.warning("a bootstrap address is left out: %s", error)
        return None
