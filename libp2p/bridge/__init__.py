"""
Programs that do not run on trio: asyncio's, and plain Python's.

    trio_thread   one thread for the process, in which trio runs
    across        calls, contexts and iterations that go over, written once for both sides
    side          what differs between asyncio and plain Python: how one waits
    remote        objects whose methods are called over there, and which arguments change on the way
    streams       a stream's bytes, gathered so that not each call has to go over

`libp2p.aio` and `libp2p.ipfs_lite.sync` are what programs use.
"""
