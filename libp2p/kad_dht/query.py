"""
A lookup with its requests: a task for each request, at most ``alpha`` of them at a time.

`Lookup` decides which peer to ask next, and when the lookup is over. Requests that are under way
then are cancelled, so a mute peer delays nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import trio

from libp2p.io.waiter import Waiter
from libp2p.kad_dht.keyspace import key_of
from libp2p.kad_dht.lookup import Lookup
from libp2p.kad_dht.messages import Message, MessageType
from libp2p.kad_dht.requests import RequestFailed

if TYPE_CHECKING:
    from libp2p.kad_dht.config import DHTConfig
    from libp2p.kad_dht.lookup import LookupStatistics
    from libp2p.kad_dht.messages import PeerEntry
    from libp2p.kad_dht.requests import Requests
    from libp2p.peer.id import ID


class Query:
    """
    One lookup under way.

    :param request: what each peer is asked; its key is the target.
    :param seeds: the closest peers that are known.
    :param own: this host, which is never asked.
    :param worth_asking: chooses the peers of an answer that may be asked.
    :param on_result: called for each peer, with whether it answered.
    :param on_answer: called with each answer; returns True to end the lookup.
    """

    def __init__(  # noqa: PLR0913 - five of them by name
        self,
        requests: Requests,
        request: Message,
        seeds: Sequence[PeerEntry],
        config: DHTConfig,
        *,
        own: ID,
        worth_asking: Callable[[Iterable[PeerEntry]], Iterable[PeerEntry]],
        on_result: Callable[[ID, bool], object],
        on_answer: Callable[[ID, Message], bool] | None = None,
    ) -> None:
        self._requests = requests
        self._request = request
        self._config = config
        self._worth_asking = worth_asking
        self._on_result = on_result
        self._on_answer = on_answer
        self._lookup = Lookup(
            key_of(request.key),
            seeds,
            k=config.k,
            alpha=config.alpha,
            beta=config.beta,
            disjoint_paths=config.disjoint_paths,
            own=own,
        )
        self._nursery: trio.Nursery | None = None
        self._is_stopped = False
        # When each request becomes slow, in their order.
        self._slow_at: deque[tuple[float, ID]] = deque()
        self._asked = Waiter()

    @property
    def request(self) -> Message:
        """The request that each peer is asked."""
        return self._request

    @property
    def statistics(self) -> LookupStatistics:
        """What the lookup has cost so far."""
        return self._lookup.statistics

    async def run(self) -> list[PeerEntry]:
        """Look up, within the time of a lookup; return the closest peers that answered."""
        with trio.move_on_after(self._config.query_seconds):
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._watch_slow)
                self._go_on()
        return self._lookup.closest()

    def _go_on(self) -> None:
        nursery = self._nursery
        assert nursery is not None
        if not self._is_stopped:
            slow_at = trio.current_time() + self._config.slow_seconds
            for peer in self._lookup.next_requests():
                nursery.start_soon(self._ask, peer)
                self._slow_at.append((slow_at, peer))
                self._asked.wake()
        if self._is_stopped or self._lookup.is_done:
            nursery.cancel_scope.cancel()

    async def _ask(self, peer: ID) -> None:
        entry = self._lookup.entry(peer)
        is_probe = self._lookup.is_probe(peer)
        request = Message(MessageType.FIND_NODE, peer.to_bytes()) if is_probe else self._request
        try:
            answer = await self._requests.ask(peer, request, entry.addrs if entry else ())
        except RequestFailed:
            self._on_result(peer, False)
            self._lookup.on_failure(peer)
        else:
            self._on_result(peer, True)
            self._lookup.on_answer(peer, self._worth_asking(answer.closer))
            if self._on_answer is not None and not is_probe:
                self._is_stopped = self._on_answer(peer, answer)
        self._go_on()

    async def _watch_slow(self) -> None:
        """Let other peers be asked in place of slow ones."""
        while True:
            while not self._slow_at:
                await self._asked.wait()
            await trio.sleep_until(self._slow_at[0][0])
            now = trio.current_time()
            while self._slow_at and self._slow_at[0][0] <= now:
                self._lookup.on_slow(self._slow_at.popleft()[1])  # ignored if the peer has answered
            self._go_on()
