"""What is particular to each kind of key."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec as openssl_ec
from cryptography.hazmat.primitives.asymmetric import rsa as openssl_rsa

from libp2p.crypto import ecc, ed25519, rsa, x25519
from libp2p.crypto.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from libp2p.crypto.pb import crypto_pb2
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.exceptions import CryptographyError


class TestEd25519:
    SEED = bytes(range(32))

    def test_a_seed_determines_the_key(self) -> None:
        pair = ed25519.create_new_key_pair(self.SEED)
        assert pair.private_key == Ed25519PrivateKey.new(self.SEED)
        assert pair.private_key.to_bytes() == self.SEED + pair.public_key.to_bytes()

    def test_seeds_and_the_old_long_form_are_read(self) -> None:
        pair = ed25519.create_new_key_pair(self.SEED)
        public = pair.public_key.to_bytes()
        for encoded in (self.SEED, self.SEED + public, self.SEED + public + public):
            assert Ed25519PrivateKey.from_bytes(encoded) == pair.private_key

    def test_a_public_key_that_does_not_belong_is_refused(self) -> None:
        public = ed25519.create_new_key_pair(self.SEED).public_key.to_bytes()
        for encoded in (self.SEED + bytes(32), self.SEED + public + bytes(32)):
            with pytest.raises(CryptographyError, match="does not match"):
                Ed25519PrivateKey.from_bytes(encoded)

    @pytest.mark.parametrize("size", [0, 31, 33, 63, 65, 128])
    def test_other_lengths_are_refused(self, size: int) -> None:
        with pytest.raises(CryptographyError):
            Ed25519PrivateKey.from_bytes(bytes(size))
        with pytest.raises(CryptographyError):
            Ed25519PublicKey.from_bytes(bytes(size))

    def test_rfc_8032_test_2(self) -> None:
        seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
        signature = (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        )
        assert ed25519.create_new_key_pair(bytes.fromhex(seed)).private_key.sign(b"\x72").hex() == (
            signature
        )


class TestRsa:
    @pytest.mark.parametrize("bits", [0, 1024, 2047, 8193, 16384])
    def test_lengths_out_of_range_are_not_made(self, bits: int) -> None:
        with pytest.raises(CryptographyError, match=r"RSA key .*(2048|8192|positive)"):
            rsa.create_new_key_pair(bits)

    def test_short_keys_are_not_read(self) -> None:
        short = openssl_rsa.generate_private_key(public_exponent=65537, key_size=1024)
        private = short.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        public = short.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with pytest.raises(CryptographyError, match="1024 bits"):
            rsa.RSAPrivateKey.from_bytes(private)
        with pytest.raises(CryptographyError, match="1024 bits"):
            rsa.RSAPublicKey.from_bytes(public)

    @pytest.mark.parametrize("bits", [8200, 16384, 60_000])
    def test_cve_2023_39533_long_keys_are_not_read(self, bits: int) -> None:
        # Each signature to verify would cost milliseconds, before it is known whose it is.
        odd = 2 ** (bits - 1) + 1
        public = openssl_rsa.RSAPublicNumbers(e=65537, n=odd).public_key()
        encoded = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with pytest.raises(CryptographyError, match=f"{bits} bits"):
            rsa.RSAPublicKey.from_bytes(encoded)
        message = crypto_pb2.PublicKey(key_type=crypto_pb2.RSA, data=encoded)
        with pytest.raises(CryptographyError, match=f"{bits} bits"):
            deserialize_public_key(message.SerializeToString())

    def test_cve_2023_39533_a_huge_exponent_is_refused(self) -> None:
        modulus = rsa.create_new_key_pair().public_key.impl.public_numbers().n  # type: ignore[attr-defined]
        slow = openssl_rsa.RSAPublicNumbers(e=2**31 + 1, n=modulus).public_key()
        with pytest.raises(CryptographyError, match="exponent"):
            rsa.RSAPublicKey(slow)

    def test_keys_of_another_kind_are_refused(self) -> None:
        pair = ecc.create_new_key_pair()
        with pytest.raises(CryptographyError, match="not an RSA key"):
            rsa.RSAPublicKey.from_bytes(pair.public_key.to_bytes())
        with pytest.raises(CryptographyError, match="not an RSA key"):
            rsa.RSAPrivateKey.from_bytes(pair.private_key.to_bytes())


class TestEcdsa:
    def test_only_p256(self) -> None:
        other = openssl_ec.generate_private_key(openssl_ec.SECP384R1())
        encoded = other.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        with pytest.raises(CryptographyError, match="P-256"):
            ecc.ECCPrivateKey.from_bytes(encoded)
        with pytest.raises(CryptographyError, match="P-256"):
            ecc.ECCPublicKey(other.public_key())
        with pytest.raises(CryptographyError, match="P-256"):
            ecc.create_new_key_pair("P-384")

    def test_the_bare_point_that_py_libp2p_wrote_is_read(self) -> None:
        key = ecc.create_new_key_pair("P-256").public_key
        point = key.impl.public_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        assert ecc.ECCPublicKey.from_bytes(point, "P-256") == key
        with pytest.raises(CryptographyError, match="malformed"):
            ecc.ECCPublicKey.from_bytes(point[:-1])

    def test_keys_of_another_kind_are_refused(self) -> None:
        pair = rsa.create_new_key_pair()
        with pytest.raises(CryptographyError, match="not an ECDSA key"):
            ecc.ECCPublicKey.from_bytes(pair.public_key.to_bytes())
        with pytest.raises(CryptographyError, match="not an ECDSA key"):
            ecc.ECCPrivateKey.from_bytes(pair.private_key.to_bytes())


class TestX25519:
    def test_keys_survive_their_encoding(self) -> None:
        pair = x25519.create_new_key_pair()
        assert x25519.X25519PrivateKey.from_bytes(pair.private_key.to_bytes()) == pair.private_key
        assert x25519.X25519PublicKey.from_bytes(pair.public_key.to_bytes()) == pair.public_key

    def test_they_neither_sign_nor_travel(self) -> None:
        pair = x25519.create_new_key_pair()
        # py-libp2p's programs expect a NotImplementedError.
        for kind in (CryptographyError, NotImplementedError):
            with pytest.raises(kind, match="X25519 does not support signatures"):
                pair.private_key.sign(b"data")
            with pytest.raises(kind, match="X25519 does not support signatures"):
                pair.public_key.verify(b"data", bytes(64))
        with pytest.raises(CryptographyError, match="no serialized form"):
            pair.public_key.serialize()
        with pytest.raises(CryptographyError, match="no serialized form"):
            pair.private_key.serialize()

    def test_other_lengths_are_refused(self) -> None:
        with pytest.raises(CryptographyError):
            x25519.X25519PrivateKey.from_bytes(bytes(31))
        with pytest.raises(CryptographyError):
            x25519.X25519PublicKey.from_bytes(bytes(33))
