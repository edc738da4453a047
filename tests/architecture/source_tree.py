"""
What the architecture tests and the coverage gate know about the tree.

pyproject.toml is the one place that says which modules are drivers (ruff's per-file-ignores for
TID251) and which are protocol cores (``[tool.libp2p] cores``). Run as a script with the word
``cores`` it prints the cores as one comma-separated line, for ``coverage report --include``.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "libp2p"


@dataclass(frozen=True)
class Import:
    """One imported module, resolved to its full dotted name."""

    target: str
    line: int
    for_types_only: bool


@dataclass(frozen=True)
class Module:
    """One hand-written source file of the package."""

    path: Path

    @property
    def file(self) -> str:
        """The path from the project's root, as messages and patterns have it."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def is_package(self) -> bool:
        """Whether this is an ``__init__.py``."""
        return self.path.name == "__init__.py"

    @property
    def name(self) -> str:
        """The dotted name under which it is imported."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if self.is_package else parts)

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, str(self.path))

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All of the parsed source: many rules look through it."""
        return tuple(ast.walk(self.tree))

    @property
    def is_driver(self) -> bool:
        """Whether pyproject.toml allows it to import trio; a core's own entry wins over a `*`."""
        return self.file not in core_entries() and any(
            self.path.match(pattern) for pattern in driver_patterns()
        )

    @property
    def waits(self) -> bool:
        """Whether anything in it is a coroutine: then it is no core."""
        waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
        return any(isinstance(node, waiting) for node in self.nodes)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import statement, wherever it stands."""
        typing_only = _nodes_for_types_only(self.nodes)
        return tuple(
            Import(target, node.lineno, node in typing_only)
            for node in self.nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for target in self._targets(node)
        )

    def _targets(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        base = node.module or ""
        if node.level:
            package = self.name.split(".")
            package = package if self.is_package else package[:-1]
            package = package[: len(package) - node.level + 1]
            base = ".".join([*package, base] if base else package)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in module_names() else base


def _nodes_for_types_only(nodes: tuple[ast.AST, ...]) -> set[ast.AST]:
    """All nodes below an ``if TYPE_CHECKING:``."""
    found: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            found.update(inner for child in node.body for inner in ast.walk(child))
    return found


@cache
def _pyproject() -> dict[str, Any]:
    tables: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return cast("dict[str, Any]", tables["tool"])


@cache
def driver_patterns() -> tuple[str, ...]:
    """Full-path patterns of the modules that may import trio."""
    ignores: dict[str, list[str]] = _pyproject()["ruff"]["lint"]["per-file-ignores"]
    found: list[str] = []
    for pattern, rules in ignores.items():
        if pattern.startswith(PACKAGE + "/") and "TID251" in rules:
            # Path.match has no `**` before Python 3.13: spell out the depths that exist.
            depths = [pattern.replace("**/", "*/" * depth) for depth in range(4)]
            found += depths if "**/" in pattern else [pattern]
    return tuple(found)


@cache
def modules() -> tuple[Module, ...]:
    """Every hand-written module of the package."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return tuple(Module(file) for file in files if not file.stem.endswith("_pb2"))


@cache
def module_names() -> frozenset[str]:
    """Dotted names of all modules, generated ones too."""
    files = (ROOT / PACKAGE).rglob("*.py")
    return frozenset(Module(file).name for file in files)


def core_entries() -> tuple[str, ...]:
    """``[tool.libp2p] cores``: files, and folders whose every synchronous module is a core."""
    return tuple(_pyproject()["libp2p"]["cores"])


def core_modules() -> tuple[Module, ...]:
    """The protocol cores: pure modules, measured to 100 % of their branches."""
    entries = core_entries()
    return tuple(
        module
        for module in modules()
        if not module.is_package
        and not module.is_driver
        and (
            module.file in entries
            or (not module.waits and any(module.path.match(f"{entry}/*.py") for entry in entries))
        )
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["cores"]:
        sys.exit("usage: python -m tests.architecture.source_tree cores")
    print(",".join(module.file for module in core_modules()))
