"""Types of arguments, and their error messages."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import click

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: A path as Kubo's users write it; ``CID.of`` reads every other form of a CID alone.
_WITH_PATH: Final = re.compile(r"(?:/ipfs/|ipfs://)?(?P<cid>[A-Za-z0-9]+)/(?P<path>.*)", re.DOTALL)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|d)")


class Duration(click.ParamType[float]):
    """Seconds, or Go's notation: ``90s``, ``2m``, ``1m30s``, ``500ms``."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        seconds = 0.0
        if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text):
            seconds = float(text)
        elif re.fullmatch(f"(?:{_DURATION_PART.pattern})+", text):
            seconds = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
        if seconds <= 0:
            self.fail(f"{text!r} is not a time: write seconds, or 90s, or 2m.", param, ctx)
        return seconds


class CidArgument(click.ParamType["CID"]):
    """A CID in any form that `CID.of` takes: also ``/ipfs/<CID>`` and the URL of a gateway."""

    name = "cid"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> CID:
        from libp2p.ipld.cid import CID, InvalidCID

        if isinstance(value, CID):
            return value
        text = str(value)
        try:
            return CID.of(text)
        except InvalidCID as error:
            self.fail(f"{text!r} is not a CID ({error}).", param, ctx)


class Content(NamedTuple):
    """What a command is about: a CID or a name that stands for one, or what is below it."""

    root: CID | str
    """A text is a name of IPNS or a domain, which has to be resolved."""
    path: str
    """Names of folders with slashes between them; empty for the root itself."""

    def __str__(self) -> str:
        return f"{self.root}/{self.path}" if self.path else str(self.root)

    @property
    def name(self) -> str:
        """The last part, which a saved file is called by."""
        return self.path.rpartition("/")[2] or str(self.root)


class ContentArgument(click.ParamType["Content"]):
    """
    A CID as `CidArgument` takes, or ``/ipns/`` and a name or domain, which a path may follow.

    ``<CID>/docs/index.html``, ``/ipns/example.com/docs``, ``ipns://k51…``.
    """

    name = "cid"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Content:
        if isinstance(value, Content):
            return value
        text = str(value).strip()
        if text.lower().startswith(("/ipns/", "ipns://")):
            return self._named(text, param, ctx)
        from libp2p.ipld.cid import CID, InvalidCID

        with contextlib.suppress(InvalidCID):
            return Content(CID.of(text), "")
        found = _WITH_PATH.fullmatch(text)
        names = [name for name in (found["path"] if found else "").split("/") if name]
        if found is None or {".", ".."} & set(names):
            return Content(CidArgument().convert(value, param, ctx), "")
        return Content(CidArgument().convert(found["cid"], param, ctx), "/".join(names))

    def _named(
        self, text: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Content:
        from libp2p.exceptions import InvalidPath
        from libp2p.ipns.path import ContentPath

        try:
            path = ContentPath.parse(text)
        except InvalidPath as error:
            self.fail(f"{error}.", param, ctx)
        return Content(path.root, path.rest.strip("/"))


class PeerAddress(click.ParamType["PeerInfo"]):
    """A multiaddr that ends in a peer id."""

    name = "multiaddr"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> PeerInfo:
        from libp2p.peer.peerinfo import InvalidAddrError, PeerInfo, info_from_p2p_addr

        if isinstance(value, PeerInfo):
            return value
        try:
            info = info_from_p2p_addr(str(value))
        except InvalidAddrError as error:
            self.fail(f"{error}; write /ip4/192.0.2.1/tcp/4001/p2p/12D3….", param, ctx)
        if not info.addrs:
            self.fail(f"{value} does not say where the peer is.", param, ctx)
        return info


class ListenAddress(click.ParamType["Multiaddr"]):
    """A multiaddr to listen on."""

    name = "multiaddr"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Multiaddr:
        from libp2p.exceptions import InvalidAddrError
        from libp2p.peer.addresses import to_multiaddr

        try:
            return to_multiaddr(value)
        except InvalidAddrError as error:
            self.fail(f"{error}.", param, ctx)


#: The option's value that stands for nothing at all.
NONE: Final = "none"


class BootstrapAddress(click.ParamType[str]):
    """A peer, or a place that names peers; or ``none``."""

    name = "multiaddr"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        if text == NONE:
            return text
        from libp2p.discovery.bootstrap.sources import read_sources
        from libp2p.exceptions import BaseLibp2pError

        try:
            read_sources([text])
        except BaseLibp2pError as error:
            self.fail(f"{error}.", param, ctx)
        return text


class KeptPeer(click.ParamType[str]):
    """A peer to stay connected to."""

    name = "multiaddr"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        from libp2p.discovery.peering.keeper import peers_to_keep
        from libp2p.exceptions import BaseLibp2pError

        try:
            peers_to_keep([str(value)])
        except BaseLibp2pError as error:
            self.fail(f"{error}.", param, ctx)
        return str(value)


class RouterUrl(click.ParamType[str]):
    """The URL of a delegated router; or ``none``."""

    name = "url"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        from libp2p.ipfs_lite.config import check_router_url
        from libp2p.ipfs_lite.errors import RepoError

        text = str(value)
        try:
            if text != NONE:
                check_router_url(text)
        except RepoError as error:
            self.fail(f"{error}.", param, ctx)
        return text


class PeerIdArgument(click.ParamType["ID"]):
    """A peer id, also as ``/p2p/<peer id>`` or as a CID."""

    name = "peer id"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> ID:
        from libp2p.exceptions import InvalidPeerID
        from libp2p.peer.id import ID

        if isinstance(value, ID):
            return value
        text = str(value)
        try:
            return ID.from_string(text.removeprefix("/p2p/"))
        except InvalidPeerID as error:
            self.fail(f"{text!r} is not a peer id ({error}).", param, ctx)


class RecordKey(click.ParamType[bytes]):
    """The key of a record: ``/ipns/<name>`` or ``/pk/<peer id>``, or any ``/namespace/text``."""

    name = "key"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        from libp2p.exceptions import InvalidPeerID
        from libp2p.peer.id import ID

        text = str(value)
        _, namespace, name = [*text.split("/", 2), "", "", ""][:3]
        if not text.startswith("/") or not namespace or not name:
            self.fail(f"{text!r} is not a key: write /ipns/<name>.", param, ctx)
        if namespace not in ("ipns", "pk"):
            return text.encode()
        try:
            return f"/{namespace}/".encode() + ID.from_string(name).to_bytes()
        except InvalidPeerID as error:
            self.fail(f"{name!r} is not a name ({error}).", param, ctx)


class FlagOrValue(click.Command):
    """
    A command that reads options of flags as Kubo's do: a bare one is true, ``-r=false`` is a value.
    """

    FLAGS: Final = ("--raw-leaves", "--v1compat", "--pin", "--recursive", "-r", "--unpin")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        flags = {
            flag
            for option in self.params
            if isinstance(option.type, click.types.BoolParamType)
            and not getattr(option, "is_flag", False)
            for flag in (*option.opts, *option.secondary_opts)
            if flag in self.FLAGS
        }
        options = [f"{arg}=true" if arg in flags else arg for arg in args[:end]]
        # click reads the value of a short option without "=".
        options = [
            f"{arg[:2]}{arg[3:]}" if arg[:2] in flags and arg[2:3] == "=" else arg
            for arg in options
        ]
        return super().parse_args(ctx, options + args[end:])
