"""The roles of libp2p's kad-dht interop suite, in processes of their own, through redis."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.architecture.source_tree import ROOT
from tests.support.namespaces import two_machines

from .bitswap_peer import binary_of
from .child import Child
from .need import need
from .redis_server import running_redis

if TYPE_CHECKING:
    from pathlib import Path

NODE = ("-m", "interop.kad_dht")
OURS = "ours"
UPSTREAM = "py-libp2p"
ROLES = ("bootstrap", "provider", "querier")

pytestmark = pytest.mark.timeout(200)


def node(library: str, role: str, redis: str, folder: Path) -> Child:
    """Start one node of the suite; ``folder`` has the programs of the suite and no libp2p."""
    env = {"ROLE": role, "REDIS_ADDR": redis, "TEST_KEY": "a1b2c3d4"}
    if library == OURS:
        return Child([sys.executable, *NODE], env=env, cwd=ROOT)
    return Child([binary_of(library), *NODE], env={**env, "PYTHONPATH": ""}, cwd=folder)


def test_nodes_on_two_machines_find_each_other() -> None:
    need("redis-server", "namespaces")
    with two_machines() as (left, right), running_redis(left) as redis, ExitStack() as stack:
        env = {"REDIS_ADDR": redis, "TEST_KEY": "a1b2c3d4"}
        for role, machine in zip(ROLES, (left, right, left), strict=True):
            command = machine.command(sys.executable, *NODE)
            last = stack.enter_context(Child(command, env={**env, "ROLE": role}, cwd=ROOT))
        lines = last.wait_for("status:", timeout=120)
        assert lines[-1] == "status: pass", last.line()


@pytest.mark.parametrize(
    "libraries",
    [
        (OURS, OURS, OURS),
        (UPSTREAM, OURS, OURS),
        (OURS, UPSTREAM, OURS),
        (OURS, OURS, UPSTREAM),
    ],
    ids="-".join,
)
def test_the_querier_finds_what_the_provider_has(
    libraries: tuple[str, str, str], tmp_path: Path
) -> None:
    need("redis-server")
    (tmp_path / "interop").symlink_to(ROOT / "interop")
    if UPSTREAM in libraries:
        need(UPSTREAM)
    with running_redis() as redis, ExitStack() as stack:
        nodes = [
            stack.enter_context(node(library, role, redis, tmp_path))
            for library, role in zip(libraries, ROLES, strict=True)
        ]
        lines = nodes[-1].wait_for("status:", timeout=120)
        assert lines[-1] == "status: pass", nodes[-1].line()
