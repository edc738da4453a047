"""
Objects whose methods are called in trio's thread, by programs that are not in it.

A `Remote` stands for an object of this library. What it gives is an object of the same kind, or a
value. What a program gives it is taken over to trio: another `Remote` is what it stands for, and
coroutine functions of asyncio become ones of trio.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
from collections.abc import Callable
from functools import lru_cache, partial
from types import AsyncGeneratorType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from libp2p.bridge.across import Held, Pumped, call, hop
from libp2p.bridge.side import AsyncioSide
from libp2p.bridge.streams import StreamEnd
from libp2p.bridge.trio_thread import current
from libp2p.exceptions import LocalProtocolError

if TYPE_CHECKING:
    from libp2p.bridge.side import Side
    from libp2p.bridge.trio_thread import TrioThread

T = TypeVar("T")

Kind = Literal["coroutine", "iteration", "context", "plain"]

_BY_ANNOTATION: Final[dict[str, Kind]] = {
    "Awaitable": "coroutine",
    "Coroutine": "coroutine",
    "AsyncIterator": "iteration",
    "AsyncIterable": "iteration",
    "AsyncGenerator": "iteration",
    "AbstractAsyncContextManager": "context",
}

#: The attribute of a function that holds what it calls in trio's thread.
_OVER_THERE: Final = "__over_there__"

_ASYNCIO: Final = AsyncioSide()

_ASYNC_NAMES: Final = ("__aenter__", "__aiter__", "__anext__", "__await__")


class Remote:
    """Stands for a class of the library, or for an object (`RemoteObject`)."""

    __slots__ = ("__weakref__", "_side", "_target", "_thread")

    def __init__(self, side: Side, target: Any, thread: TrioThread | None = None) -> None:
        self._side = side
        self._target = target
        self._thread = thread

    # -- attributes and calls -------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no attribute {name!r} on this side")
        kind: Any = type(self._target)
        if _is_computed(kind, name):
            return self._wrap(hop(self._running(), partial(getattr, self._target, name)))
        value = getattr(self._target, name)
        if isinstance(value, FunctionType | MethodType):
            return self._function(value)
        return self._wrap(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self._target)(*args, **kwargs)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._target) if not name.startswith("_")]

    def __repr__(self) -> str:
        return f"<{self._target!r}, in trio's thread>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._target is other._target

    def __hash__(self) -> int:
        return hash((Remote, id(self._target)))

    def __reduce__(self) -> Any:
        raise LocalProtocolError(f"{self!r} cannot be pickled: it belongs to this process")

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._target)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        doc: str | None = self._target.__doc__
        return doc

    def _running(self) -> TrioThread:
        # An object stays in the thread in which it was made; a class is called in today's.
        return current() if self._thread is None else self._thread

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls one in trio's thread."""
        kind, side = _kind_of(function), self._side

        def bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
            taken = {name: self._take_over(value) for name, value in kwargs.items()}
            return partial(function, *map(self._take_over, args), **taken)

        if kind == "coroutine":

            async def call_across(*args: Any, **kwargs: Any) -> Any:
                thread, make = self._running(), bound(args, kwargs)
                late = None
                if hasattr(self._target, "seek"):
                    late = partial(_unread, thread, self._target)
                return self._wrap(await call(thread, side, make, late), thread)

            def finished(*args: Any, **kwargs: Any) -> Any:
                return side.finish(call_across(*args, **kwargs))

            return _looking_like(function, call_across if side.is_async else finished)

        def other(*args: Any, **kwargs: Any) -> Any:
            thread, make = self._running(), bound(args, kwargs)
            if kind == "iteration":
                return RemoteIterator(side, Pumped(thread, side, make), thread)
            if kind == "context":
                return RemoteContext(side, make, thread)
            return self._wrap(hop(thread, make), thread)

        return _looking_like(function, other)

    # -- what comes, what goes ------------------------------------------------------------------

    def _wrap(self, value: Any, thread: TrioThread | None = None) -> Any:
        """Return what stands for a value of trio's on this side."""
        return wrap(self._side, value, self._running() if thread is None else thread)

    def _take_over(self, value: Any) -> Any:
        """Return what stands in trio's thread for an argument."""
        if isinstance(value, Remote):
            return value._target
        if isinstance(value, FunctionType) and _OVER_THERE in vars(value):
            return vars(value)[_OVER_THERE]
        if type(value) in (list, tuple):
            return type(value)(map(self._take_over, value))
        return self._side.taken_over(value, partial(wrap, self._side, thread=self._running()))


class _Block:
    """Leaves what is held in trio's thread, at the end of ``async with`` and of ``with``."""

    __slots__ = ()
    _side: Side
    _held: Held

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return await self._held.leave(error)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        left: bool = self._side.finish(self.__aexit__(kind, error, trace))
        return left


class RemoteObject(_Block, Remote):
    """Stands for an object; `isinstance` takes it for one of its class."""

    __slots__ = ("_held",)

    @property
    def __class__(self) -> Any:
        return type(self._target)

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise AttributeError("the class of an object cannot change")

    def __aiter__(self) -> RemoteIterator:
        thread = self._running()
        return RemoteIterator(self._side, Pumped(thread, self._side, lambda: self._target), thread)

    def __iter__(self) -> RemoteIterator:
        if self._side.is_async:
            raise TypeError(f"{self!r} is iterated over with 'async for'")
        return self.__aiter__()

    def _enter(self) -> Any:
        make = partial(_async_context, self._target)
        self._held = Held(self._running(), self._side, make)
        return self._held.enter()

    async def __aenter__(self) -> Any:
        value = await self._enter()
        return self if value is self._target else self._wrap(value)

    def __enter__(self) -> Any:
        value = _blocking(self._side).finish(self._enter())
        return self if value is self._target else self._wrap(value)


class RemoteStream(RemoteObject):
    """Stands for a stream, much of which is on this side."""

    __slots__ = ("_end",)

    def __init__(self, side: Side, target: Any, thread: TrioThread) -> None:
        super().__init__(side, target, thread)
        self._end = StreamEnd(side, thread, target)

    def __getattr__(self, name: str) -> Any:
        method = None if name.startswith("_") else getattr(self._end, name, None)
        if method is None or name == "flushed":
            return super().__getattr__(name)
        if not inspect.iscoroutinefunction(method) or self._side.is_async:
            return method
        return lambda *args, **kwargs: self._side.finish(method(*args, **kwargs))

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            await self._end.flushed()
        return await super().__aexit__(kind, error, trace)


class RemoteContext(_Block):
    """``async with`` in asyncio and ``with`` in plain Python, for a context of trio's."""

    def __init__(self, side: Side, make: Callable[[], Any], thread: TrioThread) -> None:
        self._side = side
        self._thread = thread
        self._held = Held(thread, side, lambda: _async_context(make()))

    async def __aenter__(self) -> Any:
        return wrap(self._side, await self._held.enter(), self._thread)

    def __enter__(self) -> Any:
        return _blocking(self._side).finish(self.__aenter__())


class RemoteIterator:
    """``async for`` in asyncio and ``for`` in plain Python, for an iteration of trio's."""

    def __init__(self, side: Side, pumped: Pumped[Any], thread: TrioThread) -> None:
        self._side = side
        self._pumped = pumped
        self._thread = thread

    def __aiter__(self) -> RemoteIterator:
        return self

    async def __anext__(self) -> Any:
        return wrap(self._side, await self._pumped.next(), self._thread)

    async def aclose(self) -> None:
        """End it; otherwise it ends when nobody refers to it any more."""
        await self._pumped.close()

    def __iter__(self) -> RemoteIterator:
        _blocking(self._side)
        return self

    def __next__(self) -> Any:
        try:
            return self._side.finish(self.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Do what `aclose` does, in plain Python."""
        _blocking(self._side).finish(self._pumped.close())

    def __del__(self) -> None:
        self._pumped.abandon()


def _unread(thread: TrioThread, file: Any, data: object) -> None:
    """Go back in a file by what was read for a caller who was cancelled meanwhile."""
    if isinstance(data, bytes):
        thread.soon(lambda: None if file.closed else file.seek(-len(data), io.SEEK_CUR))


def bridge(value: T) -> T:
    """
    Return what a class, function or object of this library is under asyncio.

    What it returns is bridged as well. Its type is the same: what is awaited there is awaited here.
    """
    return cast("T", bridged(_ASYNCIO, value))


def bridged(side: Side, value: Any) -> Any:
    """Return what stands for a class, a function or an object on a side."""
    if isinstance(value, FunctionType | MethodType):
        return Remote(side, value)._function(value)
    return Remote(side, value) if isinstance(value, type) else wrap(side, value, current())


def wrap(side: Side, value: Any, thread: TrioThread) -> Any:
    """Return what stands for a value on this side: itself, if nothing of it waits for trio."""
    kind: Any = type(value)
    if kind in (list, tuple):
        return kind(wrap(side, item, thread) for item in value)
    if kind is dict:
        return {name: wrap(side, item, thread) for name, item in value.items()}
    if kind is AsyncGeneratorType:
        return RemoteIterator(side, Pumped(thread, side, lambda: value), thread)
    if isinstance(value, contextlib.AbstractContextManager) and kind.__module__ == "contextlib":
        return RemoteContext(side, lambda: value, thread)
    if not _belongs_to_trio(kind):
        return value
    is_stream = {"receive", "send", "close_write"} <= set(dir(kind))
    return (RemoteStream if is_stream else RemoteObject)(side, value, thread)


@lru_cache(maxsize=1024)
def _belongs_to_trio(kind: type) -> bool:
    """Tell whether objects of a class are called in trio's thread: if any of it is async."""
    if issubclass(kind, BaseException):
        return False
    return any(
        name in _ASYNC_NAMES or _kind_of(_plain(attribute)) != "plain"
        for each in kind.__mro__
        if each.__module__.partition(".")[0] == "libp2p"
        for name, attribute in vars(each).items()
        if not name.startswith("_") or name in _ASYNC_NAMES
    )


@lru_cache(maxsize=4096)
def _is_computed(kind: type, name: str) -> bool:
    """Tell whether reading an attribute runs code, which has to run in trio's thread."""
    attribute = inspect.getattr_static(kind, name, None)
    return isinstance(attribute, property | functools.cached_property)


def _plain(attribute: object) -> object:
    return attribute.__func__ if isinstance(attribute, classmethod | staticmethod) else attribute


def _kind_of(function: Any) -> Kind:
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    if inspect.isasyncgenfunction(function):
        return "iteration"
    if not isinstance(function, FunctionType | MethodType):
        return "plain"
    if inspect.isasyncgenfunction(getattr(function, "__wrapped__", None)):
        return "context"
    annotation = function.__annotations__.get("return")
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return _BY_ANNOTATION.get(name.partition("[")[0], "plain")


def _looking_like(function: Any, replacement: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function the name, text and signature of another, for editors and `help`."""
    functools.update_wrapper(replacement, function)
    with contextlib.suppress(ValueError, TypeError):
        signature = inspect.signature(function)
        vars(replacement).update(__signature__=signature)
    vars(replacement)[_OVER_THERE] = function
    del replacement.__wrapped__  # type: ignore[attr-defined]  # it is not to be called
    return replacement


def _blocking(side: Side) -> Side:
    if side.is_async:
        raise TypeError("under asyncio this needs 'async with' or 'async for'")
    return side


@contextlib.asynccontextmanager
async def _sync_context(context: Any) -> Any:
    with context as value:
        yield value


def _async_context(context: Any) -> Any:
    return context if hasattr(context, "__aenter__") else _sync_context(context)
