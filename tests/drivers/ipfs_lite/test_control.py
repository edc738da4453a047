"""The socket by which the owner of a repo asks the peer that runs on it."""

from __future__ import annotations

import json
import socket
import stat
import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from libp2p.exceptions import InvalidArgument
from libp2p.ipfs_lite.control import channel
from libp2p.ipfs_lite.control.channel import (
    MAX_QUESTION_BYTES,
    MAX_QUESTIONS,
    SOCKET,
    answer_questions,
    ask,
)
from libp2p.ipfs_lite.errors import ControlError, NotRunningError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such sockets")


async def echo(words: Sequence[str]) -> object:
    return [*words]


async def refuse(words: Sequence[str]) -> object:
    raise InvalidArgument("not so")


async def fail(words: Sequence[str]) -> object:
    raise RuntimeError("odd")


async def say_bytes(words: Sequence[str]) -> object:
    return b"no JSON"


CALLS = {"echo": echo, "refuse": refuse, "fail": fail, "bytes": say_bytes}


@asynccontextmanager
async def answering(repo: Path) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(answer_questions, repo, CALLS))
        yield
        nursery.cancel_scope.cancel()


async def raw(repo: Path, question: bytes) -> bytes:
    """Send bytes; return all that comes back."""
    async with await trio.open_unix_socket(str(repo / SOCKET)) as stream:
        await stream.send_all(question)
        await stream.send_eof()
        data = b""
        while piece := await stream.receive_some():
            data += piece
        return data


async def test_a_question_is_answered_and_the_socket_is_its_owners(tmp_path: Path) -> None:
    async with answering(tmp_path):
        assert await ask(tmp_path, "echo", ["a", "ö\n"]) == ["a", "ö\n"]
        assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600
        large = ["x" * 100] * 500
        assert await ask(tmp_path, "echo", large) == large
    assert not (tmp_path / SOCKET).exists()
    with pytest.raises(NotRunningError):
        await ask(tmp_path, "echo")


async def test_what_goes_wrong_is_told_and_costs_that_question_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(tmp_path):
        for call, told in (("refuse", "not so"), ("none", "does not know the call none")):
            with pytest.raises(ControlError, match=told):
                await ask(tmp_path, call)
        assert not caplog.records
        for call in ("fail", "bytes"):
            with pytest.raises(ControlError, match="internal error"):
                await ask(tmp_path, call)
        assert len(caplog.records) == 2
        assert await ask(tmp_path, "echo") == []


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"no end",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"call": "echo"}\n',
        b'{"call": "echo", "words": 7}\n',
        b'{"call": "echo", "words": [7]}\n',
        b'{"call": [], "words": []}\n',
        b"[" * 60_000 + b"\n",
        b"x" * (MAX_QUESTION_BYTES + 1),
    ],
)
async def test_what_is_no_question_ends_nothing(tmp_path: Path, question: bytes) -> None:
    async with answering(tmp_path):
        try:
            answer = await raw(tmp_path, question)
        except trio.BrokenResourceError:
            answer = b""
        assert answer == b"" or "error" in json.loads(answer)
        assert await ask(tmp_path, "echo", ["still"]) == ["still"]


async def test_who_says_nothing_keeps_others_out_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "PATIENCE", 0.2)
    async with answering(tmp_path):
        silent = [
            await trio.open_unix_socket(str(tmp_path / SOCKET)) for _ in range(MAX_QUESTIONS + 1)
        ]
        with trio.fail_after(20):
            assert await ask(tmp_path, "echo", ["after all"]) == ["after all"]
        for stream in silent:
            await stream.aclose()


async def test_who_does_not_wait_for_the_answer_costs_nothing(tmp_path: Path) -> None:
    async with answering(tmp_path):
        for _ in range(50):
            stream = await trio.open_unix_socket(str(tmp_path / SOCKET))
            await stream.send_all(b'{"call": "echo", "words": ["x"]}\n')
            await stream.aclose()
        assert await ask(tmp_path, "echo") == []


async def test_what_a_killed_process_has_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    with pytest.raises(NotRunningError):
        await ask(tmp_path, "echo")
    async with answering(tmp_path):
        assert await ask(tmp_path, "echo") == []


async def test_the_first_process_of_a_repo_goes_on_answering(tmp_path: Path) -> None:
    async with answering(tmp_path):
        async with trio.open_nursery() as nursery:
            with pytest.raises(ControlError, match="another process answers"):
                await nursery.start(partial(answer_questions, tmp_path, CALLS))
        assert await ask(tmp_path, "echo", ["first"]) == ["first"]
    async with answering(tmp_path):
        assert await ask(tmp_path, "echo", ["next"]) == ["next"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / SOCKET
    if kind == "file":
        path.write_bytes(b"mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    before = path.lstat()
    async with trio.open_nursery() as nursery:
        with pytest.raises(ControlError, match="is not a socket"):
            await nursery.start(partial(answer_questions, tmp_path, CALLS))
    assert path.lstat().st_ino == before.st_ino


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a name for open folders")
async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a folder with a long name"] * 10)
    deep.mkdir(parents=True)
    async with answering(deep):
        assert await ask(deep, "echo", ["x"]) == ["x"]
