"""
py-libp2p's `SessionInterestManager`: which sessions wait for a block.

The engine does not use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.ipld.cid import CIDInput


class Sessions(Protocol):
    """The part of a `BitswapClient` that is used."""

    def sessions_waiting_for(self, cid: CIDInput) -> set[BitswapSession]:
        """Return the sessions in which a task waits for a block."""


class SessionInterestManager:
    """
    Shows which sessions wait for a block, and takes entries of the program.

    Blocks find their sessions through the want tracker; nothing has to be entered for that.
    """

    def __init__(self, client: Sessions | None = None) -> None:
        self._client = client
        self._entered: dict[CID, set[BitswapSession]] = {}

    def record_session_interest(self, session: BitswapSession, cid: CIDInput) -> None:
        self._entered.setdefault(CID.of(cid), set()).add(session)

    def remove_session_interest(self, session: BitswapSession, cid: CIDInput) -> None:
        sessions = self._entered.get(CID.of(cid), set())
        sessions.discard(session)
        if not sessions:
            self._entered.pop(CID.of(cid), None)

    def split_wanted_blocks(self, cid: CIDInput) -> set[BitswapSession]:
        """Return the sessions that wait for a block, and forget those that were entered."""
        sessions = self.get_interested_sessions(cid)
        self._entered.pop(CID.of(cid), None)
        return sessions

    def get_interested_sessions(self, cid: CIDInput) -> set[BitswapSession]:
        """Return the sessions that wait for a block."""
        waiting = self._client.sessions_waiting_for(cid) if self._client else set()
        return waiting | self._entered.get(CID.of(cid), set())
