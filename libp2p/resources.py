"""
The budgets of a host: which part of it holds how much (sans-I/O).

A `Scope` is a node of a tree: the host's unread bytes, below it those of each connection. What is
held in a scope counts in every scope above it, and each may have a limit. A limit is kept in one
of two ways. `Scope.try_hold` refuses an amount that does not fit: use it for work that can wait or
be made smaller. `Scope.hold` accepts the amount and then cuts the scope that holds the most: use it
for bytes that have been received already. Without the second way, many peers that each stay within
a limit of their own could together make a host hold any amount.

`Resources` has the trees of one host, by name; every part gets it at construction.
`Resources.statistics` reads all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from multiaddr import Multiaddr


@dataclass(frozen=True, slots=True)
class ScopeStatistics:
    """
    The state of a scope.

    :param held: the amount held now, in the unit of the tree: bytes, or a count.
    :param peak: the largest amount that has been held.
    :param limit: the largest amount that may be held; None if only limits above apply.
    :param cuts: how often a scope below was cut to keep this one's limit.
    """

    name: str
    held: int
    peak: int
    limit: int | None
    cuts: int
    children: tuple[ScopeStatistics, ...]


class Scope:
    """A part of a host that holds something, and the parts that it consists of."""

    __slots__ = (
        *("_children", "_crest", "_cut", "_fell", "_parent", "_weigh"),
        *("cuts", "held", "limit", "name", "peak"),
    )

    def __init__(
        self,
        name: str,
        limit: int | None = None,
        *,
        parent: Scope | None = None,
        cut: Callable[[], object] | None = None,
        weigh: Callable[[], float] | None = None,
    ) -> None:
        """
        Make a tree; `open` makes the scopes below.

        :param limit: what may be held here and below.
        :param cut: release something of what is held here, at once. Called when a limit above is
            exceeded and this scope is the heaviest.
        :param weigh: returns this scope's weight (the heaviest is cut); by default what it holds.
        """
        self.name = name
        self.limit = limit
        #: What is held here and below; changed by this class alone, as are the next two.
        self.held = 0
        self.peak = 0
        self.cuts = 0
        self._parent = parent
        self._cut = cut
        self._weigh = weigh
        self._children: dict[Scope, None] = {}
        self._crest = 0
        self._fell: tuple[int, Callable[[], object]] | None = None

    def on_fall(self, size: int, callback: Callable[[], object]) -> None:
        """
        Call ``callback`` after each burst: when ``size`` or more, and three quarters, of the amount
        held at the peak have been released.
        """
        self._fell = size, callback

    def open(
        self,
        name: str,
        limit: int | None = None,
        *,
        cut: Callable[[], object] | None = None,
        weigh: Callable[[], float] | None = None,
    ) -> Scope:
        """Begin a scope below this one; see the constructor."""
        child = Scope(name, limit, parent=self, cut=cut, weigh=weigh)
        self._children[child] = None
        return child

    def close(self) -> None:
        """Release all that is held here and leave the tree; a second call does nothing."""
        parent = self._parent
        if parent is None or self not in parent._children:
            return
        self._add(-self.held)
        del parent._children[self]
        self._cut = self._weigh = (
            None  # they refer to the owner of the scope, which refers to it: a cycle
        )

    def child(self, name: str) -> Scope:
        """Return the scope below of that name; it is begun if there is none."""
        found = next((child for child in self._children if child.name == name), None)
        return found or self.open(name)

    def held_by(self, name: str) -> int:
        """Return what the scopes below of that name hold."""
        return sum(child.held for child in self._children if child.name == name)

    def clear(self) -> None:
        """Close all scopes below, and release what is held here."""
        for child in list(self._children):
            child.close()
        self._add(-self.held)

    def set_limit(self, limit: int | None) -> None:
        """Allow so much from now on; what is held already may be more."""
        self.limit = limit

    @property
    def room(self) -> int | None:
        """What still fits here and above; None if nothing limits it."""
        rooms = [s.limit - s.held for s in self._path() if s.limit is not None]
        return max(min(rooms), 0) if rooms else None

    def try_hold(self, size: int) -> bool:
        """Hold ``size`` more if it fits here and above; else change nothing and return False."""
        for scope in self._path():
            if scope.limit is not None and scope.held + size > scope.limit:
                return False
        self._add(size)
        return True

    def claim(self, size: int) -> bool:
        """
        Hold ``size`` more if it fits, or if this scope has less than its share of what is above.

        In the second case the heaviest scopes are cut to make room. A scope that has its share is
        refused instead: if many scopes kept asking, each would have the others cut for ever.

        :return: whether it is held.
        """
        if self.try_hold(size):
            return True
        parent = self._parent
        if parent is None or parent.limit is None or parent.held + size <= parent.limit:
            return False
        if self.held + size > parent.limit / len(parent._children):
            return False
        self.hold(size)
        return True

    def hold(self, change: int) -> None:
        """
        Hold ``change`` more, or less if it is negative.

        If that exceeds a limit, the heaviest scopes below it are cut until the limit is kept. This
        scope may be one of them; then ``held`` is less than the caller expects.
        """
        self._add(change)
        if change > 0:
            for scope in self._path():
                if scope.limit is not None and scope.held > scope.limit:
                    scope._keep_limit(scope.limit)

    def release(self, size: int) -> None:
        """Hold ``size`` less."""
        self._add(-size)

    def statistics(self) -> ScopeStatistics:
        """Return the state of this scope and of all below it."""
        children = tuple(child.statistics() for child in self._children)
        return ScopeStatistics(self.name, self.held, self.peak, self.limit, self.cuts, children)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside the tree ------------------------------------------------------------------------

    def _path(self) -> list[Scope]:
        """Return this scope and those above, the nearest first."""
        path = [self]
        while (parent := path[-1]._parent) is not None:
            path.append(parent)
        return path

    def _add(self, change: int) -> None:
        scope: Scope | None = self
        while scope is not None:
            held = scope.held = scope.held + change
            if held > scope.peak:
                scope.peak = held
            if scope._fell is not None:
                scope._watch(held, *scope._fell)
            scope = scope._parent

    def _watch(self, held: int, size: int, callback: Callable[[], object]) -> None:
        if held > self._crest:
            self._crest = held
        elif self._crest - held >= max(size, 3 * self._crest // 4):
            self._crest = held
            callback()

    def _keep_limit(self, limit: int) -> None:
        """Cut the heaviest until the limit is kept, or until no cut releases anything."""
        unmoved: set[Scope] = set()
        while self.held > limit and (heaviest := self._heaviest(unmoved)) is not None:
            held = self.held
            assert heaviest._cut is not None
            self.cuts += 1
            heaviest._cut()
            if self.held >= held:
                unmoved.add(heaviest)

    def _heaviest(self, but: set[Scope]) -> Scope | None:
        """Return the heaviest scope below that can be cut: the first such one on each way down."""
        found: Scope | None = None
        most = 0.0
        for child in self._children:
            scope = child if child._cut is not None else child._heaviest(but)
            if scope is None or scope in but or not scope.held:
                continue
            weight = scope._weigh() if scope._weigh is not None else scope.held
            if found is None or weight > most:
                found, most = scope, weight
        return found


class Resources:
    """The scopes of one host, by what they count."""

    def __init__(
        self,
        limits: Mapping[str, int] | None = None,
        *,
        of_address: Callable[[Multiaddr], list[Scope]] = lambda _: [],
    ) -> None:
        """
        Make what has no trees yet.

        :param limits: of trees by their names, in place of those that `scope` is told.
        :param of_address: returns where connections of an address count, besides.
        """
        self._limits = dict(limits or {})
        self._at_most: dict[str, int] = {}
        self.of_address: Final = of_address
        self._scopes: dict[str, Scope] = {}
        self._each: dict[str, int] = {}
        self._fell: tuple[int, Callable[[], object]] | None = None

    def bound(self, name: str, most: int) -> None:
        """Let the tree of this name, not made yet, have this limit unless it gets a lower one."""
        self._at_most[name] = min(most, self._at_most.get(name, most))

    def on_fall(self, size: int, callback: Callable[[], object]) -> None:
        """Call ``callback`` after bursts of ``size`` bytes in any tree; see `Scope.on_fall`."""
        self._fell = size, callback
        for name in self._scopes:
            self._watch(name)

    def _watch(self, name: str) -> None:
        if self._fell is not None:
            size, callback = self._fell
            self._scopes[name].on_fall(max(size // self._each[name], 1), callback)

    def scope(self, name: str, limit: int | None = None, *, each: int = 1) -> Scope:
        """
        Return the tree of this name; it is made, as told, when it is first asked for.

        :param each: about how many bytes of memory one of what is counted takes.
        """
        if name not in self._scopes:
            limit = self._limits.get(name, limit)
            most = self._at_most.get(name)
            if limit is None or (most is not None and most < limit):
                limit = most
            self._scopes[name], self._each[name] = Scope(name, limit), each
            self._watch(name)
        return self._scopes[name]

    def find(self, name: str, *below: str) -> Scope | None:
        """Return a tree, or the scope below it that the names lead to; None if there is none."""
        scope = self._scopes.get(name)
        for each in below:
            if scope is not None:
                scope = next((child for child in scope._children if child.name == each), None)
        return scope

    def statistics(self) -> dict[str, ScopeStatistics]:
        """Return the state of all trees, by name."""
        return {name: scope.statistics() for name, scope in self._scopes.items()}
