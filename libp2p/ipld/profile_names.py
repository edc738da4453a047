"""The names of the profiles (IPIP-499); see `libp2p.ipld.profiles` for what each of them says."""

from __future__ import annotations

from typing import Final

UNIXFS_V1_2025: Final = "unixfs-v1-2025"
UNIXFS_V0_2015: Final = "unixfs-v0-2015"
LEGACY_CID_V0: Final = "legacy-cid-v0"

DEFAULT_PROFILE: Final = UNIXFS_V1_2025
PROFILE_NAMES: Final = (UNIXFS_V1_2025, UNIXFS_V0_2015, LEGACY_CID_V0)
