"""
py-libp2p's `MerkleDag`: files and nodes as blocks, through a `BitswapClient`.

`libp2p.ipfs_lite.Peer` does more: it streams, it hashes in threads, and it has Kubo's profiles.
"""

from __future__ import annotations

import json
import os
from inspect import isawaitable
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import trio

from libp2p.bitswap.chunker import DEFAULT_CHUNK_SIZE, read_chunk
from libp2p.bitswap.cid import (
    CODEC_DAG_CBOR,
    CODEC_DAG_JOSE,
    CODEC_DAG_JSON,
    CODEC_IPLD,
    CODEC_RAW,
    code_of,
    compute_cid_v1,
)
from libp2p.bitswap.config import DEFAULT_TIMEOUT
from libp2p.bitswap.dag_pb import (
    MAX_LINKS_PER_NODE,
    create_directory_node,
    decode_dag_pb,
    is_directory_node,
)
from libp2p.bitswap.errors import BlockNotFoundError
from libp2p.exceptions import NotAFile
from libp2p.ipld import dag_cbor
from libp2p.ipld.block import Block
from libp2p.ipld.cid import CID
from libp2p.ipld.codec import DAG_PB
from libp2p.ipld.file_node import Kind, kind_of, read_file_node
from libp2p.ipld.file_walk import FileWalk
from libp2p.ipld.importer import FileImporter
from libp2p.ipld.profiles import ImportOptions
from libp2p.utils import arguments
from libp2p.utils.logs import get_logger
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from libp2p.base_types import Buffer
    from libp2p.bitswap.block_service import BlockService
    from libp2p.bitswap.cid import Codec
    from libp2p.bitswap.client import BitswapClient
    from libp2p.bitswap.fetch.session import BitswapSession
    from libp2p.blockstore import BlockStore
    from libp2p.ipld.cid import CIDInput
    from libp2p.peer.id import ID

    #: Called with the bytes done, the bytes in all and a word for the step; may be async.
    ProgressCallback: TypeAlias = "Callable[[int, int, str], Awaitable[None] | None]"
else:
    ProgressCallback = object

__all__ = [
    "MerkleDag",
    "ProgressCallback",
    "decode_dag_pb",  # py-ipfs-lite takes this and the next one from here
    "is_directory_node",
    "decode_node",
    "encode_node",
    "get_codec_from_cid",
]

logger = get_logger(__name__)

_JSON_CODECS = (CODEC_DAG_JSON, CODEC_DAG_JOSE, CODEC_IPLD)


def get_codec_from_cid(cid: CIDInput) -> str:
    return CID.of(cid).codec


def encode_node(node: Any, codec: Codec) -> bytes:
    """
    Write a node as DAG-CBOR, or as JSON with sorted keys, as the codecs of JSON have it.

    :raises ValueError: if the codec is not one of these, or has no form for the node.
    """
    code = code_of(codec)
    if code == CODEC_DAG_CBOR:
        return dag_cbor.encode(node)
    if code not in _JSON_CODECS:
        raise ValueError(f"nodes cannot be written as {codec!r}, only as dag-json or dag-cbor")
    text = json.dumps(node, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.encode()


def decode_node(data: bytes, codec: Codec) -> Any:
    """
    Read a node of DAG-CBOR or JSON, or raw bytes as they are.

    :raises ValueError: if the codec is another one, or the data are not what it says.
    """
    code = code_of(codec)
    if code == CODEC_RAW:
        return data
    if code == CODEC_DAG_CBOR:
        return dag_cbor.decode(data)
    if code not in _JSON_CODECS:
        raise ValueError(f"nodes cannot be read as {codec!r}, only as dag-json, dag-cbor or raw")
    return json.loads(data)


class MerkleDag:
    """
    Adds files as blocks and fetches them: chunks of 256 KiB, raw leaves, 174 links, CIDv1.

    :param block_store: where `remove_node` removes; the client's by default.
    :param block_service: what blocks are put to and taken from instead of the client.
    """

    def __init__(
        self,
        bitswap: BitswapClient,
        block_store: BlockStore | None = None,
        block_service: BlockService | None = None,
    ) -> None:
        self.bitswap = bitswap
        self.block_store = bitswap.block_store if block_store is None else block_store
        self._service = block_service

    def __repr__(self) -> str:
        return shown(self, lambda: f"with {self.block_store!r}")

    # -- adding ---------------------------------------------------------------------------------

    async def add_file(
        self,
        file_path: str,
        chunk_size: int | None = None,
        progress_callback: ProgressCallback | None = None,
        wrap_with_directory: bool = False,
    ) -> bytes:
        """
        Add a file; return the CID of its root, or of a directory that has its name.

        :raises OSError: if it cannot be read.
        :raises InvalidImportOptions: if chunks of this size would not fit into blocks.
        """
        file_path = arguments.path(file_path, "file_path")
        async with await trio.open_file(file_path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            importer = await self._import(file.wrapped, size, chunk_size, progress_callback)
        if not wrap_with_directory:
            return importer.root.buffer
        entry = (os.path.basename(file_path), importer.root, importer.dag_size)
        return await self.add_encoded_block(create_directory_node([entry]), DAG_PB)

    async def add_bytes(
        self,
        data: bytes,
        chunk_size: int | None = None,
        progress_callback: ProgressCallback | None = None,
    ) -> bytes:
        """Add bytes as `add_file` adds those of a file."""
        data = bytes(arguments.binary(data))
        importer = await self._import(BytesIO(data), len(data), chunk_size, progress_callback)
        return importer.root.buffer

    async def add_stream(
        self,
        stream: BinaryIO,
        chunk_size: int | None = None,
        progress_callback: ProgressCallback | None = None,
    ) -> bytes:
        """Add the bytes of an open file or a pipe, up to its end."""
        arguments.having(stream, ("read",), "stream", "open for reading bytes")
        importer = await self._import(stream, None, chunk_size, progress_callback)
        return importer.root.buffer

    async def _import(
        self,
        source: BinaryIO,
        size: int | None,
        chunk_size: int | None,
        progress: ProgressCallback | None,
    ) -> FileImporter:
        if chunk_size is not None:
            chunk_size = arguments.count(chunk_size, "chunk_size", least=1)
        chunker = f"size-{DEFAULT_CHUNK_SIZE if chunk_size is None else chunk_size}"
        importer = FileImporter(ImportOptions(chunker=chunker, max_file_links=MAX_LINKS_PER_NODE))
        while data := await trio.to_thread.run_sync(read_chunk, source, importer.read_bytes):
            await self._put(importer.feed([arguments.binary(data, "what the stream gives")]))
            await _tell(progress, importer.file_size, size, "chunking")
        await self._put(importer.finish())
        await _tell(progress, importer.file_size, size, "completed")
        name = getattr(source, "name", type(source).__name__)
        logger.info("added: %s, %s, %d bytes", importer.root, name, importer.file_size)
        return importer

    async def _put(self, blocks: Iterable[Block]) -> None:
        put = self.bitswap.add_block if self._service is None else self._service.put_block
        for cid, data in blocks:
            await put(cid.buffer, data)

    # -- fetching -------------------------------------------------------------------------------

    async def fetch_file(
        self,
        root_cid: CIDInput,
        peer_id: ID | None = None,
        timeout: float = 30.0,
        progress_callback: ProgressCallback | None = None,
    ) -> tuple[bytes, str | None]:
        """
        Return the bytes of a file and None; of a directory, its first file's bytes and name.

        :param timeout: the longest time for a block.
        :raises BitswapError: if a block cannot be had.
        :raises NotAFile: if the root is something else.
        """
        source = _Source(self.bitswap.new_session(), self._service, peer_id, timeout)
        root, name = CID.of(root_cid), None
        data = await source.block(root)
        if kind_of(Block(root, data)) is Kind.DIRECTORY:
            links, _ = decode_dag_pb(data)
            if not links:
                raise NotAFile(f"{root} is a directory without files", Kind.DIRECTORY)
            root, name = CID.of(links[0].cid), links[0].name or None
            data = await source.block(root)
        walk = FileWalk(root)
        for cid in walk.wanted(1):
            walk.supply(cid, data)
        parts: list[Buffer] = walk.take()
        while not walk.done:
            if wanted := walk.wanted():
                for key, block in (await source.blocks(wanted)).items():
                    walk.supply(CID.of(key), block)
            parts += walk.take()
            await _tell(progress_callback, walk.position, walk.size, "downloading")
        await _tell(progress_callback, walk.position, walk.size, "completed")
        logger.info("fetched: %s, %d bytes", root, walk.position)
        return b"".join(parts), name

    async def get_file_info(
        self, root_cid: CIDInput, peer_id: ID | None = None, timeout: float = 30.0
    ) -> dict[str, int | list[int]]:
        """
        Return what the root of a file says about it, without fetching more.

        :return: its ``size``, the number of ``chunks`` or nodes that the root joins, and
            ``chunk_sizes``, the bytes of the file in each. Of a file of old js-ipfs the root may
            not state them: then ``chunk_sizes`` is empty, and ``size`` may be 0.
        :raises BitswapError: if the root cannot be had.
        :raises NotAFile: if it is something else.
        """
        root = CID.of(root_cid)
        data = await _Source(self.bitswap.new_session(), self._service, peer_id, timeout).block(
            root
        )
        node = read_file_node(root, data)
        sizes = [node.size] if root.codec_code == CODEC_RAW else list(node.sizes)
        chunks = 1 if root.codec_code == CODEC_RAW else len(node.cids)
        return {"size": node.size, "chunks": chunks, "chunk_sizes": sizes}

    # -- nodes ----------------------------------------------------------------------------------

    async def add_encoded_block(self, data: bytes, codec: Codec) -> bytes:
        """Add a block as it is; return its CID."""
        cid = compute_cid_v1(data, codec)
        await self._put([Block(CID.of(cid), data)])
        return cid

    async def add_node(self, node: Any, codec: Codec | None = None) -> bytes:
        """Add a node, as dag-json by default; raises as `encode_node` does."""
        code = CODEC_DAG_JSON if codec is None else code_of(codec)
        return await self.add_encoded_block(encode_node(node, code), code)

    async def get_node(self, cid: CIDInput, peer_id: ID | None = None) -> Any:
        """Fetch a node and read it; raises as `decode_node` does, and `BitswapError`."""
        wanted = CID.of(cid)
        data = None
        if self._service is None:
            data = await self.block_store.get_block(wanted.buffer)
        if data is None:
            source = _Source(self.bitswap.new_session(), self._service, peer_id, DEFAULT_TIMEOUT)
            data = await source.block(wanted)
        return decode_node(data, wanted.codec_code)

    async def remove_node(self, cid: CIDInput) -> None:
        """Delete a block from the store, and all that it links to as dag-pb."""
        left = [CID.of(cid)]
        while left:
            removed = left.pop()
            if removed.codec_code == DAG_PB:
                data = await self.block_store.get_block(removed.buffer)
                if data is not None:
                    left += [CID.of(link.cid) for link in decode_dag_pb(data)[0]]
            await self.block_store.delete_block(removed.buffer)


class _Source:
    """Where the blocks of one fetch come from."""

    def __init__(
        self,
        session: BitswapSession,
        service: BlockService | None,
        peer_id: ID | None,
        timeout: float,
    ) -> None:
        self._session = session
        self._service = service
        self._peer_id = peer_id
        self._timeout = timeout

    async def block(self, cid: CID) -> bytes:
        if self._service is None:
            return await self._session.get_block(cid.buffer, self._peer_id, self._timeout)
        data = await self._service.get_block(
            cid.buffer, self._session, self._peer_id, self._timeout
        )
        if data is None:
            raise BlockNotFoundError(f"block {cid} was not found", cid)
        return data

    async def blocks(self, cids: Iterable[CID]) -> dict[bytes, bytes]:
        wanted: list[CIDInput] = [cid.buffer for cid in cids]
        peer_id, timeout = self._peer_id, self._timeout
        if self._service is None:
            found = await self._session.get_blocks_batch(wanted, peer_id=peer_id, timeout=timeout)
        else:
            found = await self._service.get_blocks_batch(
                wanted, self._session, peer_id=peer_id, timeout=timeout
            )
        return found


async def _tell(
    progress: ProgressCallback | None, done: int, total: int | None, status: str
) -> None:
    if progress is not None:
        told = progress(done, done if total is None else total, status)
        if isawaitable(told):
            await told
