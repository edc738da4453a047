"""
Imports of py-libp2p 0.8.1 that work go on working; tests/data/py_libp2p_names.txt lists them all.

A module that is nothing but such a path says so in the first line of its docstring, so that nobody
takes it for a part of the engine, and none of the library's own modules uses it.
"""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.architecture.source_tree import ROOT, Module, modules

NAMES = (ROOT / "tests/data/py_libp2p_names.txt").read_text(encoding="utf-8")
MARK = "py-libp2p"

Listed = tuple[str, frozenset[str], frozenset[str]]


def read_list() -> tuple[list[Listed], list[str]]:
    """Return the modules that are here, with their names here and not here; and the others."""
    here: list[Listed] = []
    missing: list[str] = []
    for line in NAMES.splitlines():
        mark, *names = line.split()
        if mark == "#":
            continue
        if not line.startswith(" "):
            if mark == "+":
                here.append((names[0], frozenset(), frozenset()))
            else:
                missing.append(names[0])
        else:
            module, good, bad = here.pop()
            here.append(
                (module, frozenset(names), bad) if mark == "+" else (module, good, frozenset(names))
            )
    return here, missing


HERE, MISSING = read_list()


def can_import(module: str, name: str) -> bool:
    """Tell whether ``from module import name`` works."""
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize(("module", "here", "missing"), HERE, ids=[entry[0] for entry in HERE])
def test_what_worked_works(module: str, here: frozenset[str], missing: frozenset[str]) -> None:
    assert sorted(name for name in here if not can_import(module, name)) == []
    new = sorted(name for name in missing if can_import(module, name))
    assert new == [], "they are here now: put a + before them"


@pytest.mark.parametrize("module", MISSING)
def test_what_is_listed_as_missing_is(module: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(module)


def is_path_only(module: Module) -> bool:
    """Tell whether a module, no package, has nothing of its own."""
    return not module.is_package and all(
        isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in module.tree.body
    )


ALIASES = [module for module in modules() if is_path_only(module)]


@pytest.mark.parametrize("alias", ALIASES, ids=lambda module: module.name)
def test_aliases_are_marked_and_theirs(alias: Module) -> None:
    assert MARK in (ast.get_docstring(alias.tree) or "").partition("\n")[0]
    assert alias.name in {module for module, _, _ in HERE}


def test_nothing_of_ours_uses_an_alias() -> None:
    paths = {alias.name for alias in ALIASES}
    users = [
        f"{module.file}:{found.line} imports {found.target}"
        for module in modules()
        for found in module.imports
        if found.target in paths and not module.is_package
    ]
    assert users == []
