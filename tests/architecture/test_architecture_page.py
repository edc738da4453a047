"""docs/architecture.rst names only what is there."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.source_tree import ROOT, module_names, modules
from tests.architecture.test_layers import LAYERS

PAGE = (ROOT / "docs" / "architecture.rst").read_text(encoding="utf-8")

WORDS = {"async with", "now", "read(n)", "write(data)", "[tool.libp2p] cores", "per-file-ignores",
         "[header, block]", "…Closed", "…Reset", "…EOF"}  # fmt: skip
"""What stands in the same type and names nothing of the package."""

OF_OTHERS = {"pyproject.toml"}


def named_in(page: str) -> set[str]:
    """Return what a page has between two backquotes, pictures aside."""
    text = re.sub(r"\.\. code-block::.*?(?=\n\S)", "", page, flags=re.DOTALL)
    return {" ".join(name.split()) for name in re.findall(r"``(.+?)``", text, re.DOTALL)}


@cache
def defined() -> tuple[frozenset[str], frozenset[str]]:
    """Return all names that the package defines, and all that are a class's: ``Class.name``."""
    names: set[str] = set()
    members: set[str] = set()
    for module in modules():
        for node in module.nodes:
            names |= set(_names_of(node))
            if isinstance(node, ast.ClassDef):
                inside = {name for inner in ast.walk(node) for name in _names_of(inner)}
                members |= {f"{node.name}.{name}" for name in inside}
    return frozenset(names), frozenset(members)


def _names_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name


def is_there(name: str) -> bool:
    """Tell whether a name on the page is one of a file, a module, a class, a method."""
    name = re.sub(r"\((…|\.\.\.)?\)\Z", "", name)
    names, members = defined()
    if "/" in name or name in OF_OTHERS:
        places = (ROOT / name, ROOT / "libp2p" / name, ROOT / "libp2p" / f"{name}.py")
        return any(place.exists() for place in places)
    if name.startswith("libp2p"):
        module, _, last = name.rpartition(".")
        if name in module_names():
            return True
        return module in module_names() and hasattr(importlib.import_module(module), last)
    return name in members if "." in name else name in names or name in LAYERS


NAMED = sorted(named_in(PAGE) - WORDS)


@pytest.mark.parametrize("name", NAMED)
def test_it_is_there(name: str) -> None:
    assert is_there(name), f"docs/architecture.rst names {name}"


def test_the_picture_has_every_layer_on_its_line() -> None:
    picture = PAGE.partition("   8  libp2p")[2].partition("\nA module imports")[0]
    lines = {line.split()[0]: line for line in f"8  libp2p{picture}".splitlines() if line.strip()}
    small = {"", "abc", "custom_types", "connection_types", "factory", "identity_utils"}
    height = {name: place for place, line in lines.items() for name in re.findall(r"\w+", line)}
    for one in LAYERS.keys() - small:
        assert one in height, f"{one} is missing"
        for other in LAYERS.keys() - small:
            if LAYERS[one] < LAYERS[other]:
                assert int(height[one]) <= int(height[other]), f"{one} is drawn above {other}"


def test_names_are_found() -> None:
    text = "``a/b`` and\n``C.d(…)``\n\n.. code-block:: text\n\n   ``e``\n\nthe ``async\nwith``"
    assert named_in(text) == {"a/b", "C.d(…)", "async with"}
    assert is_there("CID.from_prefix_and_data")
    assert is_there("ipld/cid")
    assert is_there("libp2p.ipld.cid.CID")
    assert not any(
        map(is_there, ("ipld/nothing", "CID.nothing", "nothing_at_all", "libp2p.nothing"))
    )
