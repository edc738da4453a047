"""The want tracker: the wants of this side, and the peers that are asked (sans-I/O)."""
