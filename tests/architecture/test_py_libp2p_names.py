"""
The names of py-libp2p's bitswap are here, or docs/compatibility.rst says what there is instead.

tests/data/py_libp2p_bitswap_names.txt lists what 0.8.1 and 0.7.0 define in `libp2p.bitswap`,
payments aside: modules, functions and methods with their parameters, classes, constants.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from textwrap import dedent
from types import ModuleType

import pytest

from tests.architecture.source_tree import ROOT

NAMES = (ROOT / "tests/data/py_libp2p_bitswap_names.txt").read_text(encoding="utf-8").split("\n")
PAGE = (ROOT / "docs/compatibility.rst").read_text(encoding="utf-8")
ROW = re.compile(r"^   \* - ``(libp2p\.bitswap\.\S+)``", re.MULTILINE)
LISTED = set(ROW.findall(PAGE))

_SIGNATURE = re.compile(r"(?P<path>[\w.]+?)(\((?P<parameters>.*)\))?")


class Missing(Exception):
    """A name is not here."""


def find(path: str) -> tuple[object, list[str]]:
    """The module or class that a dotted path begins with, and the names that follow."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        try:
            return importlib.import_module(".".join(parts[:count])), parts[count:]
        except ModuleNotFoundError:
            continue
    raise Missing(path)


def look_up(path: str) -> object:
    """What a dotted path names; an attribute that only instances have is given as None."""
    found, names = find(path)
    for name in names:
        if hasattr(found, name):
            found = getattr(found, name)
        elif inspect.isclass(found) and name in set(instance_attributes(found)):
            return None
        else:
            raise Missing(path)
    return found


def instance_attributes(cls: type) -> Iterator[str]:
    """Names that a class of ours gives its instances: by annotation, or by assignment to self."""
    for base in cls.__mro__:
        if not base.__module__.startswith("libp2p"):
            continue
        yield from vars(base).get("__annotations__", {})
        for node in ast.walk(ast.parse(dedent(inspect.getsource(base)))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr


def fault(line: str) -> str | None:
    """What is wrong with one name, or None."""
    match = _SIGNATURE.fullmatch(line)
    assert match is not None, line
    try:
        found = look_up(match["path"])
    except Missing:
        return "missing"
    if match["parameters"] is None or not callable(found):
        return None
    theirs = match["parameters"].split(", ") if match["parameters"] else []
    ours = [name for name in inspect.signature(found).parameters if name not in ("self", "cls")]
    return None if ours[: len(theirs)] == theirs else f"has parameters {', '.join(ours)}"


def is_listed(line: str) -> bool:
    path = line.partition("(")[0]
    return any(path == name or path.startswith(name + ".") for name in LISTED)


def test_every_name_is_here_or_listed() -> None:
    faults = {line: fault(line) for line in NAMES if line and not is_listed(line)}
    assert {line: why for line, why in faults.items() if why} == {}


@pytest.mark.parametrize("name", sorted(LISTED))
def test_every_listed_name_is_one_of_theirs_and_not_here(name: str) -> None:
    theirs = [line for line in NAMES if line.partition("(")[0] == name]
    assert theirs
    assert fault(theirs[0]) is not None


def test_names_that_are_missing_are_noticed() -> None:
    assert fault("libp2p.bitswap.no_module") == "missing"
    assert fault("libp2p.bitswap.client.BitswapClient.no_method()") == "missing"
    assert fault("libp2p.bitswap.client.BitswapClient.add_block(data)") is not None
    assert fault("libp2p.bitswap.client.BitswapClient.host") is None
    assert isinstance(look_up("libp2p.bitswap.client"), ModuleType)
