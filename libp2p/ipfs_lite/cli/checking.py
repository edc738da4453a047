"""``doctor``: what of a peer and of its network answers, and what to do about the rest."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from libp2p.blockstore import MemoryBlockStore
from libp2p.datastore import SqliteDatastore
from libp2p.exceptions import BaseLibp2pError
from libp2p.ipfs_lite.cli.company import client_settings
from libp2p.ipfs_lite.cli.dht_state import fill_tables
from libp2p.ipfs_lite.cli.tables import print_table
from libp2p.ipfs_lite.cli.terminal import say_json
from libp2p.ipfs_lite.config import Config
from libp2p.ipfs_lite.errors import RepoError, UnhealthyError
from libp2p.ipfs_lite.peer import Peer
from libp2p.ipfs_lite.repo import DATASTORE_FILE, Repo
from libp2p.ipfs_lite.routing import NO_ANSWER
from libp2p.ipld.cid import CID
from libp2p.peer.addresses import AddressScope, scope_of, to_multiaddrs
from libp2p.peer.id import ID
from libp2p.peer.own_addresses import is_any_interface
from libp2p.peer.peerinfo import PeerInfo

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.ipfs_lite.cli.at import At
    from libp2p.ipfs_lite.cli.options import NetworkChoice
    from libp2p.ipfs_lite.repo import Identity

#: Seconds for each check. All run at the same time, so the command takes hardly longer.
CHECK_SECONDS: Final = 10.0
#: The command warns of a disk with less room.
LEAST_FREE_BYTES: Final = 1024**3

OK, ATTENTION, OFF = "ok", "attention", "off"

#: What routers are asked for: a block that many have, and that all routers are asked for.
_EMPTY_FOLDER: Final = CID.of("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")

_REACH: Final = {
    AddressScope.LOOPBACK: "this machine only",
    AddressScope.PRIVATE: "machines of its network",
    AddressScope.PUBLIC: "everybody, unless a firewall or router forbids it",
}


#: What JSON calls the parts of a finding.
_FIELDS: Final = ("check", "state", "result", "remedy")


class Finding(NamedTuple):
    """One line of the table."""

    what: str
    state: str
    result: str
    remedy: str = ""


async def check(at: At, listen: Sequence[Multiaddr], network: NetworkChoice) -> None:
    """
    Check everything and print it.

    :raises UnhealthyError: if something needs attention.
    """
    # The table has what this logger would warn of.
    logging.getLogger("libp2p.discovery").setLevel(logging.ERROR)
    findings = await _Checks(at.repo, listen, network).run()
    if at.as_json:
        for finding in findings:
            await say_json(dict(zip(_FIELDS, finding, strict=True)))
    else:
        await print_table(("what", "state", "result", "what to do"), findings)
    bad = sum(finding.state == ATTENTION for finding in findings)
    if bad:
        raise UnhealthyError(f"{bad} of {len(findings)} checks need attention")


class _Checks:
    """The checks of one run."""

    def __init__(self, repo: Path, listen: Sequence[Multiaddr], network: NetworkChoice) -> None:
        self._repo = repo
        self._listen = listen
        self._network = network
        self._identity: Identity | None = None
        self._config = Config()
        self._is_in_use = False
        self._findings: dict[str, list[Finding]] = {}

    async def run(self) -> list[Finding]:
        """Check, and return what was found in a fixed order."""
        await self._do("repo", self._check_repo)
        async with AsyncExitStack() as stack:
            peer = await self._open(stack)
            checks: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
                "store": self._check_store,
                "datastore": self._check_datastore,
            }
            if peer is not None:
                checks |= {
                    "listen": partial(self._check_listening, peer),
                    "bootstrap": partial(self._check_bootstrap, peer),
                    "routers": partial(self._check_routers, peer),
                    "dht": partial(self._check_dht, peer),
                }
            async with trio.open_nursery() as nursery:
                for name, each in checks.items():
                    nursery.start_soon(self._do, name, each)
            ordered = ("repo", *checks, "network")
            return [f for name in ordered for f in self._findings.get(name, [])]

    async def _do(self, name: str, each: Callable[[], Awaitable[list[Finding]]]) -> None:
        late = [Finding(name, ATTENTION, f"no result within {CHECK_SECONDS:g} s", "look at -vv")]
        with trio.move_on_after(CHECK_SECONDS):
            try:
                late = await each()
            except (BaseLibp2pError, OSError) as error:
                late = [Finding(name, ATTENTION, str(error), "")]
        self._findings[name] = late

    async def _open(self, stack: AsyncExitStack) -> Peer | None:
        """Open a peer of no consequence: it is not the repo's, which ``serve`` may have open."""
        datastore = None
        if (self._repo / DATASTORE_FILE).exists():
            datastore = SqliteDatastore(self._repo / DATASTORE_FILE)
            stack.push_async_callback(datastore.close)
        settings = client_settings(self._network, self._config)
        try:
            return await stack.enter_async_context(
                Peer.open(
                    block_store=MemoryBlockStore(),
                    config=self._config,
                    datastore=datastore,
                    **settings,
                )
            )
        except BaseLibp2pError as error:
            self._findings["network"] = [Finding("network", ATTENTION, str(error), "")]
            return None

    # -- what needs no network ------------------------------------------------------------------

    async def _check_repo(self) -> list[Finding]:
        def look() -> Finding:
            path = self._repo
            if not Repo.exists(path) and not (path.exists() and os.listdir(path)):
                return Finding("repo", OK, f"{path} is not there yet: the first use makes it")
            try:
                self._identity = Repo.identity_of(path)
            except RepoError as error:
                return Finding("repo", ATTENTION, str(error), "use another folder: --repo DIR")
            self._config = self._identity.config
            self._is_in_use = Repo.is_in_use(path)
            peer_id = ID.from_pubkey(self._identity.private_key.get_public_key())
            use = "in use by another command" if self._is_in_use else "not in use"
            return Finding("repo", OK, f"{path}, peer {peer_id}, {use}")

        return [await trio.to_thread.run_sync(look, abandon_on_cancel=True)]

    async def _check_store(self) -> list[Finding]:
        def look() -> Finding:
            path = self._repo
            while not path.exists():
                path = path.parent
            free = shutil.disk_usage(path).free
            text = f"{free / 1e9:.1f} GB free"
            if not os.access(path, os.W_OK):
                return Finding("store", ATTENTION, f"{path} cannot be written", "change its mode")
            if free < LEAST_FREE_BYTES:
                return Finding("store", ATTENTION, text, "make room on the disk")
            return Finding("store", OK, text)

        return [await trio.to_thread.run_sync(look, abandon_on_cancel=True)]

    async def _check_datastore(self) -> list[Finding]:
        path = self._repo / DATASTORE_FILE
        if not path.exists():
            return [
                Finding("datastore", OK, "not there yet: the first use of the network makes it")
            ]
        async with SqliteDatastore(path) as datastore:
            await datastore.get("doctor", b"readable")
        return [Finding("datastore", OK, f"{path.stat().st_size / 1e6:.1f} MB, readable")]

    # -- what others can reach ------------------------------------------------------------------

    async def _check_listening(self, peer: Peer) -> list[Finding]:
        addresses = to_multiaddrs(self._listen or self._config.listen, "listen")
        findings: list[Finding] = []
        for address in addresses:
            if self._is_in_use:
                findings.append(await self._check_served(peer, address))
            else:
                findings += await self._check_free(peer, address)
        return findings or [Finding("listen", OFF, "nowhere: nobody can reach this peer")]

    async def _check_served(self, peer: Peer, address: Multiaddr) -> Finding:
        """Look whether the command that has the repo open answers at an address."""
        assert self._identity is not None
        peer_id = ID.from_pubkey(self._identity.private_key.get_public_key())
        dialled = address
        if is_any_interface(address):
            text = str(address).replace("/ip4/0.0.0.0/", "/ip4/127.0.0.1/")
            [dialled] = to_multiaddrs(text.replace("/ip6/::/", "/ip6/::1/"), "listen")
        name = f"listen {address}"
        try:
            await peer.host.connect(PeerInfo(peer_id, [dialled]))
        except BaseLibp2pError as error:
            remedy = "the command that uses the repo does not listen there: stop it, or run serve"
            return Finding(name, ATTENTION, str(error), remedy)
        return Finding(name, OK, "the command that uses the repo answers")

    async def _check_free(self, peer: Peer, address: Multiaddr) -> list[Finding]:
        """Look whether an address can be listened on, and who would reach it."""
        before = set(peer.addrs)
        try:
            await peer.host.get_network().listen(address)
        except BaseLibp2pError as error:
            remedy = "stop what uses the address, or choose another with --listen"
            return [Finding(f"listen {address}", ATTENTION, str(error), remedy)]
        findings = []
        for own in peer.addrs:
            if own in before:
                continue
            text = str(own).rpartition("/p2p/")[0]
            findings.append(Finding(f"listen {text}", OK, _REACH[scope_of(own)]))
        reach = max((scope_of(own) for own in peer.addrs), default=AddressScope.LOOPBACK)
        if reach is AddressScope.LOOPBACK:
            remedy = "listen on /ip4/0.0.0.0/tcp/4001 to be reached by others"
            first = findings[0].what if findings else f"listen {address}"
            return [Finding(first, ATTENTION, _REACH[reach], remedy)]
        return findings

    # -- whom this peer can ask -----------------------------------------------------------------

    async def _check_bootstrap(self, peer: Peer) -> list[Finding]:
        remedy = "is it running, and is the address right? else take it from the list"
        findings = [
            Finding(
                f"bootstrap {outcome.name}",
                OK if outcome.error is None else ATTENTION,
                outcome.error or f"connected in {outcome.seconds * 1000:.0f} ms",
                "" if outcome.error is None else remedy,
            )
            for outcome in await peer.meet_first(CHECK_SECONDS - 1)
        ]
        if findings:
            return findings
        if self._network.knows_anybody(self._config):
            return [Finding("bootstrap", OFF, "no peer is named: routers are asked")]
        if not self._network.may_ask_the_dht(self._config):
            return [Finding("bootstrap", OFF, "no peer is named, and none is needed without a DHT")]
        remedy = "name a peer with --bootstrap, or a router with --router"
        return [Finding("bootstrap", ATTENTION, "nobody is known who could be asked", remedy)]

    async def _check_routers(self, peer: Peer) -> list[Finding]:
        names = [report.name for report in peer.routing.reports()]
        if not names:
            return [Finding("routers", OFF, "none")]
        said: Mapping[str, str] = {}
        began = trio.current_time()
        with trio.move_on_after(CHECK_SECONDS - 1):
            async with peer.routing.find_providers(_EMPTY_FOLDER, 0) as found:
                try:
                    async for _ in found:
                        pass
                except BaseLibp2pError:
                    pass  # `said` has the error
                finally:
                    said = found.said
        took = trio.current_time() - began
        failed = {report.name: report.last_error for report in peer.routing.reports()}
        findings = []
        for name in names:
            answer = failed[name] or said.get(name, "cannot be asked for blocks")
            if failed[name] or answer == NO_ANSWER:
                remedy = "is it running, and is its address right?"
                findings.append(Finding(f"router {name}", ATTENTION, answer, remedy))
            else:
                text = f"of a common block it {answer}; {took * 1000:.0f} ms for all routers"
                findings.append(Finding(f"router {name}", OK, text))
        return findings

    async def _check_dht(self, peer: Peer) -> list[Finding]:
        dht = peer.dht
        if dht is None:
            return [Finding("DHT", OFF, "off")]
        with trio.move_on_after(CHECK_SECONDS - 1):
            await fill_tables(peer)
        sizes = {"public": len(dht.wan.table), "local": len(dht.lan.table)}
        text = ", ".join(f"{size} peers in the {name} table" for name, size in sizes.items())
        if not any(sizes.values()):
            remedy = "name a peer that is a server of the DHT with --bootstrap"
            return [Finding("DHT", ATTENTION, text, remedy)]
        return [Finding("DHT", OK, text)]
