"""The child's side of `tests.interop.child.JsonChild`: commands as lines of JSON, in and out."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Command = Callable[..., Awaitable[dict[str, Any]]]


def say(message: Mapping[str, object]) -> None:
    """Write one line to the parent."""
    print(json.dumps(message), flush=True)


async def serve_commands(hello: Mapping[str, object], commands: Mapping[str, Command]) -> None:
    """
    Greet the parent and run what it asks for, several commands at once, until its pipe ends.

    A command that raises is answered with the error's text.
    """
    say(hello)
    async with trio.open_nursery() as nursery:

        async def run(number: int, name: str, fields: dict[str, Any]) -> None:
            answer: dict[str, Any]
            try:
                answer = await commands[name](**fields)
            except Exception as error:  # noqa: BLE001 - the parent gets it
                answer = {"error": f"{type(error).__name__}: {error}"}
            say({**answer, "id": number})

        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            fields = json.loads(line)
            nursery.start_soon(run, fields.pop("id"), fields.pop("command"), fields)
        nursery.cancel_scope.cancel()
