"""Pins are announced when they are made, each once, whichever process makes them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, cast

from libp2p.datastore import MemoryDatastore
from libp2p.ipfs_lite.announcements import Announcements
from libp2p.ipfs_lite.pin_table import PinTable
from libp2p.ipfs_lite.state import State
from libp2p.ipld.cid import CID

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from libp2p.provide.provider import Provider

A, B, C = (CID.for_block(name) for name in (b"a", b"b", b"c"))


class Announced:
    """What a provider was asked to announce."""

    def __init__(self) -> None:
        self.cids: list[CID] = []

    async def provide_once(self, cids: list[CID]) -> None:
        self.cids += cids


async def test_new_pins_of_any_process_are_announced_once(tmp_path: Path) -> None:
    State.create(tmp_path / "state.sqlite")
    provider = Announced()
    with (
        closing(State(tmp_path / "state.sqlite")) as own,
        closing(State(tmp_path / "state.sqlite")) as others,
    ):
        pins, others_pins = PinTable(own), PinTable(others)
        others_pins.put([A], recursive=True, name="", expiry=None)  # announced with all the rest
        announcements = Announcements(cast("Provider", provider), MemoryDatastore(), "pinned", pins)
        await announcements.skip_pins()
        await announcements.add_pins()
        assert provider.cids == []
        others_pins.put([B], recursive=True, name="", expiry=None)
        pins.put([C], recursive=False, name="", expiry=None)
        for _ in range(2):
            await announcements.add_pins()
            assert provider.cids == [B, C]


async def test_pins_that_cannot_be_read_cost_their_announcement_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(State(tmp_path / "missing")) as state:
        announcements = Announcements(
            cast("Provider", Announced()), MemoryDatastore(), "pinned", PinTable(state)
        )
        await announcements.skip_pins()
        await announcements.add_pins()
        await announcements.add_pins()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
