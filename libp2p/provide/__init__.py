"""Announces what this peer has, again and again, at a cost that does not grow with each CID."""
