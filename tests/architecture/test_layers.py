"""The rules that hold the tree together: who imports whom, who may wait, how long functions get."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, Module, core_entries, core_modules, modules

LAYERS: dict[str, int] = {
    "exceptions": 0,
    "hostile_input": 0,
    "base_types": 0,
    "custom_types": 1,
    "connection_types": 0,
    "resources": 0,
    "crypto": 1,
    "abc": 1,
    "io": 1,
    "utils": 1,
    "tools": 2,
    "rcmgr": 2,
    "events": 1,
    "datastore": 1,
    "peer": 1,
    "ipld": 1,
    "encoding_config": 1,
    "blockstore": 2,
    "bridge": 2,
    "pinning": 3,
    "mfs": 2,
    "dns": 2,
    "records": 2,
    "identity_utils": 2,
    "transport": 2,
    "security": 2,
    "protocol_muxer": 2,
    "stream_muxer": 2,
    "network": 3,
    "routing": 3,
    "ipns": 4,
    "identity": 4,
    "host": 5,
    "factory": 6,
    "bitswap": 6,
    "perf": 6,
    "request_response": 6,
    "kad_dht": 6,
    "discovery": 6,
    "provide": 7,
    "ipfs_lite": 8,
    "aio": 9,
    "fs": 9,
    "": 9,
}
"""Height of everything directly under libp2p ("" is the package itself); imports point down."""

TOP = LAYERS[""]

STRANGERS_TO_EACH_OTHER = {"bitswap", "perf"}
"""Packages of one height that must work without one another."""

TYPED_AGAINST_NAMES = {"libp2p.abc"}
"""Interfaces: they may name any class for type checkers, and everybody may name theirs."""

LOADED_BY_NAME = {
    "libp2p", "libp2p.bitswap", "libp2p.ipfs_lite", "libp2p.kad_dht", "libp2p.network",
    "libp2p.protocol_muxer", "libp2p.stream_muxer.yamux", "libp2p.transport", "libp2p.utils",
}  # fmt: skip
"""Packages that load their names when they are first used (`libp2p.utils.lazy`)."""

MAX_FUNCTION_LINES = 60

FORBIDDEN_IN_CORES = {
    "asyncio", "anyio", "random", "secrets", "select", "selectors", "socket", "threading",
    "time", "trio",
}  # fmt: skip
"""A core does no I/O and asks nobody for the time or for randomness."""

AWAIT_A_READER = {"libp2p/utils/varint.py"}
"""py-libp2p's names in there read from a stream that they are given; they wait for nothing else."""

WAITING_FOR_TIME = re.compile(r"(trio|time|anyio|asyncio)\.sleep\Z|sleep\Z")
TIME_DECIDES = "# time:"
"""What the line of a sleep must say, followed by why time decides and no event does."""
UNFINISHED = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b|raise NotImplementedError")
# Spelled with character classes so that this file does not find itself.
THIS_MACHINE = re.compile(
    r"/wor[k]/|/far[m]/|/roo[t]/|[.]librar[y]/|shared/(design|dossiers|vectors)"
)
TASK_EDGE = "task's edge:"
"""What the line of a broad `except` must say, followed by the reason."""


def package_of(name: str) -> str:
    """The part of a dotted name that decides its layer."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def each_module(check: Callable[[Module], Iterator[str]]) -> list[str]:
    """What `check` has to say about every module, with the file's name in front."""
    return [f"{module.file}:{fault}" for module in modules() for fault in check(module)]


def assert_none(faults: list[str]) -> None:
    """Fail with one line for each fault."""
    assert not faults, "\n".join(["", *faults])


def test_every_package_has_a_layer() -> None:
    assert {package_of(module.name) for module in modules()} == LAYERS.keys()


def test_imports_point_down() -> None:
    def upward(module: Module) -> Iterator[str]:
        here = package_of(module.name)
        for found in module.imports:
            there = package_of(found.target)
            if found.target.partition(".")[0] != "libp2p" or here == there:
                continue
            if found.for_types_only and TYPED_AGAINST_NAMES & {module.name, found.target}:
                continue
            strangers = {here, there} <= STRANGERS_TO_EACH_OTHER
            if strangers or LAYERS.get(there, TOP) > LAYERS[here]:
                yield f"{found.line} imports {found.target}"

    assert_none(each_module(upward))


BITSWAP_ROOMS = {"wire": 0, "common": 0, "want": 1, "serve": 1, "net": 2, "fetch": 3}
"""Height of each room of bitswap; rooms of one height work without one another."""


def test_rooms_of_bitswap_stand_on_lower_ones() -> None:
    def room_of(name: str) -> str | None:
        parts = name.split(".")
        is_inside = parts[:2] == ["libp2p", "bitswap"] and len(parts) > 3
        return parts[2] if is_inside and parts[2] != "pb" else None

    def upward(module: Module) -> Iterator[str]:
        here = room_of(module.name)
        for found in module.imports:
            there = room_of(found.target)
            if here is None or there is None or there == here:
                continue
            if BITSWAP_ROOMS[there] >= BITSWAP_ROOMS[here]:
                yield f"{found.line} imports {found.target}"

    assert_none(each_module(upward))
    rooms = {room_of(module.name) for module in modules()}
    assert rooms - {None} == BITSWAP_ROOMS.keys()


def test_cores_of_the_transport_layer_do_not_know_their_siblings() -> None:
    siblings = {name for name, height in LAYERS.items() if height == LAYERS["transport"]}
    faults = [
        f"{module.file}:{found.line} imports {found.target}"
        for module in core_modules()
        for found in module.imports
        if package_of(module.name) in siblings
        and package_of(found.target) in siblings - {package_of(module.name)}
    ]
    assert_none(faults)


def test_only_drivers_import_trio() -> None:
    def trio(module: Module) -> Iterator[str]:
        for found in module.imports:
            if found.target.partition(".")[0] == "trio" and not module.is_driver:
                yield f"{found.line} imports {found.target}"

    assert_none(each_module(trio))


def test_every_logger_makes_its_lines_safe() -> None:
    def unsafe(module: Module) -> Iterator[str]:
        if "getLogger(__name__)" in module.text:
            yield "1 log through libp2p.utils.logs.get_logger"

    assert_none(each_module(unsafe))


def test_cores_are_pure() -> None:
    faults = [
        f"{module.file}:{found.line} imports {found.target}"
        for module in core_modules()
        for found in module.imports
        if found.target.partition(".")[0] in FORBIDDEN_IN_CORES
    ]
    faults += [
        f"{module.file} has a coroutine"
        for module in core_modules()
        if module.waits and module.file not in AWAIT_A_READER
    ]
    assert_none(faults)


@pytest.mark.parametrize("entry", core_entries())
def test_the_list_of_cores_names_what_exists(entry: str) -> None:
    assert (ROOT / entry).exists()


def test_content_addressing_knows_no_network() -> None:
    allowed = {"ipld", "utils", "io", "exceptions", "base_types", "crypto"}
    faults = [
        f"{module.file}:{found.line} imports {found.target}"
        for module in modules()
        for found in module.imports
        if package_of(module.name) == "ipld"
        and found.target.startswith("libp2p")
        and package_of(found.target) not in allowed
    ]
    assert_none(faults)


def test_the_network_knows_no_transport_and_no_muxer() -> None:
    # The manager is a list of whatever transports it is given.
    seam = {f"libp2p.transport.{part}" for part in ("abc", "exceptions", "manager")}
    below = ("libp2p.transport", "libp2p.security", "libp2p.stream_muxer", "socket", "ssl")

    def reaches_through(module: Module) -> Iterator[str]:
        if package_of(module.name) != "network":
            return
        for found in module.imports:
            if found.target.startswith(below) and found.target not in seam:
                yield f"{found.line} imports {found.target}"
        for node in module.nodes:
            if isinstance(node, ast.Name) and re.match(r"(TCP|Tcp|Yamux|Noise|TLS)", node.id):
                yield f"{node.lineno} names {node.id}"

    assert_none(each_module(reaches_through))


def test_relative_imports_stay_in_their_package() -> None:
    def parents(module: Module) -> Iterator[str]:
        for node in module.nodes:
            if isinstance(node, ast.ImportFrom) and node.level > 1:
                yield f"{node.lineno} imports from a parent package by dots"

    assert_none(each_module(parents))


def test_functions_are_short() -> None:
    def long_things(module: Module) -> Iterator[str]:
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    yield f"{node.lineno} {node.name} has {length} lines"

    assert_none(each_module(long_things))


def test_package_files_only_re_export() -> None:
    def statements(module: Module) -> Iterator[str]:
        if not module.is_package or module.name in LOADED_BY_NAME:
            return
        for node in module.tree.body:
            if not _is_re_export(node):
                yield f"{node.lineno} {ast.unparse(node).splitlines()[0]}"

    assert_none(each_module(statements))


def _is_re_export(node: ast.stmt) -> bool:
    """An import, a docstring, ``__all__`` or another dunder name."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return all(_is_re_export(inner) for inner in node.body)
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name.startswith("__")
    return False


def test_every_sleep_says_why_time_decides() -> None:
    def sleeps(module: Module) -> Iterator[str]:
        for node in module.nodes:
            if not isinstance(node, ast.Call):
                continue
            says_why = TIME_DECIDES in module.text.splitlines()[node.lineno - 1]
            if WAITING_FOR_TIME.match(ast.unparse(node.func)) and not says_why:
                yield f"{node.lineno} {ast.unparse(node)}"

    assert_none(each_module(sleeps))


def test_nothing_is_left_unfinished() -> None:
    def marks(module: Module) -> Iterator[str]:
        for number, line in enumerate(module.text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{number} {line.strip()}"

    assert_none(each_module(marks))


def test_broad_excepts_stand_at_a_tasks_edge_and_say_why() -> None:
    def broad(module: Module) -> Iterator[str]:
        lines = module.text.splitlines()
        for node in module.nodes:
            if not isinstance(node, ast.ExceptHandler) or not _is_broad(node.type):
                continue
            cleans_up_only = ast.unparse(node.body[-1]) == "raise"
            if not cleans_up_only and TASK_EDGE not in lines[node.lineno - 1]:
                yield f"{node.lineno} needs the comment `# {TASK_EDGE} why`"

    assert_none(each_module(broad))


def _is_broad(kind: ast.expr | None) -> bool:
    """``except:``, ``except Exception``, or a tuple that has it."""
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        name is None or ast.unparse(name) in ("Exception", "BaseException") for name in names
    )


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    faults: list[str] = []
    for path in _text_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        name = path.relative_to(ROOT)
        faults += [f"{name}:{n}" for n, line in enumerate(lines, 1) if THIS_MACHINE.search(line)]
    assert_none(faults)


def _text_files() -> Iterator[Path]:
    """What a release may hold: everything but hidden folders and what was built."""
    built = {"_build", "build", "dist", "__pycache__"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name for name in folders if name == ".ci" or not (name.startswith(".") or name in built)
        ]
        # In a second working tree `.git` is a file.
        yield from (Path(folder, name) for name in files if name != ".git")
