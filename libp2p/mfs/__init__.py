"""A mutable tree of files over immutable blocks, as Kubo's ``ipfs files`` (sans-I/O)."""
