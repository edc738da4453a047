"""Which blocks stay: what is below a root, and what a garbage collection may take (sans-I/O)."""
