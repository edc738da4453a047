"""Published vectors of Noise_XX_25519_ChaChaPoly_SHA256 without a prologue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libp2p.security.noise.handshake import XXHandshake

VECTORS_PATH = Path(__file__).parents[1] / "data" / "noise_xx_25519_chachapoly_sha256.json"


@dataclass(frozen=True)
class Vector:
    """Keys, and (payload, ciphertext) of three handshake and two transport messages."""

    initiator_static: X25519PrivateKey
    initiator_ephemeral: X25519PrivateKey
    responder_static: X25519PrivateKey
    responder_ephemeral: X25519PrivateKey
    handshake_hash: bytes
    messages: tuple[tuple[bytes, bytes], ...]

    def initiator(self) -> XXHandshake:
        """The side that speaks first."""
        return XXHandshake(
            is_initiator=True, static=self.initiator_static, ephemeral=self.initiator_ephemeral
        )

    def responder(self) -> XXHandshake:
        """The other side."""
        return XXHandshake(
            is_initiator=False, static=self.responder_static, ephemeral=self.responder_ephemeral
        )


def load_vectors() -> list[Vector]:
    """All vectors of the file."""
    return [
        Vector(
            initiator_static=_key(entry["initiator_static"]),
            initiator_ephemeral=_key(entry["initiator_ephemeral"]),
            responder_static=_key(entry["responder_static"]),
            responder_ephemeral=_key(entry["responder_ephemeral"]),
            handshake_hash=bytes.fromhex(entry["handshake_hash"]),
            messages=tuple(
                (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
                for message in entry["messages"]
            ),
        )
        for entry in json.loads(VECTORS_PATH.read_text())
    ]


def _key(text: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(text))
