"""A web server on loopback that sends what it is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class RawServer:
    """Answers each connection's requests with bytes that a test writes."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        """What is sent, one for each request; the last one again and again."""
        self.requests: list[str] = []
        self.connections = 0
        self.ended = 0
        """Connections that the client has closed."""
        self.hold = False
        """Keep the connection open after an answer that has no length."""
        self.url = ""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[RawServer]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1")
            )
            self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield self
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        received = b""
        try:
            while True:
                while b"\r\n\r\n" not in received:
                    piece = await stream.receive_some()
                    if not piece:
                        self.ended += 1
                        return
                    received += piece
                head, _, received = received.partition(b"\r\n\r\n")
                self.requests.append(head.decode())
                length = [
                    line for line in head.decode().lower().splitlines() if "content-length" in line
                ]
                if length:
                    wanted = int(length[0].partition(":")[2])
                    while len(received) < wanted:
                        received += await stream.receive_some()
                    received = received[wanted:]
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                await stream.send_all(answer)
                ends = b"Content-Length" not in answer or b"Connection: close" in answer
                if ends and not self.hold:
                    await stream.aclose()
                    return
        except trio.BrokenResourceError:
            self.ended += 1


def answer(
    body: bytes = b"",
    content_type: str = "application/json",
    status: str = "200 OK",
    headers: str = "",
) -> bytes:
    """A whole HTTP answer; `headers` end with CR and LF."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def open_answer(body: bytes, content_type: str = "application/x-ndjson") -> bytes:
    """The begin of an answer whose end is the connection's."""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
