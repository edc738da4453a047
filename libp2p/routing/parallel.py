"""
Several routers asked at once: a DHT, a company's HTTP router, a list of friends.

Every router has a deadline of its own. What the first one finds is given at once, what others find
of the same peer is united with it. A router that fails or hangs costs its own answers only; that
all have failed is an error that names each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from libp2p.exceptions import BaseLibp2pError, RoutersFailed, RoutingError
from libp2p.peer.id import ID, sha256_digest
from libp2p.routing.adapters import awaited, peer_of, providers_of
from libp2p.routing.found import FoundPeers
from libp2p.routing.report import RouterCall, RouterRecord, RouterReport
from libp2p.routing.values import BestValue
from libp2p.utils import arguments
from libp2p.utils.background import background_tasks
from libp2p.utils.fault_log import FaultLog
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.routing.values import RecordRules

#: A lookup in a DHT of strangers takes ten seconds or so when some of them are dead; a router that
#: has not ended after this time is not going to be of use to somebody who waits for a file.
ROUTER_SECONDS: Final = 30.0

#: Questions to the routers at once, of the whole host; the others wait. Bitswap alone asks eight.
MAX_QUESTIONS: Final = 64

#: Peers closest to a key that are returned: the k of Kademlia.
MAX_CLOSEST_PEERS: Final = 20

_QUESTIONS: Final = (
    "find_provider_iter", "find_providers", "find_peer", "get_closest_peers", "get_value",
    "search_value", "put_value", "provide",
)  # fmt: skip


@dataclass(frozen=True)
class ParallelConfig:
    """
    Limits of a `ParallelRouter`.

    :raises ValueError: or `TypeError`, if one of them cannot be.
    """

    timeout: float = ROUTER_SECONDS
    """Seconds that each router has, unless `ParallelRouter` is given another time for it."""
    max_questions: int = MAX_QUESTIONS
    """At once; the others wait."""

    def __post_init__(self) -> None:
        arguments.check_numbers(self, least=1)


@dataclass(frozen=True)
class _Member:
    """One of the routers."""

    name: str
    router: object
    timeout: float
    record: RouterRecord


class _Question:
    """
    What a question to the routers has led to.

    Owner: libp2p.routing.parallel
    """

    def __init__(self) -> None:
        self.asked = 0
        self.errors: dict[str, Exception] = {}

    def raise_if_all_failed(self, what: str, or_none: bool = False) -> None:
        """:raises RoutersFailed: if all have failed; with ``or_none``, also if there is none."""
        if self.errors and len(self.errors) == self.asked:
            reasons = "; ".join(
                f"{name}: {str(error) or type(error).__name__:.200}"
                for name, error in self.errors.items()
            )
            raise RoutersFailed(f"no router could {what}: {reasons}", self.errors)
        if or_none and not self.asked:
            raise RoutersFailed(f"there is no router that could {what}")


class _Search(_Question):
    """
    A question that runs in tasks of the router while a caller reads what they find.

    Owner: libp2p.routing.parallel
    """

    def __init__(self) -> None:
        super().__init__()
        self.scope = trio.CancelScope()
        self.is_done = False
        self.was_stopped = False
        """The router's `run` has ended before the question did."""
        self._changed = trio.Event()

    def wake(self) -> None:
        """Wake the caller: there is something new, or the end."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait until there is something new."""
        await self._changed.wait()
        self._changed = trio.Event()

    def raise_if_stopped(self) -> None:
        """:raises RoutingError: if the routers were not asked to the end."""
        if self.was_stopped:
            raise RoutingError("the router was stopped while it was searching")


class ParallelRouter:
    """
    A router made of routers: a `ContentRouter`, `PeerRouter` and `ValueRouter` in one.

    Each is asked for what it can do: one that only knows peers is not asked for values. Iterators
    need ``async with router.run()``, whose nursery their tasks run in; the other questions do not.

    :param routers: by name, as they appear in errors and reports; those of a plain list are called
        by their classes. Routers in the style of py-libp2p will do as well.
    :param validator: decides which of several values is the best, such as `libp2p.records`'
        ``NamespacedValidator``. Without one the first value wins.
    :param timeouts: seconds for some of the routers, by name.
    """

    def __init__(
        self,
        routers: Mapping[str, object] | Iterable[object],
        *,
        validator: RecordRules | None = None,
        timeouts: Mapping[str, float] | None = None,
        config: ParallelConfig | None = None,
    ) -> None:
        self._config = config or ParallelConfig()
        self._validator = validator
        self._members = _members(routers, timeouts or {}, self._config)
        self._turns = trio.CapacityLimiter(self._config.max_questions)
        self._nursery: trio.Nursery | None = None
        self._faults = FaultLog()

    def __repr__(self) -> str:
        return shown(self, lambda: ", ".join(member.name for member in self._members))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[ParallelRouter]:
        """
        Let searches run for the length of the block; those that are under way end with it.

        The routers themselves are run by whoever has made them.

        :raises RoutingError: if it runs already.
        """
        if self._nursery is not None:
            raise RoutingError("the router runs already")
        async with background_tasks() as self._nursery:
            try:
                yield self
            finally:
                self._nursery = None

    def reports(self) -> list[RouterReport]:
        """Return what became of the questions to each router, in the order of the routers."""
        return [member.record.report() for member in self._members]

    # -- content ------------------------------------------------------------------------------

    async def find_provider_iter(
        self, cid: bytes, count: int = 0
    ) -> AsyncGenerator[PeerInfo, None]:
        """
        Return the providers that any router finds, each as soon as it is found.

        A peer comes a second time when another router knows more addresses of it; it has all of
        them then, and counts once.

        :raises RoutersFailed: if all routers have failed.
        """
        found = FoundPeers(count)

        async def look(member: _Member, call: RouterCall) -> None:
            async with aclosing(providers_of(member.router, cid, count)) as providers:
                async for info in providers:
                    call.result(trio.current_time())
                    if found.add(info):
                        question.wake()

        question = self._start(self._who_can("find_provider_iter", "find_providers"), look)
        try:
            while True:
                while (info := found.take()) is not None:
                    yield info
                if found.is_complete or question.is_done:
                    break
                await question.wait()
            if not found.is_complete:
                question.raise_if_stopped()
            if not len(found):
                question.raise_if_all_failed("find providers")
        finally:
            question.scope.cancel()

    async def provide(self, cid: bytes, announce: bool = True) -> bool:
        """
        Announce a block through all routers; return whether one of them has told others.

        :raises RoutersFailed: if all routers have failed.
        """
        told = False

        async def announce_to(member: _Member, call: RouterCall) -> None:
            nonlocal told
            # py-libp2p's routers return nothing.
            if await awaited(member.router.provide(cid, announce)) is not False:  # type: ignore[attr-defined]
                call.result(trio.current_time())
                told = True

        question = await self._ask_all(self._who_can("provide"), announce_to)
        if not told:
            question.raise_if_all_failed("announce a block")
        return told

    # -- peers --------------------------------------------------------------------------------

    async def find_peer(self, peer_id: ID) -> PeerInfo | None:
        """
        Return the addresses of a peer from the first router that knows any.

        :raises RoutersFailed: if all routers have failed.
        """
        found = FoundPeers()
        enough = trio.CancelScope()

        async def look(member: _Member, call: RouterCall) -> None:
            info = await peer_of(member.router, peer_id)
            if info is not None:
                call.result(trio.current_time())
                found.add(info)
                enough.cancel()

        question = _Question()
        with enough:
            await self._ask_all(self._who_can("find_peer"), look, question)
        if not len(found):
            question.raise_if_all_failed("find a peer")
        return found.take()

    async def get_closest_peers(self, key: bytes) -> list[PeerInfo]:
        """
        Return the peers that are closest to a key in the key space, of those that DHTs know.

        :param key: a multihash: that of a block, or a peer id.
        :raises RoutersFailed: if all routers have failed.
        """
        found = FoundPeers()

        async def look(member: _Member, call: RouterCall) -> None:
            for info in await member.router.get_closest_peers(key):  # type: ignore[attr-defined]
                call.result(trio.current_time())
                found.add(info)

        question = await self._ask_all(self._who_can("get_closest_peers"), look)
        if not len(found):
            question.raise_if_all_failed("find the closest peers")
        target = int.from_bytes(sha256_digest(key), "big")
        peers: list[PeerInfo] = []
        while (info := found.take()) is not None:
            peers.append(info)
        peers.sort(key=lambda info: info.peer_id.xor_id ^ target)
        return peers[:MAX_CLOSEST_PEERS]

    # -- values -------------------------------------------------------------------------------

    async def put_value(self, key: bytes, value: bytes) -> None:
        """
        Store a record through all routers.

        :raises RoutersFailed: if none took it.
        """
        stored = False

        async def put(member: _Member, call: RouterCall) -> None:
            nonlocal stored
            await member.router.put_value(key, value)  # type: ignore[attr-defined]
            call.result(trio.current_time())
            stored = True

        question = await self._ask_all(self._who_can("put_value"), put)
        if not stored:
            question.raise_if_all_failed("store a record", or_none=True)

    async def get_value(self, key: bytes) -> bytes | None:
        """
        Return the best record that any router knows; it waits for all, or for their deadlines.

        :raises RoutersFailed: if all routers have failed.
        """
        value = BestValue(key, self._validator)

        async def get(member: _Member, call: RouterCall) -> None:
            found = await member.router.get_value(key)  # type: ignore[attr-defined]
            if found is not None:
                value.offer(found)
                call.result(trio.current_time())

        question = await self._ask_all(self._who_can("get_value"), get)
        if value.best is None:
            question.raise_if_all_failed("get a record")
        return value.best

    async def search_value(self, key: bytes) -> AsyncGenerator[bytes, None]:
        """
        Return records as they are found, each better than the one before.

        :raises RoutersFailed: if all routers have failed.
        """
        value = BestValue(key, self._validator)

        async def search(member: _Member, call: RouterCall) -> None:
            async with aclosing(_values_of(member.router, key)) as values:
                async for each in values:
                    if value.offer(each):
                        question.wake()
                    call.result(trio.current_time())

        question = self._start(self._who_can("search_value", "get_value"), search)
        given: bytes | None = None
        try:
            while True:
                while (best := value.best) is not None and best != given:
                    given = best
                    yield best
                if question.is_done:
                    break
                await question.wait()
            question.raise_if_stopped()
            if given is None:
                question.raise_if_all_failed("find a record")
        finally:
            question.scope.cancel()

    # -- asking -------------------------------------------------------------------------------

    def _who_can(self, *methods: str) -> list[_Member]:
        """Return the routers that have one of these methods."""
        return [m for m in self._members if any(hasattr(m.router, name) for name in methods)]

    def _start(
        self, members: list[_Member], ask: Callable[[_Member, RouterCall], Awaitable[None]]
    ) -> _Search:
        if self._nursery is None:
            raise RoutingError("the router does not run: use it within `async with router.run()`")
        question = _Search()
        self._nursery.start_soon(self._answer, question, members, ask)
        return question

    async def _answer(
        self,
        question: _Search,
        members: list[_Member],
        ask: Callable[[_Member, RouterCall], Awaitable[None]],
    ) -> None:
        try:
            with question.scope:
                await self._ask_all(members, ask, question)
        finally:
            question.was_stopped = self._nursery is None
            question.is_done = True
            question.wake()

    async def _ask_all(
        self,
        members: list[_Member],
        ask: Callable[[_Member, RouterCall], Awaitable[None]],
        question: _Question | None = None,
    ) -> _Question:
        question = question or _Question()
        async with self._turns, trio.open_nursery() as nursery:
            question.asked = len(members)
            for member in members:
                nursery.start_soon(self._ask, member, ask, question.errors)
        return question

    async def _ask(
        self,
        member: _Member,
        ask: Callable[[_Member, RouterCall], Awaitable[None]],
        errors: dict[str, Exception],
    ) -> None:
        call = member.record.begin(trio.current_time())
        try:
            with trio.move_on_after(member.timeout) as scope:
                await ask(member, call)
            if scope.cancelled_caught:
                call.cut_off()
                if not call.has_result:
                    raise RoutingError(f"no answer within {member.timeout:g} s")
        except BaseLibp2pError as error:
            call.failed(error)
            errors[member.name] = error
        except Exception as error:  # noqa: BLE001 - task's edge: a router of the user's
            self._faults.note(f"the router {member.name}", error)
            call.failed(error)
            errors[member.name] = error
        finally:
            call.end(trio.current_time())


async def _values_of(router: object, key: bytes) -> AsyncGenerator[bytes, None]:
    search = getattr(router, "search_value", None)
    if search is None:
        value = await router.get_value(key)  # type: ignore[attr-defined]  # a router without search
        if value is not None:
            yield value
        return
    async with aclosing(search(key)) as values:
        async for value in values:
            yield value


def _members(
    routers: Mapping[str, object] | Iterable[object],
    timeouts: Mapping[str, float],
    config: ParallelConfig,
) -> list[_Member]:
    named = dict(routers) if isinstance(routers, Mapping) else _named(routers)
    for name in timeouts:
        if name not in named:
            raise arguments.out_of_range("what timeouts names", name, "one of the routers")
    members = []
    for name, router in named.items():
        if isinstance(router, type) or not any(hasattr(router, each) for each in _QUESTIONS):
            raise arguments.wrong_type(f"router {name}", router, "a router of libp2p.routing.abc")
        timeout = arguments.seconds(timeouts.get(name, config.timeout), f"timeout of {name}")
        members.append(_Member(name, router, timeout, RouterRecord(name)))
    return members


def _named(routers: Iterable[object]) -> dict[str, object]:
    named: dict[str, object] = {}
    for router in arguments.listed(routers, "routers", "routers by name, or a list of them"):
        kind = type(router).__name__
        same = sum(type(other) is type(router) for other in named.values())
        named[f"{kind} {same + 1}" if same else kind] = router
    return named
