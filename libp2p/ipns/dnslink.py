"""
DNSLink: domains that stand for paths, by TXT records at ``_dnslink.`` and the domain (sans-I/O).

https://dnslink.dev/. As in Kubo, ``dnslink=`` may be left out and a bare CID is taken for its path;
texts that are no links are skipped, and two links are an error, for nobody could say which counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from libp2p.exceptions import DNSLinkError, InvalidPath
from libp2p.ipns.path import IPFS, IPNS, ContentPath

__all__ = ["DNSLinkError", "dnslink_of", "record_name"]

_LABEL: Final = "_dnslink."
_KEY: Final = "dnslink="


def record_name(domain: str) -> str:
    """Return the name in DNS at which a domain's link stands."""
    return _LABEL + domain.removesuffix(".")


def dnslink_of(domain: str, texts: Iterable[str]) -> ContentPath:
    """
    Return what a domain stands for, by the texts at its `record_name`.

    :raises DNSLinkError: if none of them is a link, or more than one.
    """
    links = {path for text in texts if (path := _path_of(text)) is not None}
    if len(links) == 1:
        return links.pop()
    if not links:
        raise DNSLinkError(
            f"{domain} has no DNSLink: no TXT record of {record_name(domain)} is one"
        )
    named = ", ".join(sorted(map(str, links))[:3])
    raise DNSLinkError(f"{domain} has {len(links)} DNSLinks ({named}): there must be one")


def _path_of(text: str) -> ContentPath | None:
    try:
        path = ContentPath.parse(text.removeprefix(_KEY))
    except InvalidPath:
        return None
    return path if path.namespace in (IPFS, IPNS) else None
