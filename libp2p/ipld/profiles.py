"""
How a file becomes blocks: every choice that decides its CID, and the named sets of them.

The profiles are those of IPIP-499, the couplings between the choices those of ``ipfs add``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict, Unpack, cast

from libp2p.exceptions import InvalidImportOptions, InvalidUnixFS
from libp2p.ipld import multihash
from libp2p.ipld.chunker import parse_chunker
from libp2p.ipld.hamt import MAX_FANOUT, is_fanout
from libp2p.ipld.multihash import MAX_DIGEST_BYTES, SHA2_256
from libp2p.ipld.profile_names import (
    BALANCED,
    DEFAULT_PROFILE,
    LAYOUTS,
    LEGACY_CID_V0,
    UNIXFS_V0_2015,
    UNIXFS_V1_2025,
)
from libp2p.ipld.unixfs import Mtime

__all__ = [
    "BLOCK_BYTES",
    "DEFAULT_PROFILE",
    "LINKS_BYTES",
    "PROFILES",
    "ImportKnobs",
    "ImportOptions",
    "resolve_options",
]

LINKS_BYTES: Final = "links-bytes"
BLOCK_BYTES: Final = "block-bytes"
HAMT_ESTIMATIONS: Final = (LINKS_BYTES, BLOCK_BYTES, "disabled")

#: Links of a dag-pb node under 8 KiB, as counted in 2014; what "no limit given" means since.
DEFAULT_FILE_LINKS: Final = 174


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """
    Every choice that decides a file's CID; the defaults are those of ``unixfs-v1-2025``.

    :raises InvalidImportOptions: if they contradict each other or are out of range.
    :raises HashNotSupported: if content may not be added under that hash, or it cannot be computed.
    """

    cid_version: int = 1
    raw_leaves: bool = True
    hash: str = "sha2-256"
    chunker: str = "size-1048576"
    max_file_links: int = 1024
    layout: str = BALANCED
    """Of the nodes above the leaves; in ``trickle`` a file's first bytes are near the root."""
    inline_limit: int | None = None
    """Blocks of up to this many bytes go into their CID instead of a store."""
    mode: int | None = None
    """Permissions, kept in the file's root; 0 is as good as none."""
    mtime: Mtime | None = None
    """Time of the last change, kept in the file's root."""
    hamt_threshold: int = 262144
    """A directory that is larger is spread over shards; 0 is never."""
    hamt_estimation: str = BLOCK_BYTES
    """
    What is compared with the threshold: the directory's block, or ``links-bytes``, the names and
    CIDs alone; ``disabled`` is neither.
    """
    hamt_fanout: int = 256
    max_directory_links: int = 0
    """A directory of more entries is spread over shards; 0 is without limit."""

    def __post_init__(self) -> None:
        self._check_types()
        self._check_cid()
        if self.max_file_links < 2:
            raise InvalidImportOptions(
                f"a node of a file must be allowed 2 links or more, not {self.max_file_links}"
            )
        if self.layout not in LAYOUTS:
            raise InvalidImportOptions(
                f"layout {self.layout!r:.100} is none of {', '.join(LAYOUTS)}"
            )
        if self.inline_limit is not None and not 0 <= self.inline_limit <= MAX_DIGEST_BYTES:
            raise InvalidImportOptions(
                f"blocks of 0 to {MAX_DIGEST_BYTES} bytes can be inlined, not {self.inline_limit}"
            )
        parse_chunker(self.chunker)
        self._check_metadata()
        self._check_directories()

    def _check_types(self) -> None:
        numbers = (
            "cid_version", "max_file_links", "inline_limit", "mode", "hamt_threshold",
            "hamt_fanout", "max_directory_links",
        )  # fmt: skip
        for name in numbers:
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise InvalidImportOptions(f"{name} must be a whole number, not {value!r:.100}")
        for name in ("chunker", "layout", "hamt_estimation"):
            if not isinstance(value := getattr(self, name), str):
                raise InvalidImportOptions(f"{name} must be text, not {value!r:.100}")
        if not isinstance(self.raw_leaves, bool):
            raise InvalidImportOptions(f"raw_leaves must be true or false, not {self.raw_leaves!r}")
        if self.mtime is not None and not isinstance(self.mtime, Mtime):
            raise InvalidImportOptions(f"mtime must be an Mtime, not {self.mtime!r:.100}")

    def _check_cid(self) -> None:
        if self.cid_version not in (0, 1):
            raise InvalidImportOptions(f"CID version {self.cid_version} does not exist")
        code = multihash.code_of(self.hash)
        multihash.check_allowed(code, len(multihash.digest(code, b"")))
        if self.cid_version == 0 and code != SHA2_256:
            raise InvalidImportOptions(f"CID version 0 has sha2-256 only, not {self.hash}")

    def _check_metadata(self) -> None:
        if self.mode is not None and not 0 <= self.mode < 2**32:
            raise InvalidImportOptions(f"mode {self.mode} does not fit into 32 bits")
        if self.mtime is not None:
            try:
                self.mtime.check()
            except InvalidUnixFS as error:
                raise InvalidImportOptions(str(error)) from error
        if self.has_metadata and self.raw_leaves:
            raise InvalidImportOptions("mode and mtime need raw_leaves=False: a raw leaf has none")

    def _check_directories(self) -> None:
        if self.hamt_estimation not in HAMT_ESTIMATIONS:
            raise InvalidImportOptions(
                f"hamt_estimation {self.hamt_estimation!r:.100} is none of "
                f"{', '.join(HAMT_ESTIMATIONS)}"
            )
        if not is_fanout(self.hamt_fanout):
            raise InvalidImportOptions(
                f"hamt_fanout must be a power of two from 8 to {MAX_FANOUT}, not {self.hamt_fanout}"
            )
        for name in ("hamt_threshold", "max_directory_links"):
            if getattr(self, name) < 0:
                raise InvalidImportOptions(f"{name} must not be negative")

    @property
    def has_metadata(self) -> bool:
        return bool(self.mode) or self.mtime is not None


class ImportKnobs(TypedDict, total=False):
    """Options that may be given beside a profile; ``None`` means not given."""

    cid_version: int | None
    raw_leaves: bool | None
    hash: str | None
    chunker: str | None
    max_file_links: int | None
    layout: str | None
    inline_limit: int | None
    mode: int | None
    mtime: Mtime | None
    hamt_threshold: int | None
    hamt_estimation: str | None
    hamt_fanout: int | None
    max_directory_links: int | None


_V0_2015: Final = ImportKnobs(
    cid_version=0,
    raw_leaves=False,
    hash="sha2-256",
    chunker="size-262144",
    max_file_links=DEFAULT_FILE_LINKS,
    layout=BALANCED,
    hamt_estimation=LINKS_BYTES,
)
_V1_2025: Final = ImportKnobs(
    cid_version=1,
    raw_leaves=True,
    hash="sha2-256",
    chunker="size-1048576",
    max_file_links=1024,
    layout=BALANCED,
    hamt_estimation=BLOCK_BYTES,
)
PROFILES: Final = {
    UNIXFS_V0_2015: _V0_2015,
    LEGACY_CID_V0: _V0_2015,
    UNIXFS_V1_2025: _V1_2025,
}


def resolve_options(profile: str | None = None, **knobs: Unpack[ImportKnobs]) -> ImportOptions:
    """
    Combine a profile with single choices, as ``ipfs add`` does.

    Choices of a named profile count as the caller's. Without them, leaves are raw exactly for CID
    version 1 without mode and mtime; all other choices are those of `DEFAULT_PROFILE`.

    :raises InvalidImportOptions: if the profile is unknown or the choices contradict each other.
    :raises HashNotSupported: if content may not be added under that hash.
    """
    if profile is not None and profile not in list(PROFILES):
        raise InvalidImportOptions(
            f"profile {profile!r} is not known, known are: {', '.join(PROFILES)}"
        )
    said = dict(PROFILES[profile]) if profile is not None else {}
    for name in knobs:
        if name not in ImportKnobs.__annotations__:
            raise InvalidImportOptions(
                f"there is no choice {name!r}, but {', '.join(ImportKnobs.__annotations__)}"
            )
    said |= {name: value for name, value in knobs.items() if value is not None}
    chosen = cast("ImportKnobs", dict(PROFILES[DEFAULT_PROFILE]) | said)
    if "raw_leaves" not in said:
        has_metadata = bool(said.get("mode")) or "mtime" in said
        chosen["raw_leaves"] = chosen["cid_version"] == 1 and not has_metadata
    links = chosen["max_file_links"]
    if type(links) is int and links <= 0:
        chosen["max_file_links"] = DEFAULT_FILE_LINKS
    return ImportOptions(**chosen)  # type: ignore[arg-type]  # None was dropped above
