"""Every piece of code in docs/libp2p.bitswap.rst runs, and the page names every error there is."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trio

from libp2p.bitswap import BitswapClient, errors
from libp2p.bitswap.cid import compute_cid
from tests.support.hosts import info_of, running_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "libp2p.bitswap.rst"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(
    r"^\.\. code-block:: python\n(?:   :name: (?P<name>\S+)\n)?\n(?P<code>(?:   .*\n|\n)+)",
    re.MULTILINE,
)

CONTENT = [b"one block", b"another block", b"a third one"]


class Piece(NamedTuple):
    """A code block of the page."""

    name: str
    code: str
    line: int

    async def run(self, **names: Any) -> dict[str, Any]:
        """Run it as if its text stood in a coroutine, with ``names`` at hand."""
        # What the page runs by itself is run in here.
        code = "\n" * self.line + self.code.replace("trio.run(main)", "await main()")
        tree = compile(code, PAGE, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(tree, names)
        if inspect.iscoroutine(waiting):
            await waiting
        return names


PIECES = [
    Piece(
        match["name"] or "",
        textwrap.dedent(match["code"]),
        TEXT.count("\n", 0, match.start("code")),
    )
    for match in BLOCK.finditer(TEXT)
]
NAMED = {piece.name: piece for piece in PIECES if piece.name}
OTHERS = [piece for piece in PIECES if not piece.name]


def test_all_code_of_the_page_is_found() -> None:
    assert len(PIECES) == TEXT.count("code-block:: python")
    assert NAMED.keys() == {"bitswap-provider", "bitswap-client"}


@asynccontextmanager
async def at_hand() -> AsyncIterator[dict[str, Any]]:
    """What the page says that its short pieces have: a client and a peer with blocks."""
    async with (
        running_host() as host,
        running_host() as other,
        BitswapClient(host).run() as bitswap,
        BitswapClient(other).run() as provider,
    ):
        cids = [compute_cid(data, 1) for data in CONTENT]
        for cid, data in zip(cids, CONTENT, strict=True):
            await provider.add_block(cid, data)
        await host.connect(info_of(other))
        yield {
            "BitswapClient": BitswapClient,
            "Path": Path,
            "trio": trio,
            "bitswap": bitswap,
            "host": host,
            "peer_id": other.get_id(),
            "cid": cids[0],
            "cids": cids,
        }


@pytest.mark.parametrize("piece", OTHERS, ids=lambda piece: f"line {piece.line}")
async def test_code_of_the_page_runs(
    piece: Piece, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with at_hand() as names:
        await piece.run(**names)


async def test_the_denylist_of_the_page_denies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (piece,) = [piece for piece in OTHERS if "DenylistFiles" in piece.code]
    async with at_hand() as names:
        names = await piece.run(**names)
        options, store = names["options"], names["bitswap"].block_store
        for cid, data in zip(names["cids"], CONTENT, strict=True):
            await store.put_block(cid, data)
        async with running_host() as host, BitswapClient(host).run() as peer:
            names["allowed"].allow(host.get_id())
            await names["bitswap"].stop()
            names["bitswap"].server_options = options
            await names["bitswap"].start()
            await host.connect(info_of(names["host"]))
            denied = names["cids"][1]
            assert await peer.get_block(names["cids"][0]) == CONTENT[0]
            assert await peer.get_block(names["cids"][2]) == CONTENT[2]
            with pytest.raises(errors.BlockNotFoundError):
                await peer.get_block(denied)


async def test_the_client_of_the_page_fetches_from_its_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    is_ready = trio.Event()

    def tell(*words: object) -> None:
        told.append(" ".join(map(str, words)))
        if told[-1].startswith("/ip4/"):
            is_ready.set()

    provider = await NAMED["bitswap-provider"].run(print=tell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(provider["provide"], CONTENT)
        await is_ready.wait()
        *cids, address = told
        client = await NAMED["bitswap-client"].run(print=tell)
        await client["fetch"](address, cids)
        nursery.cancel_scope.cancel()
    fetched = told[len(cids) + 1 :]
    assert sorted(fetched) == sorted(
        f"{cid} {len(data)}" for cid, data in zip(cids, CONTENT, strict=True)
    )


def test_the_page_names_every_error() -> None:
    named = set(re.findall(r"^   \* - ``(\w+Error)``", TEXT, re.MULTILINE))
    assert named == {
        value.__name__
        for value in vars(errors).values()
        if inspect.isclass(value)
        and issubclass(value, errors.BitswapError)
        and not value.__name__.startswith("_")
    }
