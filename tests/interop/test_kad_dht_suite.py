"""The roles of libp2p's kad-dht interop suite, in processes of their own, through redis."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

from .bitswap_peer import binary_of
from .child import Child
from .need import need
from .redis_stand_in import running_redis

NODE = Path(__file__).with_name("kad_dht_node.py")
OURS = "ours"
UPSTREAM = "py-libp2p"
ROLES = ("bootstrap", "provider", "querier")

pytestmark = pytest.mark.timeout(200)


def node(library: str, role: str, redis: str) -> Child:
    """Start one node of the suite."""
    env = {"ROLE": role, "REDIS_ADDR": redis, "TEST_KEY": "a1b2c3d4"}
    if library == OURS:
        return Child([sys.executable, NODE], env={**env, "PYTHONPATH": str(ROOT)})
    return Child([binary_of(library), NODE], env={**env, "PYTHONPATH": ""})


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
def test_the_querier_finds_what_the_provider_has(libraries: tuple[str, str, str]) -> None:
    if UPSTREAM in libraries:
        need(UPSTREAM)
    with running_redis() as redis, ExitStack() as stack:
        nodes = [
            stack.enter_context(node(library, role, redis))
            for library, role in zip(libraries, ROLES, strict=True)
        ]
        lines = nodes[-1].wait_for("status:", timeout=120)
        assert lines[-1] == "status: pass", nodes[-1].line()
