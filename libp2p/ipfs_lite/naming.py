"""
The names of a peer: `Peer.names` publishes them with the repo's keys, and resolves any.

Calls of the program end with `PeerClosedError` when the peer is closed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import trio

from libp2p.crypto.keys import PrivateKey
from libp2p.ipfs_lite.errors import KeyNotFoundError
from libp2p.ipfs_lite.keystore import OWN_NAME, Keystore
from libp2p.ipfs_lite.operations import each_within
from libp2p.ipns.cache import NameCache
from libp2p.ipns.config import PublisherConfig, ResolverConfig
from libp2p.ipns.name import Name
from libp2p.ipns.publisher import Publisher
from libp2p.ipns.resolver import Resolver
from libp2p.utils import arguments
from libp2p.utils.shown import shown

if TYPE_CHECKING:
    from libp2p.datastore import Datastore
    from libp2p.ipfs_lite.operations import Call
    from libp2p.ipld.cid import CID
    from libp2p.ipns.path import ContentPath
    from libp2p.ipns.publisher import Published, RepublishReport
    from libp2p.ipns.resolver import Resolution, TxtLookup
    from libp2p.routing.abc import ValueRouter


class PublishOptions(TypedDict, total=False):
    """See `Publisher.publish`."""

    lifetime: float | None
    ttl: float | None
    sequence: int | None
    with_v1: bool
    announce: bool


class ResolveOptions(TypedDict, total=False):
    """See `Resolver.resolve`."""

    recursive: bool
    use_cache: bool
    first_good: bool


class OwnKey:
    """The only key of a peer without a repo."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    async def key_of(self, name: Name) -> PrivateKey | None:
        """Return the key if it is the name's."""
        return self._key if Name.of(self._key) == name else None

    def get(self, name: str) -> PrivateKey:
        """
        Return the key, which is called ``self``.

        :raises KeyNotFoundError: for every other name.
        """
        if name != OWN_NAME:
            raise KeyNotFoundError(f"no key is called {name!r}: a peer without a repo has one key")
        return self._key


class NameService:
    """
    Publishes and resolves names with one cache.

    :param router: None for names that were published here only.
    :param keys: the keystore of a repo, or the one key of a peer without a repo.
    :param txt: asks DNS; None refuses domains.
    """

    def __init__(
        self,
        router: ValueRouter | None,
        datastore: Datastore,
        keys: Keystore | OwnKey,
        txt: TxtLookup | None = None,
        *,
        publishing: PublisherConfig | None = None,
        resolving: ResolverConfig | None = None,
        static: Mapping[str, str] | None = None,
    ) -> None:
        self.keys: Final = keys
        resolving = resolving or ResolverConfig()
        cache = NameCache(resolving.max_cached)
        self.publisher: Final = Publisher(
            router, datastore, keys=keys, config=publishing, cache=cache
        )
        self.resolver: Final = Resolver(
            router,
            txt,
            published=self.publisher.published,
            config=resolving,
            cache=cache,
            static=static,
        )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[NameService]:
        """Announce the published names from time to time, as long as the block lasts."""
        async with self.publisher.run():
            yield self

    async def key(self, key: PrivateKey | str) -> PrivateKey:
        """
        Return a key that is given itself, or by its name, its name of IPNS or its peer id.

        :raises KeyNotFoundError: if it is not here.
        """
        if isinstance(key, PrivateKey):
            return key
        arguments.instance(key, str, "key")
        if isinstance(self.keys, OwnKey):
            return self.keys.get(key)
        return (await trio.to_thread.run_sync(self.keys.find, key)).key


class PeerNames:
    """
    Names of IPNS: the peer's own, which it publishes, and everybody's, which it resolves.

    While the peer is open, the names that were published with it are announced every four hours.
    """

    def __init__(self, service: NameService, call: Call = nullcontext) -> None:
        self._service = service
        self._call = call

    def __repr__(self) -> str:
        return shown(self, lambda: repr(self._service.keys))

    @property
    def keystore(self) -> Keystore:
        """
        The keys of the repo; its methods block for a few file operations.

        :raises KeyNotFoundError: if the peer has no repo.
        """
        if isinstance(self._service.keys, OwnKey):
            raise KeyNotFoundError("a peer without a repo has one key")
        return self._service.keys

    async def publish(
        self,
        path: ContentPath | Name | CID | str,
        key: PrivateKey | str = OWN_NAME,
        **options: Unpack[PublishOptions],
    ) -> Published:
        """
        Say what the name of a key stands for; raises as `Publisher.publish` does.

        :param key: itself, or what it is called in the repo; by default the peer's identity.
        :param options: see `Publisher.publish`.
        :raises KeyNotFoundError: if the key is not here.
        """
        with self._call():
            private_key = await self._service.key(key)
            return await self._service.publisher.publish(private_key, path, **options)

    async def resolve(
        self, path: ContentPath | Name | CID | str, **options: Unpack[ResolveOptions]
    ) -> Resolution:
        """Return what a path stands for; see `Resolver.resolve`."""
        with self._call():
            return await self._service.resolver.resolve(path, **options)

    async def resolve_iter(
        self, path: ContentPath | Name | CID | str, *, recursive: bool = True
    ) -> AsyncGenerator[Resolution, None]:
        """Yield what a path stands for as better records are found."""
        steps = self._service.resolver.resolve_iter(path, recursive=recursive)
        async with aclosing(each_within(self._call, steps)) as found:
            async for step in found:
                yield step

    async def republish(self) -> RepublishReport:
        """Announce all names that were published here, now."""
        with self._call():
            return await self._service.publisher.republish()
