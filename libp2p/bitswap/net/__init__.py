"""Bitswap on a host: its tasks, its streams, and the engine that joins the other rooms."""
