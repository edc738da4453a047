"""What this client wants, and whom it asks (sans-I/O)."""
