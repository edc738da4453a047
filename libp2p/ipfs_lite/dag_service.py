"""Nodes of DAGs, and many reads in one bitswap session: Go ipfs-lite's DAGService and Session."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from libp2p.bitswap.errors import BlockTooLargeError
from libp2p.ipld.block import MAX_BLOCK_BYTES
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.ipld.node import Node
from libp2p.utils import arguments
from libp2p.utils.closing import AsyncClosing

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
    )
    from contextlib import AbstractContextManager

    from libp2p.blockstore import BlockStore
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipld.cid import CIDInput
    from libp2p.ipld.node import NodeValue

#: Bytes and nodes that `DAGService.add_many` writes at once.
BATCH_BYTES: Final = 1024 * 1024
BATCH_NODES: Final = 512


class NodeGetter:
    """
    Reads nodes, from the store or else from peers.

    :param open_source: opens a source of blocks, and closes it where it should be.
    :param call: runs a call that ends with the peer.
    """

    def __init__(
        self,
        open_source: Callable[[], AbstractContextManager[BlockSource]],
        call: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._open_source = open_source
        self._call = call

    async def get_block(self, cid: CIDInput) -> bytes:
        """
        Return a block of any codec.

        :raises BitswapError: if it cannot be had.
        """
        with self._call(), self._open_source() as source:
            [data] = await source.fetch([CID.of(cid)])
            return data

    async def get(self, cid: CIDInput) -> Node:
        """
        Return a node in dag-pb, raw, dag-cbor or dag-json.

        :raises BitswapError: if it cannot be had.
        :raises UnknownCodec: if it is in another codec.
        :raises ParseError: if it is not in the codec that its CID says.
        """
        wanted = CID.of(cid)
        return Node.read(wanted, await self.get_block(wanted))

    async def get_many(self, cids: Iterable[CIDInput]) -> AsyncGenerator[Node, None]:
        """
        Yield nodes in the order of ``cids``, which are asked for ahead; raises as `get` does.

        :param cids: may be a generator; it is asked no faster than nodes are taken.
        """
        with self._open_source() as source:
            blocks = source.stream(cid_inputs(cids))
            while True:
                with self._call():  # not around a yield: the caller's scopes would cross it
                    found = await anext(blocks, None)
                if found is None:
                    return
                yield Node.read(*found)


class Session(NodeGetter, AsyncClosing):
    """
    Many reads in one bitswap session, which asks first those who had the blocks before.

    ``async with peer.session() as session``; or call `close`.
    """

    def __init__(
        self,
        source: BlockSource,
        call: Callable[[], AbstractContextManager[None]],
        open_file: Callable[[CID, BlockSource], Awaitable[UnixFSReader]],
    ) -> None:
        @contextmanager
        def opened() -> Iterator[BlockSource]:
            yield source

        super().__init__(opened, call)
        self._source = source
        self._open_file = open_file

    async def get_file(self, cid: CIDInput) -> UnixFSReader:
        """Open a file for reading; see `Peer.get_file`. It ends with the session."""
        with self._call():
            return await self._open_file(CID.of(cid), self._source.lend())

    def close(self) -> None:
        """End the session; reads that still wait get an error."""
        self._source.close()


class DAGService(NodeGetter):
    """Reads nodes, and stores them; `Peer.dag`. What it stores is pinned by nobody."""

    def __init__(
        self,
        open_source: Callable[[], AbstractContextManager[BlockSource]],
        call: Callable[[], AbstractContextManager[None]],
        store: BlockStore,
        stored: Callable[[list[CID]], Awaitable[None]] | None,
    ) -> None:
        """:param stored: awaited with what has been stored, so that who waits for it gets it."""
        super().__init__(open_source, call)
        self._store = store
        self._stored = stored

    async def add(self, node: Node) -> None:
        """
        Store a node; other peers can fetch it when this returns.

        :raises BlockHashMismatch: if its CID is that of other bytes.
        :raises BlockTooLargeError: if it has more than 2 MiB, which no peer has to take.
        :raises BlockStoreError: if it cannot be written.
        """
        await self.add_many([node])

    async def add_many(self, nodes: Iterable[Node]) -> None:
        """Store nodes, many at once; those before one that is refused may be stored."""
        with self._call():
            batch: list[Node] = []
            for node in nodes:
                arguments.instance(node, Node, "a node")
                if len(node.data) > MAX_BLOCK_BYTES:
                    raise BlockTooLargeError(
                        f"{node.cid} has {len(node.data)} bytes, at most {MAX_BLOCK_BYTES} can be"
                    )
                node.verify()
                batch.append(node)
                if len(batch) >= BATCH_NODES or sum(len(n.data) for n in batch) >= BATCH_BYTES:
                    await self._store_batch(batch)
                    batch = []
            await self._store_batch(batch)

    async def put(
        self, value: NodeValue, codec: str | int | None = None, *, hash: str | int = "sha2-256"
    ) -> CID:
        """Store a value as `Node.of` writes it; return its CID."""
        node = Node.of(value, codec, hash=hash)
        await self.add(node)
        return node.cid

    async def remove(self, cid: CIDInput) -> None:
        """Delete a block from the store, if it is there; what it links to stays."""
        await self.remove_many([cid])

    async def remove_many(self, cids: Iterable[CIDInput]) -> None:
        """Delete blocks from the store."""
        for cid in [CID.of(one) for one in cid_inputs(cids)]:
            with self._call():
                await self._store.delete_block(cid)

    async def _store_batch(self, nodes: list[Node]) -> None:
        blocks = [(node.cid, node.data) for node in nodes if not node.cid.is_identity]
        if not blocks:
            return
        await self._store.put_blocks(blocks)
        if self._stored is not None:
            await self._stored([cid for cid, _ in blocks])
