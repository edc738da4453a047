"""py-ipfs-lite's settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Config:
    """
    What a `Peer` does, by py-ipfs-lite's names and with its defaults.

    :param reprovide_interval_seconds: seconds between two announcements; less than 0 is none.
    :param reprovider_strategy: "all", "pinned" or "roots".
    :param conn_mgr_high_water: connections at the same time.
    :param conn_mgr_low_water: connections that are left when idle ones are closed.
    :param blockstore_type: "filesystem" or "memory".
    :param blockstore_path: a folder of this library's own: not one that py-ipfs-lite has filled.
    :param use_ipni: ask ``ipni_endpoint`` for providers too.
    :param default_timeout: seconds for one call.
    """

    offline: bool = False
    reprovide_interval_seconds: int = 43200
    reprovider_strategy: str = "all"
    conn_mgr_high_water: int = 900
    conn_mgr_low_water: int = 600
    blockstore_type: str = "filesystem"
    blockstore_path: str | None = ".py_ipfs_lite/blocks"
    use_ipni: bool = False
    ipni_endpoint: str = "https://cid.contact"
    default_timeout: float = 30.0


@dataclass(slots=True)
class AddParams:
    """How a file is cut; all three have an effect here."""

    chunker: str = "size-262144"
    raw_leaves: bool = True
    hash_fun: str = "sha2-256"
