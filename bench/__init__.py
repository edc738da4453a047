"""The bench: this library beside py-libp2p 0.8.1, go-libp2p and Kubo, in one run."""
