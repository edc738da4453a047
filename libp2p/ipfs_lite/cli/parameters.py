"""Types of arguments with their error messages, and the arguments that several verbs have."""

from __future__ import annotations

import contextlib
import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

import click

if TYPE_CHECKING:
    from multiaddr import Multiaddr

    from libp2p.ipld.cid import CID
    from libp2p.peer.id import ID
    from libp2p.peer.peerinfo import PeerInfo

T = TypeVar("T")

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: A path as Kubo's users write it; ``CID.of`` reads every other form of a CID alone.
_WITH_PATH: Final = re.compile(r"(?:/ipfs/|ipfs://)?(?P<cid>[A-Za-z0-9]+)/(?P<path>.*)", re.DOTALL)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|d)")


class _Argument(click.ParamType[T]):
    """What is read from a text."""

    @abstractmethod
    def read(self, text: str) -> T:
        """
        Return what a text stands for.

        :raises BaseLibp2pError: saying what is wrong.
        :raises click.BadParameter: with the whole text for the user.
        """

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> T:
        from libp2p.exceptions import BaseLibp2pError

        if not isinstance(value, str):
            return cast("T", value)  # it was read already
        try:
            return self.read(value)
        except BaseLibp2pError as error:
            self.fail(f"{error}.", param, ctx)


class Duration(_Argument[float]):
    """Seconds, or Go's notation: ``90s``, ``2m``, ``1m30s``, ``500ms``."""

    name = "duration"

    def read(self, text: str) -> float:
        seconds = 0.0
        if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text):
            seconds = float(text)
        elif re.fullmatch(f"(?:{_DURATION_PART.pattern})+", text):
            seconds = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
        if seconds <= 0:
            raise click.BadParameter(f"{text!r} is not a time: write seconds, or 90s, or 2m.")
        return seconds


class CidArgument(_Argument["CID"]):
    """A CID in any form that `CID.of` takes: also ``/ipfs/<CID>`` and the URL of a gateway."""

    name = "cid"

    def read(self, text: str) -> CID:
        from libp2p.ipld.cid import CID, InvalidCID

        try:
            return CID.of(text)
        except InvalidCID as error:
            raise click.BadParameter(f"{text!r} is not a CID ({error}).") from error


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


class ContentArgument(_Argument["Content"]):
    """
    A CID as `CidArgument` takes, or ``/ipns/`` and a name or domain, which a path may follow.

    ``<CID>/docs/index.html``, ``/ipns/example.com/docs``, ``ipns://k51…``.
    """

    name = "cid"

    def read(self, text: str) -> Content:
        text = text.strip()
        if text.lower().startswith(("/ipns/", "ipns://")):
            from libp2p.ipns.path import ContentPath

            path = ContentPath.parse(text)
            return Content(path.root, path.rest.strip("/"))
        from libp2p.ipld.cid import CID, InvalidCID

        with contextlib.suppress(InvalidCID):
            return Content(CID.of(text), "")
        found = _WITH_PATH.fullmatch(text)
        names = [name for name in (found["path"] if found else "").split("/") if name]
        if found is None or {".", ".."} & set(names):
            return Content(CidArgument().read(text), "")
        return Content(CidArgument().read(found["cid"]), "/".join(names))


cids_argument: Final = click.argument(
    "cids", nargs=-1, required=True, type=CidArgument(), metavar="CID..."
)
content_argument: Final = click.argument("content", type=ContentArgument(), metavar="CID[/PATH]")
contents_argument: Final = click.argument(
    "contents", nargs=-1, required=True, type=ContentArgument(), metavar="CID[/PATH]..."
)


class PeerAddress(_Argument["PeerInfo"]):
    """A multiaddr that ends in a peer id."""

    name = "multiaddr"

    def read(self, text: str) -> PeerInfo:
        from libp2p.peer.peerinfo import InvalidAddrError, info_from_p2p_addr

        try:
            info = info_from_p2p_addr(text)
        except InvalidAddrError as error:
            advice = "write /ip4/192.0.2.1/tcp/4001/p2p/12D3…"
            raise click.BadParameter(f"{error}; {advice}.") from error
        if not info.addrs:
            raise click.BadParameter(f"{text} does not say where the peer is.")
        return info


class ListenAddress(_Argument["Multiaddr"]):
    """A multiaddr to listen on."""

    name = "multiaddr"

    def read(self, text: str) -> Multiaddr:
        from libp2p.peer.addresses import to_multiaddr

        return to_multiaddr(text)


#: The option's value that stands for nothing at all.
NONE: Final = "none"


class BootstrapAddress(_Argument[str]):
    """A peer, or a place that names peers; or ``none``."""

    name = "multiaddr"

    def read(self, text: str) -> str:
        if text != NONE:
            from libp2p.discovery.bootstrap.sources import read_sources

            read_sources([text])
        return text


class KeptPeer(_Argument[str]):
    """A peer to stay connected to."""

    name = "multiaddr"

    def read(self, text: str) -> str:
        from libp2p.discovery.peering.keeper import peers_to_keep

        peers_to_keep([text])
        return text


class RouterUrl(_Argument[str]):
    """The URL of a delegated router; or ``none``."""

    name = "url"

    def read(self, text: str) -> str:
        from libp2p.ipfs_lite.config import check_router_url

        if text != NONE:
            check_router_url(text)
        return text


class PeerIdArgument(_Argument["ID"]):
    """A peer id, also as ``/p2p/<peer id>`` or as a CID."""

    name = "peer id"

    def read(self, text: str) -> ID:
        from libp2p.exceptions import InvalidPeerID
        from libp2p.peer.id import ID

        try:
            return ID.from_string(text.removeprefix("/p2p/"))
        except InvalidPeerID as error:
            raise click.BadParameter(f"{text!r} is not a peer id ({error}).") from error


class RecordKey(_Argument[bytes]):
    """The key of a record: ``/ipns/<name>`` or ``/pk/<peer id>``, or any ``/namespace/text``."""

    name = "key"

    def read(self, text: str) -> bytes:
        from libp2p.exceptions import InvalidPeerID
        from libp2p.peer.id import ID

        _, namespace, name = [*text.split("/", 2), "", "", ""][:3]
        if not text.startswith("/") or not namespace or not name:
            raise click.BadParameter(f"{text!r} is not a key: write /ipns/<name>.")
        if namespace not in ("ipns", "pk"):
            return text.encode()
        try:
            return f"/{namespace}/".encode() + ID.from_string(name).to_bytes()
        except InvalidPeerID as error:
            raise click.BadParameter(f"{name!r} is not a name ({error}).") from error


#: How Go's flags are written.
_TRUTHS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class FlagOrValue(click.Command):
    """A command that reads flags as Kubo's do: a bare one is true, ``-r=false`` is a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        valued, plain = self._flags()
        options: list[str] = []
        for arg in args[:end]:
            name, equals, value = arg.partition("=")
            if name in plain and equals:
                if value not in _TRUTHS:
                    ctx.fail(f"Option {name!r} is true or false, not {value!r:.100}.")
                options += [name] if _TRUTHS[value] else []
            elif name in valued:
                value = value if equals else "true"
                # click reads the value of a short option without "=".
                options.append(f"{name}={value}" if name.startswith("--") else f"{name}{value}")
            else:
                options.append(arg)
        return super().parse_args(ctx, options + args[end:])

    def _flags(self) -> tuple[set[str], set[str]]:
        """Return the names of flags that click gives a value, and of those that it gives none."""
        valued: set[str] = set()
        plain: set[str] = set()
        for option in self.params:
            if not isinstance(option, click.Option):
                continue
            if option.is_flag and not option.secondary_opts:
                plain.update(option.opts)
            elif isinstance(option.type, click.types.BoolParamType) and not option.is_flag:
                valued.update(option.opts)
        return valued, plain


class VerbGroup(click.Group):
    """A group whose commands read flags as Kubo's do."""

    command_class = FlagOrValue
