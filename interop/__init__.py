"""This library's programs for libp2p's unified-testing suite; see README.md here."""
