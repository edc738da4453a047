"""The file of roots that earlier versions wrote: what it names is pinned, whatever it has seen."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from libp2p.ipfs_lite.errors import RepoError
from libp2p.ipfs_lite.pin_table import PinTable
from libp2p.ipfs_lite.roots import adopt_roots
from libp2p.ipfs_lite.state import State
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from pathlib import Path

A, B = (CID.for_block(name) for name in (b"a", b"b"))


def test_roots_become_recursive_pins_once(tmp_path: Path) -> None:
    path = tmp_path / "roots"
    path.write_bytes(f"{A}\n{str(B)[:20]}\n".encode() + b"\xff" * 1000 + f"\n\n{B}\n{A}\n".encode())
    with closing(State(tmp_path / "state.sqlite")) as state:
        pins = PinTable(state)
        for _ in range(2):
            adopt_roots(path, pins)
            found = [(pin.cid, pin.kind) for _, pin in pins.batch(0)]
            assert found == [(A, "recursive"), (B, "recursive")]
            assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roots").symlink_to(tmp_path / "other")
    with closing(State(None)) as state, pytest.raises(RepoError, match="cannot be pinned"):
        adopt_roots(tmp_path / "roots", PinTable(state))
