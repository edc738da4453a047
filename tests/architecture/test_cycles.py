"""No circle of files: each can be read, and understood, after those that it imports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from tests.architecture.source_tree import modules


def cycles(graph: Mapping[str, set[str]]) -> Iterator[frozenset[str]]:
    """Return the strongly connected components of more than one module (Tarjan)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    count = itertools.count()

    def visit(name: str) -> Iterator[frozenset[str]]:
        numbers[name] = lowest[name] = next(count)
        stack.append(name)
        for other in graph[name]:
            if other not in numbers:
                yield from visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], numbers[other])
        if lowest[name] == numbers[name]:
            start = stack.index(name)
            component = frozenset(stack[start:])
            del stack[start:]
            if len(component) > 1:
                yield component

    for name in graph:
        if name not in numbers:
            yield from visit(name)


def import_graph() -> dict[str, set[str]]:
    """Return who imports whom, for type checkers or not, at the top of a file or inside."""
    graph: dict[str, set[str]] = {module.name: set() for module in modules()}
    for module in modules():
        targets = {found.target for found in module.imports} - {module.name}
        graph[module.name] = targets & graph.keys()
    return graph


def test_no_files_import_each_other() -> None:
    found = list(cycles(import_graph()))
    assert [sorted(cycle) for cycle in found] == []


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "d"}}
    assert set(cycles(graph)) == {frozenset("abc"), frozenset("de")}
    assert not list(cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}))
