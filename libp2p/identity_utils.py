"""py-libp2p's path of identities in files; they are in `libp2p.crypto.keystore`."""

from libp2p.crypto.keystore import (
    create_identity_from_seed,
    identity_exists,
    load_identity,
    save_identity,
)

__all__ = ["create_identity_from_seed", "identity_exists", "load_identity", "save_identity"]
