"""
Bootstrap peers in the JSON that Kubo calls AutoConf, at a URL that the user gives.

Schema 1: ``{"AutoConfSchema": 1, "AutoConfTTL": seconds, "SystemRegistry": {name: {"NativeConfig":
{"Bootstrap": [addresses]}}}}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import trio

from libp2p.discovery.bootstrap.config import MAX_PEERS
from libp2p.exceptions import BootstrapError
from libp2p.hostile_input import refused_as

#: Bytes of the document; the public network's has 4 KiB.
MAX_DOCUMENT_BYTES: Final = 1024 * 1024
#: Seconds for the whole download.
FETCH_TIMEOUT: Final = 15.0
#: Seconds for which a document is used at most, and at least, whatever it says.
MAX_TTL_SECONDS: Final = 24 * 3600.0
MIN_TTL_SECONDS: Final = 600.0

_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Autoconf:
    """The addresses of bootstrap peers of all systems, and for how many seconds they hold."""

    addresses: tuple[str, ...]
    ttl: float


def read_autoconf(data: bytes) -> Autoconf:
    """:raises BootstrapError: if it is not such a document, or of another schema."""
    with refused_as(BootstrapError, "the document is no autoconf JSON"):
        document: dict[str, Any] = json.loads(data)
        schema = document["AutoConfSchema"]
        if schema != _SCHEMA:
            raise BootstrapError(f"the document has schema {schema!r:.40}, not {_SCHEMA}")
        ttl = float(document.get("AutoConfTTL") or MIN_TTL_SECONDS)
        addresses: dict[str, None] = {}
        for system in (document.get("SystemRegistry") or {}).values():
            native = system.get("NativeConfig") or {}
            addresses.update(dict.fromkeys(map(str, native.get("Bootstrap") or ())))
        return Autoconf(
            tuple(addresses)[:MAX_PEERS], min(max(ttl, MIN_TTL_SECONDS), MAX_TTL_SECONDS)
        )


async def fetch_autoconf(url: str) -> Autoconf:
    """
    Download and read such a document.

    :raises BootstrapError: if it cannot be had, or is something else; the text names the URL.
    """
    try:
        import httpx2
    except ImportError as error:
        raise BootstrapError(
            f"{url} cannot be fetched without httpx2: pip install 'libp2p[http]'"
        ) from error
    data = bytearray()
    is_complete = False
    with (
        trio.move_on_after(FETCH_TIMEOUT) as scope,
        refused_as(BootstrapError, f"{url}: no answer"),
    ):
        async with (
            httpx2.AsyncClient(follow_redirects=True) as client,
            client.stream("GET", url) as response,
        ):
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                data += piece[: MAX_DOCUMENT_BYTES + 1 - len(data)]
                if len(data) > MAX_DOCUMENT_BYTES:
                    # Leaving the loop would leave httpx2's iterators to the garbage collector.
                    scope.cancel()
            is_complete = True
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BootstrapError(f"{url}: the document has more than {MAX_DOCUMENT_BYTES} bytes")
    if not is_complete:
        raise BootstrapError(f"{url}: no answer within {FETCH_TIMEOUT:g} s")
    try:
        return read_autoconf(bytes(data))
    except BootstrapError as error:
        raise BootstrapError(f"{url}: {error}") from error
