"""How many sockets there may be with so many descriptors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from libp2p.network.descriptors import Sockets, share_out

WANTED = Sockets(connections=1024, handshakes=512, dials=160)


def test_without_a_limit_all_can_be_had() -> None:
    assert share_out(None, WANTED) == WANTED
    assert share_out(65_536, WANTED) == WANTED


@pytest.mark.parametrize("descriptors", [16, 64, 128, 256, 1024, 4096])
def test_some_are_left_to_the_store_and_the_program(descriptors: int) -> None:
    had = share_out(descriptors, WANTED)
    assert min(had.connections, had.handshakes, had.dials) >= 1
    used = had.connections + had.handshakes + had.dials
    assert used <= max(descriptors - 32, 4)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(("soft", "hard", "then"), [(64, 512, 512), (256, 256, 256)])
def test_the_soft_limit_is_raised(soft: int, hard: int, then: int) -> None:
    program = (
        "import resource as r; from libp2p.network import descriptors as d;"
        f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard}));"
        "print(d.obtainable()); d.raise_soft_limit(); print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == [str(then), str(then)]
