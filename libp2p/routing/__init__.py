"""Routers: who has a block, where a peer is, what value a key has."""
