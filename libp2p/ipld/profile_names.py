"""The names of profiles (IPIP-499) and layouts; `libp2p.ipld.profiles` says what a profile is."""

from __future__ import annotations

from typing import Final

UNIXFS_V1_2025: Final = "unixfs-v1-2025"
UNIXFS_V0_2015: Final = "unixfs-v0-2015"
LEGACY_CID_V0: Final = "legacy-cid-v0"

DEFAULT_PROFILE: Final = UNIXFS_V1_2025
PROFILE_NAMES: Final = (UNIXFS_V1_2025, UNIXFS_V0_2015, LEGACY_CID_V0)

BALANCED: Final = "balanced"
TRICKLE: Final = "trickle"
LAYOUTS: Final = (BALANCED, TRICKLE)
