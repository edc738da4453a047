"""
Checks of arguments that programs pass to the library.

Each function returns the value in the form that the inner parts use, or raises one of the library's
errors, which names the argument and says what was expected.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from operator import index
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from libp2p.base_types import TProtocol
from libp2p.exceptions import InvalidArgument, WrongArgumentType
from libp2p.hostile_input import refused_as

if TYPE_CHECKING:
    from libp2p.base_types import Buffer

_BUFFERS: Final = (bytes, bytearray, memoryview)
#: Characters of a value that an error quotes.
_QUOTED: Final = 100


def wrong_type(name: str, value: object, expected: str) -> WrongArgumentType:
    """Return the error for a value of the wrong type."""
    given = "None" if value is None else type(value).__name__
    return WrongArgumentType(f"{name} must be {expected}, not {given}")


def out_of_range(name: str, value: object, expected: str) -> InvalidArgument:
    """Return the error for a value of the right type that is out of range."""
    return InvalidArgument(f"{name} must be {expected}, not {value!r:.{_QUOTED}}")


# -- numbers --------------------------------------------------------------------------------------


def seconds(value: object, name: str = "timeout") -> float:
    """Return a number of seconds, from 0 to infinity; None means infinity."""
    if value is None:
        return math.inf
    if type(value) is float and value >= 0:  # nearly always
        return value
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise wrong_type(name, value, "a number of seconds, or None for no limit")
    with refused_as(InvalidArgument, f"{name} cannot be used as a number"):
        number = float(value)
    if not number >= 0:
        raise out_of_range(name, value, "0 seconds or more")
    return number


def share(value: object, name: str) -> float:
    """Return a fraction, from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, value, "a number from 0 to 1")
    if not 0 <= value <= 1:
        raise out_of_range(name, value, "a number from 0 to 1")
    return value


def count(value: object, name: str, least: int = 0, most: int | None = None) -> int:
    """Return an integer from ``least`` to ``most``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong_type(name, value, "a whole number")
    number = index(value)
    if number < least or (most is not None and number > most):
        bound = f"{least} or more" if most is None else f"{least} to {most}"
        raise out_of_range(name, number if abs(number) < 2**64 else "a huge number", bound)
    return number


def check_numbers(
    config: Any,
    *,
    least: int = 0,
    most: int | None = None,
    least_of: Mapping[str, int] = MappingProxyType({}),
    shares: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """
    Check the fields of a configuration, a dataclass of numbers: counts, seconds, and ``shares``.

    A field whose default is an integer is a count; any other that is no share is a number of
    seconds. Seconds given in another form become a float.

    :param least: of each count, but for those that ``least_of`` names.
    :param without: fields that are no numbers.
    :raises ValueError: or `TypeError`, if one of them cannot be.
    """
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if name in without:
            continue
        if name in shares:
            share(value, name)
        elif isinstance(field.default, int):
            count(value, name, least_of.get(name, least), most)
        else:
            object.__setattr__(config, name, seconds(value, name))


# -- bytes, texts, paths, functions, objects -----------------------------------------------------


def binary(value: object, name: str = "data") -> Buffer:
    """Return bytes, or a view of bytes, as it is."""
    if isinstance(value, _BUFFERS):
        return value
    raise wrong_type(name, value, "bytes")


def path(value: object, name: str) -> str:
    """Return the path of a file or folder as text."""
    if not isinstance(value, str | os.PathLike):
        raise wrong_type(name, value, "a path (str or os.PathLike)")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise wrong_type(name, text, "a path of text")
    if "\0" in text:
        raise out_of_range(name, text, "a path without NUL")
    return text


def function(value: object, name: str) -> Any:
    """Return a callable as it is."""
    if not callable(value):
        raise wrong_type(name, value, "a function")
    return value


def async_function(value: object, name: str) -> Any:
    """
    Return an async function as it is.

    An ordinary function may return an awaitable, so it is refused only if it is annotated with
    ``-> None``.
    """
    if inspect.iscoroutinefunction(value):
        return value
    plain = function(value, name)
    while isinstance(plain, partial):
        plain = plain.func
    plain = inspect.unwrap(plain)
    if inspect.isasyncgenfunction(plain):
        raise WrongArgumentType(f"{name} must be an async function without yield")
    is_plain = inspect.isfunction(plain) or inspect.ismethod(plain)
    returned = getattr(plain, "__annotations__", {}).get("return", Any)
    if is_plain and not inspect.iscoroutinefunction(plain) and returned in (None, "None"):
        raise WrongArgumentType(
            f"{name} must be an async function (async def), {plain.__qualname__} is an ordinary one"
        )
    return value


def instance(value: object, kind: type, name: str) -> None:
    """Raise `WrongArgumentType` unless a value is an instance of ``kind``."""
    if not isinstance(value, kind):
        raise wrong_type(name, value, f"a {kind.__name__}")


def having(value: object, methods: Iterable[str], name: str, expected: str) -> None:
    """Raise `WrongArgumentType` unless an object has certain methods."""
    if isinstance(value, type) or not all(callable(getattr(value, m, None)) for m in methods):
        raise wrong_type(name, value, expected)


def listed(value: Any, name: str, expected: str) -> list[Any]:
    """Return an iterable as a list."""
    if not isinstance(value, Iterable):
        raise wrong_type(name, value, expected)
    return list(value)


# -- names ----------------------------------------------------------------------------------------


def protocol(value: object, name: str = "protocol_id") -> TProtocol:
    """Return the name of a protocol."""
    if not isinstance(value, str):
        raise wrong_type(name, value, "the name of a protocol, such as /ipfs/ping/1.0.0")
    if not value or "\n" in value:
        raise out_of_range(name, value, "the name of a protocol in one line")
    return TProtocol(value)


def texts(values: object, name: str) -> list[str]:
    """Return a list of texts, also for a single one; peers may have sent them, so any will do."""
    several = [values] if isinstance(values, str) else listed(values, name, "a list of texts")
    for value in several:
        if not isinstance(value, str):
            raise wrong_type(f"what is in {name}", value, "text")
    return several


def protocols(values: object) -> list[TProtocol]:
    """Return the names of protocols to choose from, also for a single one."""
    names = [protocol(value) for value in texts(values, "protocol_ids")]
    if not names:
        raise InvalidArgument("protocol_ids must have a protocol in it")
    return names
