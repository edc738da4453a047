"""Errors of keys, at py-libp2p's path; defined in `libp2p.exceptions`."""

from libp2p.exceptions import CryptographyError, MissingDeserializerError

__all__ = ["CryptographyError", "MissingDeserializerError"]
