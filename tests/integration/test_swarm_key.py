"""A repo with a `swarm.key` is a member of that private network, in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libp2p.exceptions import ConnectionFailure
from libp2p.ipfs_lite import Peer
from libp2p.ipfs_lite.errors import RepoError
from libp2p.security.pnet.key import key_file
from tests.support.hosts import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))


async def test_a_member_is_known_by_its_file_or_by_the_option(tmp_path: Path) -> None:
    (tmp_path / "swarm.key").write_text(key_file(KEY))
    async with (
        Peer.open(tmp_path, listen=LOOPBACK, bootstrap=[]) as first,
        Peer.open(tmp_path / "other", bootstrap=[], psk=KEY.hex()) as second,
    ):
        cid = (await first.add_file(b"for members")).cid
        await second.connect(first.addrs[0])
        async with await second.get_file(cid) as reader:
            assert await reader.read() == b"for members"


async def test_others_are_strangers(tmp_path: Path) -> None:
    (tmp_path / "swarm.key").write_text(key_file(KEY))
    async with (
        Peer.open(tmp_path, listen=LOOPBACK, bootstrap=[]) as member,
        Peer.open(tmp_path / "stranger", bootstrap=[]) as stranger,
    ):
        with pytest.raises(ConnectionFailure):
            await stranger.connect(member.addrs[0])
        assert not member.host.get_connected_peers()


@pytest.mark.parametrize("content", [b"", b"no key", b"/key/swarm/psk/1.0.0/\n/base16/\n00"])
async def test_a_file_that_holds_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    async with Peer.open(tmp_path, online=False):
        pass
    (tmp_path / "swarm.key").write_bytes(content)
    with pytest.raises(RepoError, match=r"swarm\.key is not the key of a private network"):
        async with Peer.open(tmp_path):
            pass
    async with Peer.open(tmp_path, online=False):  # what needs no network goes on
        pass


async def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    async with Peer.open(tmp_path, online=False):
        pass
    (tmp_path / "swarm.key").mkdir()
    with pytest.raises(RepoError, match=r"swarm\.key is not a regular file"):
        async with Peer.open(tmp_path):
            pass
