"""Who may get what: filters that a server asks, and the ready-made ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.bitswap.errors import DenylistError
from libp2p.bitswap.serve.filters import (
    AllOf,
    AllowList,
    DenylistFiles,
    DenylistReport,
    Remembered,
)
from libp2p.bitswap.serve.server import ServerOptions
from libp2p.bitswap.wire.entry import BlockPresenceType, Entry, WantType
from libp2p.bitswap.wire.message import Message
from libp2p.ipld.cid import CID
from tests.support.bitswap_peers import ScriptedPeer, host_of
from tests.support.bitswap_server import (
    ask,
    blocks_of,
    connected,
    running_server,
    said,
    until_blocks,
    want,
)
from tests.support.blocks import block, blocks
from tests.support.fake_host import FakeHost, connect

if TYPE_CHECKING:
    from pathlib import Path

    from libp2p.peer.id import ID

DONT_HAVE = BlockPresenceType.DontHave

X, X_DATA = block(1)
Y, Y_DATA = block(2)
Z, Z_DATA = block(3)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_filter_decides_per_peer_and_message(nursery: trio.Nursery, kind: str) -> None:
    allowed: set[tuple[ID, CID]] = set()
    asked: list[tuple[CID, WantType]] = []

    def plain(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        asked.append((cid, want_type))
        return (peer_id, cid) in allowed

    async def coroutine(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        await trio.lowlevel.checkpoint()
        return plain(peer_id, cid, want_type)

    options = ServerOptions(request_filter=plain if kind == "plain" else coroutine)
    async with running_server(nursery, {X: X_DATA, Y: Y_DATA}, options) as server:
        ann, bob = [await connected(nursery, name, server) for name in ("ann", "bob")]
        allowed.add((ann.host.get_id(), X))
        for peer in (ann, bob):
            await ask(peer, server, want(X), Entry(Y), want(Z), Entry(Z, cancel=True))
            await trio.testing.wait_all_tasks_blocked()
        assert (blocks_of(ann), said(ann)) == ([X], {})
        assert (blocks_of(bob), said(bob)) == ([], {X: DONT_HAVE})
        assert asked == [(X, WantType.Block), (Y, WantType.Block)] * 2
        assert server.wantlist_for_peer(bob.host.get_id()) == []
        # Live: the next message is decided anew.
        allowed.add((bob.host.get_id(), X))
        await ask(bob, server, want(X))
        assert await until_blocks(bob, 1) == [X]


@pytest.mark.parametrize("full", [False, True])
async def test_a_long_list_is_judged_too(nursery: trio.Nursery, full: bool) -> None:
    content = blocks(2500, 8)
    denied = set(list(content)[::100])
    options = ServerOptions(request_filter=lambda peer_id, cid, want_type: cid not in denied)
    async with running_server(nursery, content, options) as server:
        ann = await connected(nursery, "ann", server)
        await ann.send(host_of(server).get_id(), Message(map(want, content), full=full))
        await trio.testing.wait_all_tasks_blocked()
        assert set(blocks_of(ann)) == set(content) - denied
        assert said(ann) == dict.fromkeys(denied, DONT_HAVE)


async def test_what_is_denied_looks_exactly_like_what_is_not_here(nursery: trio.Nursery) -> None:
    options = ServerOptions(request_filter=lambda peer_id, cid, want_type: cid != X)
    async with running_server(nursery, {X: X_DATA}, options) as server:
        ann = await connected(nursery, "ann", server)
        for name, cid in (("denied", X), ("missing", Y)):
            asked = ScriptedPeer(nursery, name)
            await connect(asked.host, host_of(server))
            for entry in (
                want(cid), want(cid), Entry(cid), Entry(cid, cancel=True), Entry(cid),
                Entry(cid, 1, False, WantType.Have, True), Entry(cid, cancel=True),
            ):  # fmt: skip
                await ask(asked, server, entry)
                await trio.testing.wait_all_tasks_blocked()
            kinds = [[*message.presences.values()] for message in asked.messages]
            assert kinds == [[DONT_HAVE]] * len(kinds)
            assert len(kinds) == 4
        await ask(ann, server, want(X))
        await server.notify_new_blocks([X])
        await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(ann) == []


async def test_a_filter_that_fails_denies_and_is_logged_once(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        raise LookupError("no policy today")

    async with running_server(nursery, {X: X_DATA}, ServerOptions(request_filter=broken)) as server:
        ann = await connected(nursery, "ann", server)
        for _ in range(3):
            await ask(ann, server, want(X), want(Y))
            await trio.testing.wait_all_tasks_blocked()
        assert said(ann) == {X: DONT_HAVE, Y: DONT_HAVE}
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1
        assert "no policy today" in caplog.text


async def test_a_peer_that_leaves_while_it_is_judged_leaves_nothing(nursery: trio.Nursery) -> None:
    judging, judged = trio.Event(), trio.Event()

    async def slow(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        judging.set()
        await judged.wait()
        return True

    async with running_server(nursery, {X: X_DATA}, ServerOptions(request_filter=slow)) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, want(Y))
        await judging.wait()
        # Its stream is read to its end, beyond the loss of the connection.
        server.cleanup_peer(ann.host.get_id())
        judged.set()
        await trio.testing.wait_all_tasks_blocked()
        assert server._engine.server.ledger.peer_ids == []


async def test_wants_that_wait_are_judged_again_when_asked_to(nursery: trio.Nursery) -> None:
    names = AllowList(others=True)
    options = ServerOptions(request_filter=names)
    async with running_server(nursery, {}, options) as server:
        ann, bob = [await connected(nursery, name, server) for name in ("ann", "bob")]
        for peer in (ann, bob):
            await ask(peer, server, Entry(X))
        await trio.testing.wait_all_tasks_blocked()
        names.revoke(ann.host.get_id())
        await server.refilter()
        await server.add_block(X, X_DATA)
        await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(ann) == []
        assert blocks_of(bob) == [X]
    async with running_server(nursery, {}) as server:
        await server.refilter()  # without a filter there is nothing to do


async def test_an_allow_list_is_per_peer(nursery: trio.Nursery) -> None:
    names = AllowList()
    v0 = CID.for_block(X_DATA, codec="dag-pb", version=0)
    content = {X: X_DATA, Y: Y_DATA}
    async with running_server(nursery, content, ServerOptions(request_filter=names)) as server:
        ann, bob, cee = [await connected(nursery, name, server) for name in ("ann", "bob", "cee")]
        names.allow(ann.host.get_id(), [str(v0)])
        names.allow(bob.host.get_id())
        names.allow(bob.host.get_id(), [X])
        for peer in (ann, bob, cee):
            await ask(peer, server, want(X), want(Y))
            await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(ann) == [X]
        assert blocks_of(bob) == [X, Y]
        assert blocks_of(cee) == []


async def test_denylists_are_read_again_when_asked_to(
    nursery: trio.Nursery, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = tmp_path / "one.deny", tmp_path / "two.deny"
    one.write_text(f"version: 1\n---\n/ipfs/{X}\n/ipfs/{Y}\n")
    two.write_text(f"!/ipfs/{Y}\n")
    denylists = DenylistFiles(one, str(two))
    content = {X: X_DATA, Y: Y_DATA}
    async with running_server(nursery, content, ServerOptions(request_filter=denylists)) as server:
        ann = await connected(nursery, "ann", server)
        await ask(ann, server, want(Y))
        await trio.testing.wait_all_tasks_blocked()
        assert said(ann) == {Y: DONT_HAVE}  # everything is denied before the first reading
        assert "call reload()" in caplog.text
        assert await denylists.reload() == DenylistReport(2, 1, 0, 0, 0)
        await ask(ann, server, want(X), want(Y))
        await trio.testing.wait_all_tasks_blocked()
        assert blocks_of(ann) == [Y]
        assert said(ann) == {X: DONT_HAVE, Y: DONT_HAVE}
        one.write_text(f"/ipfs/{X}\n/ipfs/{Z}/path\n/ipns/name\n")
        two.unlink()
        with pytest.raises(FileNotFoundError):
            await denylists.reload()
        two.write_text(f"/ipfs/{Y}\nnonsense\n")
        with pytest.raises(DenylistError, match=f"^{two}: line 2 is no rule: 'nonsense'"):
            await denylists.reload()
        two.write_text("version: 2\n---\n")
        with pytest.raises(DenylistError, match=str(two)):
            await denylists.reload()
        assert denylists.denylist.denies(X)  # the old rules stay
        assert not denylists.denylist.denies(Y)
        two.write_text("")
        assert await denylists.reload() == DenylistReport(1, 0, 0, 2, 0)


async def test_lines_that_are_no_rules_can_be_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "one.deny"
    path.write_text(f"/ipfs/{X}\nnonsense\n")
    denylists = DenylistFiles(path, strict=False)
    assert await denylists.reload() == DenylistReport(1, 1, 0, 0, 1)
    assert denylists.denylist.denies(X)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "line 2 is no rule: 'nonsense'" in record.getMessage()


async def test_a_denylist_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libp2p.bitswap.serve.filters.MAX_DENYLIST_BYTES", 10)
    (tmp_path / "long.deny").write_text("# a comment\n")
    with pytest.raises(DenylistError, match="larger than 10 bytes"):
        await DenylistFiles(tmp_path / "long.deny").reload()


async def test_several_filters_must_agree() -> None:
    async def only_x(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        return cid == X

    names = AllowList()
    both = AllOf(names, only_x)
    ann, bob = FakeHost(None, "ann").get_id(), FakeHost(None, "bob").get_id()
    names.allow(ann)
    assert await both(ann, X, WantType.Block)
    assert not await both(ann, Y, WantType.Block)
    assert not await both(bob, X, WantType.Block)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_decisions_are_remembered_where_that_is_asked_for(kind: str) -> None:
    asked = []

    def slow(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        asked.append(cid)
        return cid != Y

    async def slower(peer_id: ID, cid: CID, want_type: WantType) -> bool:
        return slow(peer_id, cid, want_type)

    ann = FakeHost(None, "ann").get_id()
    remembered = Remembered(slow if kind == "plain" else slower, limit=2)
    answers = [await remembered(ann, cid, WantType.Block) for cid in (X, Y, X, Z, X, Y)]
    assert answers == [True, False, True, True, True, False]
    assert asked == [X, Y, Z, Y]  # Y was forgotten for Z, then Z for Y
    remembered.forget()
    assert await remembered(ann, X, WantType.Block)
    assert asked[-1] == X
