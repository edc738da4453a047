"""What bitswap can fail with. A fetch that fails says whom it asked and what each one answered."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

from libp2p.exceptions import BaseLibp2pError, InvalidCID, MessageTooLarge, first_few

if TYPE_CHECKING:
    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID

#: Characters of a store's error, or of a line of a denylist, that are quoted in an error of ours.
MAX_QUOTED: Final = 200


class PeerAnswer(Enum):
    """What a peer said when it was asked for a block."""

    DONT_HAVE = "does not have it"
    HAVE = "said that it has it, then sent nothing"
    SILENT = "did not answer"
    UNASKED = "sent a block that was not asked for"
    DISCONNECTED = "disconnected"
    UNREACHABLE = "could not be reached"
    NOT_SUPPORTED = "does not speak bitswap"
    UNRESPONSIVE = "does not take messages"


class BitswapError(BaseLibp2pError):
    """Root of bitswap's errors."""


class InvalidBlockError(BitswapError, ValueError):
    """A block's bytes are not what its CID names."""


class BlockTooLargeError(BitswapError):
    """A block does not fit into a bitswap message."""


class MessageTooLargeError(BitswapError, MessageTooLarge):
    """A message is longer, or has more parts, than bitswap allows."""


class InvalidCIDError(BitswapError, InvalidCID):
    """A value is not a CID."""


class DenylistError(BitswapError, ValueError):
    """A denylist has a line that is no rule, is of an unknown version or too large, or not read."""


class ClientClosedError(BitswapError):
    """The client was stopped, or has not been started."""


class _FetchError(BitswapError):
    """A block did not come; ``cid`` and ``peers`` say which one and who was asked."""

    def __init__(
        self,
        message: str,
        cid: CID | None = None,
        peers: Mapping[ID, PeerAnswer] | None = None,
        providers: int | None = None,
        routers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.cid = cid
        self.peers: dict[ID, PeerAnswer] = dict(peers or {})
        self.providers = providers
        """How many providers a search has found; None if nothing was searched for."""
        self.routers: dict[str, str] = dict(routers or {})
        """Which routers were asked for providers, by name, and what each said."""


class BlockTimeoutError(_FetchError, builtins.TimeoutError):
    """No peer sent a block in time."""


TimeoutError = BlockTimeoutError
"""py-libp2p's name of it, which hides Python's."""


class BlockUnavailableError(_FetchError):
    """Every peer that could be asked for a block has failed or said no; nobody is left to ask."""


class BlockNotFoundError(BlockUnavailableError):
    """Every peer that was asked for a block said that it does not have it."""


class DamagedBlockError(BlockUnavailableError):
    """A block was here and is damaged, and no peer is left to ask for another copy."""


def describe_peers(peers: Mapping[ID, PeerAnswer]) -> str:
    """Say in words what the first few answered: ``12D3… does not have it and 195 more``."""
    if not peers:
        return "no peer is connected"
    return first_few(f"{peer} {answer.value}" for peer, answer in peers.items())


def describe_routers(routers: Mapping[str, str]) -> str:
    """Say in words what the first few routers answered, for the end of a sentence."""
    if not routers:
        return ""
    return f" ({first_few(f'{name}: {said}' for name, said in routers.items())})"


def unavailable(
    cid: CID,
    peers: Mapping[ID, PeerAnswer],
    providers: int | None = None,
    damage: str | None = None,
    routers: Mapping[str, str] | None = None,
) -> BlockUnavailableError:
    """
    Make the error for a block that nobody is left to be asked for.

    :param damage: the file that was found in place of a copy here.
    :param routers: what each router said that was asked for providers.
    """
    kind = BlockUnavailableError
    text = f"no peer has block {cid}: {describe_peers(peers)}"
    if providers is not None:
        text += f"; providers found: {providers or 'none'}{describe_routers(routers or {})}"
    if damage is not None:
        kind = DamagedBlockError
        text += f"; the copy here is damaged: {damage}"
    elif peers and all(answer is PeerAnswer.DONT_HAVE for answer in peers.values()):
        kind = BlockNotFoundError
    return kind(text, cid, peers, providers, routers)


def not_here(cid: CID, damage: str | None) -> BlockUnavailableError:
    """Make the error for a block that is not in the store and that no peer can be asked for."""
    if damage is not None:
        return DamagedBlockError(f"block {cid} is damaged: {damage}", cid)
    return BlockNotFoundError(f"block {cid} is not in the repo", cid)


def timed_out(
    cid: CID,
    seconds: float,
    peers: Mapping[ID, PeerAnswer],
    routers: Mapping[str, str] | None = None,
) -> BlockTimeoutError:
    """Make the error for a block that did not come in time."""
    text = f"block {cid} did not come within {seconds:g} s: {describe_peers(peers)}"
    if routers:
        text += f"; routers asked{describe_routers(routers)}"
    return BlockTimeoutError(text, cid, peers, routers=routers)


def not_stored(cid: CID, error: Exception) -> BitswapError:
    """Make the error for a block that came and that the store could not keep."""
    failure = BitswapError(f"block {cid} came but was not stored: {str(error)[:MAX_QUOTED]}")
    failure.__cause__ = error
    return failure
