"""A stream as a context manager."""

from __future__ import annotations

from contextlib import suppress

import pytest
from trio.testing import wait_all_tasks_blocked

from libp2p.exceptions import StreamReset
from libp2p.network.stream.net_stream import NetStream
from tests.support.memory_session import stream_pair


async def test_a_block_that_ends_well_closes_the_stream() -> None:
    async with stream_pair() as (ours, theirs):
        async with NetStream(ours) as stream:
            await stream.write(b"all of it")
        assert await theirs.read() == b"all of it"
        await stream.aclose()
        await theirs.close()
        await wait_all_tasks_blocked()
        assert stream.is_closed


async def test_a_block_that_fails_resets_the_stream() -> None:
    async with stream_pair() as (ours, theirs):
        with suppress(KeyError):
            async with NetStream(ours) as stream:
                await stream.write(b"a part")
                raise KeyError
        with pytest.raises(StreamReset):
            await theirs.read()
