"""
Nodes of DAGs, and many reads in one bitswap session: Go ipfs-lite's DAGService and Session.

`NodeGetter` reads nodes, follows paths and walks; `DAGService` also stores nodes, and removes them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any, Final

from libp2p.bitswap.errors import BlockTooLargeError
from libp2p.ipfs_lite.dag_reader import DagReader
from libp2p.ipfs_lite.folders import run_steps
from libp2p.ipfs_lite.sizes import dag_stats
from libp2p.ipld.block import MAX_BLOCK_BYTES, Block
from libp2p.ipld.cid import CID, cid_inputs
from libp2p.ipld.dag_walk import MAX_VISITED, DagWalk
from libp2p.ipld.node import Node
from libp2p.ipld.paths import follow, names_in
from libp2p.utils import arguments
from libp2p.utils.closing import AsyncClosing

if TYPE_CHECKING:
    from libp2p.ipfs_lite.file_fetch import BlockSource
    from libp2p.ipfs_lite.operations import Operations
    from libp2p.ipfs_lite.reader import UnixFSReader
    from libp2p.ipfs_lite.sizes import DagStats
    from libp2p.ipld.cid import CIDInput
    from libp2p.ipld.node import NodeValue
    from libp2p.ipld.paths import Place

#: Bytes and nodes that `DAGService.add_many` writes at once.
BATCH_BYTES: Final = 1024 * 1024
BATCH_NODES: Final = 512


class NodeGetter:
    """
    Reads nodes, from the store or else from peers.

    :param open_source: opens a source of blocks, and closes it where it should be.
    """

    def __init__(
        self, work: Operations, open_source: Callable[[], AbstractContextManager[BlockSource]]
    ) -> None:
        self._work = work
        self._open_source = open_source

    async def get_block(self, cid: CIDInput) -> bytes:
        """
        Return a block of any codec.

        :raises BitswapError: if it cannot be had.
        """
        with self._work.call(), self._open_source() as source:
            [data] = await source.fetch([CID.of(cid)])
            return data

    async def get(self, cid: CIDInput) -> Node:
        """
        Return a node in dag-pb, raw, dag-cbor, dag-json, cbor or json.

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
            async with aclosing(self._work.each(source.stream(cid_inputs(cids)))) as blocks:
                async for block in blocks:
                    yield Node.read(*block)

    async def resolve(self, cid: CIDInput, path: str) -> Place:
        """
        Return the block that a path leads to, and the rest of the path, which is inside of it.

        :param path: through folders, maps, lists and links: ``"docs/0/title"``; see
            `libp2p.ipld.paths`.
        :raises NameNotInDirectory: if a folder, map or list has no such entry.
        :raises NotADirectory: if something else is to have one.
        :raises BitswapError: if a block on the way cannot be had.
        """
        return await self._follow(cid, path, read=False)

    async def value(self, cid: CIDInput, path: str = "") -> Any:
        """Return what is at a path, in the data model; raises as `resolve` and `get` do."""
        return (await self._follow(cid, path, read=True)).value

    async def _follow(self, cid: CIDInput, path: str, *, read: bool) -> Place:
        names = names_in(path)
        with self._work.call(), self._open_source() as source:
            return await run_steps(source, follow(CID.of(cid), names, read=read))

    async def walk(
        self,
        roots: CIDInput | Iterable[CIDInput],
        *,
        max_depth: int | None = None,
        max_blocks: int = MAX_VISITED,
    ) -> AsyncGenerator[Node, None]:
        """
        Yield the nodes of a DAG, each once, depth first: a node, then what its links lead to.

        :param max_depth: 0 is the roots alone, None all below them.
        :param max_blocks: raise `InvalidArgument` if there are more. Each takes some hundred bytes
            of memory until the end.
        :raises BitswapError: if a block cannot be had.
        :raises UnknownCodec: if one is in a codec that cannot be read.
        :raises ParseError: if one is not in the codec that its CID says.
        """
        if max_depth is not None:
            arguments.count(max_depth, "max_depth")
        arguments.count(max_blocks, "max_blocks", 1, MAX_VISITED)
        cids = [CID.of(root) for root in cid_inputs(roots)]
        walk = DagWalk(cids, max_depth=max_depth, max_blocks=max_blocks)
        with self._open_source() as source:
            async with aclosing(self._work.each(DagReader(source, walk).blocks())) as blocks:
                async for block in blocks:
                    yield Node.read(*block)


class Session(NodeGetter, AsyncClosing):
    """
    Many reads in one bitswap session, which asks first those who had the blocks before.

    ``async with peer.session() as session``; or call `close`.
    """

    def __init__(self, work: Operations, source: BlockSource) -> None:
        super().__init__(work, lambda: nullcontext(source))
        self._source = source

    async def get_file(self, cid: CIDInput) -> UnixFSReader:
        """Open a file for reading; see `Peer.get_file`. It ends with the session."""
        with self._work.call():
            return await self._work.open_file(CID.of(cid), self._source.lend())

    def close(self) -> None:
        """End the session; reads that still wait get an error."""
        self._source.close()


class DAGService(NodeGetter):
    """Reads nodes, and stores them; `Peer.dag`. What it stores is pinned by nobody."""

    def __init__(self, work: Operations, pin: Callable[[CID], Awaitable[None]]) -> None:
        super().__init__(work, work.open_source)
        self._store = work.parts.store
        self._pin = pin

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
        with self._work.call():
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
        self,
        value: NodeValue,
        codec: str | int | None = None,
        *,
        hash: str | int = "sha2-256",
        pin: bool = False,
    ) -> CID:
        """
        Store a value as `Node.of` writes it; return its CID.

        :param pin: keep it, and what is below it as far as it is here, when `Peer.gc` runs.
        """
        node = Node.of(value, codec, hash=hash)
        await self.add(node)
        if pin:
            await self._pin(node.cid)
        return node.cid

    async def stat(self, roots: CIDInput | Iterable[CIDInput]) -> DagStats:
        """
        Count the blocks of DAGs, and their bytes; what is not here is fetched, and kept.

        :raises BitswapError: if a block cannot be had.
        :raises UnknownCodec: if the links of one cannot be read.
        """
        cids = list(dict.fromkeys(CID.of(root) for root in cid_inputs(roots)))
        with self._work.call(), self._open_source() as source:
            return await dag_stats(cids, source, self._store)

    async def remove(self, cid: CIDInput) -> None:
        """Delete a block from the store, if it is there; what it links to stays."""
        await self.remove_many([cid])

    async def remove_many(self, cids: Iterable[CIDInput]) -> None:
        """Delete blocks from the store."""
        for cid in [CID.of(one) for one in cid_inputs(cids)]:
            with self._work.call():
                await self._store.delete_block(cid)

    async def _store_batch(self, nodes: list[Node]) -> None:
        await self._work.store_blocks(
            [Block(node.cid, node.data) for node in nodes if not node.cid.is_identity]
        )
