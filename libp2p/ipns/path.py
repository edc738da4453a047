"""
Paths to content, which is what names stand for (sans-I/O).

``/ipfs/CID/rest`` never changes; ``/ipns/NAME/rest`` stands for another path, and its name is one
of IPNS or a domain with a DNSLink. https://specs.ipfs.tech/http-gateways/path-gateway/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from libp2p.exceptions import InvalidCID, InvalidName, InvalidPath
from libp2p.ipld.cid import CID
from libp2p.ipns.name import Name
from libp2p.utils.arguments import wrong_type

__all__ = ["ContentPath", "InvalidPath", "is_domain"]

IPFS: Final = "ipfs"
IPNS: Final = "ipns"
IPLD: Final = "ipld"
_NAMESPACES: Final = (IPFS, IPNS, IPLD)

#: Characters of a path. Longer ones fit into no record, and into no URL that servers take.
MAX_PATH_CHARACTERS: Final = 8192

#: What DNS allows: labels of up to 63 characters, 253 in all.
MAX_DOMAIN_CHARACTERS: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+\.?", re.ASCII | re.IGNORECASE)

#: What a record without a value stands for: a file of no bytes.
NO_VALUE: Final = b"/ipfs/bafkqaaa"

_URL: Final = re.compile(rf"({'|'.join(_NAMESPACES)})://", re.IGNORECASE)
#: Characters of a text that an error quotes.
_QUOTED: Final = 80


def is_domain(text: str) -> bool:
    """Tell whether this is a name of DNS; one without a dot is none that has a DNSLink."""
    return len(text) <= MAX_DOMAIN_CHARACTERS and _DOMAIN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ContentPath:
    """A well-formed path; `str` gives its text."""

    namespace: str
    """``ipfs``, ``ipns`` or ``ipld``."""
    root: str
    """The CID, the name of IPNS, or the domain, as it was written."""
    rest: str = ""
    """What follows, with the slash in front of it; empty if nothing does."""

    @classmethod
    def of(cls, value: ContentPath | CID | Name | str) -> ContentPath:
        """
        Return a path that is given in any form; a bare CID stands for its ``/ipfs/`` path.

        :raises InvalidPath: if it is none.
        :raises TypeError: if it is something else.
        """
        match value:
            case ContentPath():
                return value
            case CID():
                return cls(IPFS, str(value))
            case Name():
                return cls(IPNS, str(value))
            case str():
                return cls.parse(value)
        raise wrong_type("path", value, "a path such as /ipfs/bafy…, or a CID")

    @classmethod
    def parse(cls, text: str) -> ContentPath:
        """
        Read ``/ipfs/…`` and ``/ipns/…``, the same as a URL, and a bare CID with what follows it.

        :raises InvalidPath: if it is none of these, or has a part that is ``..``.
        """
        if len(text) > MAX_PATH_CHARACTERS:
            raise InvalidPath(f"a path of {len(text)} characters, at most {MAX_PATH_CHARACTERS}")
        if url := _URL.match(text):
            text = f"/{url[1].lower()}/{text[url.end() :]}"
        elif not text.startswith("/"):
            text = f"/{IPFS}/{text}"
        _, namespace, *parts = text.split("/")
        if namespace not in _NAMESPACES:
            raise InvalidPath(f"{text[:_QUOTED]!r} does not begin with /ipfs/ or /ipns/")
        kept = [part for part in parts if part not in ("", ".")]
        if not kept or ".." in kept:
            raise InvalidPath(f"{text[:_QUOTED]!r} names nothing, or has a part that is ..")
        root, *rest = kept
        _check_root(namespace, root)
        ending = "/" if rest and parts[-1] == "" else ""
        return cls(namespace, root, "".join(f"/{part}" for part in rest) + ending)

    @classmethod
    def of_record(cls, value: bytes) -> ContentPath:
        """
        Read the value of an IPNS record: a path in UTF-8, or (in old records) a binary CID.

        :raises InvalidPath: if it is neither.
        """
        value = value or NO_VALUE
        try:
            if value.startswith(b"/"):
                return cls.parse(value.decode())
            return cls.of(CID.decode(value))
        except (UnicodeDecodeError, InvalidCID) as error:
            raise InvalidPath("the value of the record is no path and no CID") from error

    @property
    def is_mutable(self) -> bool:
        """True if the path stands for another one, which may change."""
        return self.namespace == IPNS

    @property
    def base(self) -> ContentPath:
        """The path without what follows its root."""
        return replace(self, rest="")

    @property
    def cid(self) -> CID:
        """
        The CID that the path begins with.

        :raises InvalidPath: if it begins with a name.
        """
        if self.is_mutable:
            raise InvalidPath(f"{self} begins with a name: resolve it first")
        return CID.parse(self.root)

    @property
    def name(self) -> Name | None:
        """The name of IPNS that the path begins with, None if it is a CID or a domain."""
        try:
            return Name.of(self.root) if self.is_mutable else None
        except InvalidName:
            return None

    def joined(self, rest: str) -> ContentPath:
        """Return the path of what is under this one; ``rest`` is empty or begins with a slash."""
        if not rest:
            return self
        joined = replace(self, rest=self.rest.removesuffix("/") + rest)
        if len(str(joined)) > MAX_PATH_CHARACTERS:
            raise InvalidPath(f"a path of more than {MAX_PATH_CHARACTERS} characters")
        return joined

    def __str__(self) -> str:
        return f"/{self.namespace}/{self.root}{self.rest}"


def _check_root(namespace: str, root: str) -> None:
    if namespace != IPNS:
        try:
            CID.parse(root)
        except InvalidCID as error:
            raise InvalidPath(f"{root[:_QUOTED]!r} is no CID: {error}") from error
        return
    if is_domain(root):
        return
    try:
        Name.of(root)
    except InvalidName as error:
        raise InvalidPath(f"{root[:_QUOTED]!r} is no name of IPNS and no domain") from error
