"""Bitswap messages: what they hold, how they are written and read (sans-I/O)."""
