"""Keys have one form each on the wire, and private ones leave the process in no other."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libp2p.crypto import ecc, ed25519, rsa, secp256k1, x25519
from libp2p.crypto.ecc import ECCPublicKey
from libp2p.crypto.secp256k1 import Secp256k1PublicKey
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import CryptographyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.crypto.keys import KeyPair

PAIRS: dict[str, Callable[[], KeyPair]] = {
    "ed25519": ed25519.create_new_key_pair,
    "secp256k1": secp256k1.create_new_key_pair,
    "ecdsa": ecc.create_new_key_pair,
    "rsa": rsa.create_new_key_pair,
    "x25519": x25519.create_new_key_pair,
}


# -- private keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", PAIRS)
def test_a_private_key_is_not_pickled(kind: str, protocol: int) -> None:
    pair = PAIRS[kind]()
    for holder in (pair.private_key, pair, {"key": [pair.private_key]}):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder, protocol)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_copy_of_a_private_key_is_the_key(kind: str) -> None:
    key = PAIRS[kind]().private_key
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert copy.deepcopy([key])[0] is key


# -- points ---------------------------------------------------------------------------------------


def forms_of(key: ec.EllipticCurvePublicKey) -> dict[str, bytes]:
    """The same point as each form of SEC 1, and ANSI X9.62's hybrid."""
    encode = key.public_bytes
    whole = encode(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return {
        "compressed": encode(
            serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
        ),
        "whole": whole,
        "hybrid": bytes([6 | whole[-1] & 1]) + whole[1:],
    }


def test_a_secp256k1_point_is_read_in_the_forms_that_others_read() -> None:
    forms = forms_of(ec.generate_private_key(ec.SECP256K1()).public_key())
    compressed = Secp256k1PublicKey.from_bytes(forms["compressed"])
    assert Secp256k1PublicKey.from_bytes(forms["whole"]) == compressed
    assert compressed.to_bytes() == forms["compressed"]


REFUSED: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "hybrid": lambda forms: forms["hybrid"],
    "hybrid of the other parity": lambda forms: (
        bytes([forms["hybrid"][0] ^ 1]) + forms["hybrid"][1:]
    ),
    "no form": lambda forms: b"",
    "infinity": lambda forms: b"\x00",
    "the form of a longer one": lambda forms: b"\x04" + forms["compressed"][1:],
    "the form of a shorter one": lambda forms: b"\x02" + forms["whole"][1:],
    "more": lambda forms: forms["compressed"] + b"\x00",
    "less": lambda forms: forms["whole"][:-1],
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_secp256k1_point_in_another_form_is_refused(form: str) -> None:
    point = REFUSED[form](forms_of(ec.generate_private_key(ec.SECP256K1()).public_key()))
    with pytest.raises(CryptographyError):
        Secp256k1PublicKey.from_bytes(point)
    message = b"\x08\x02\x12" + bytes([len(point)]) + point
    with pytest.raises(CryptographyError):
        deserialize_public_key(message)


@pytest.mark.parametrize("form", ["compressed", "hybrid"])
def test_an_ecdsa_key_has_one_form(form: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    forms = forms_of(key)
    spki = ECCPublicKey(key).to_bytes()
    assert ECCPublicKey.from_bytes(spki).to_bytes() == spki
    point = forms[form]
    head = spki[2 : -len(forms["whole"]) - 3]
    body = head + b"\x03" + bytes([len(point) + 1]) + b"\x00" + point
    with pytest.raises(CryptographyError):
        ECCPublicKey.from_bytes(b"\x30" + bytes([len(body)]) + body)
