"""Interop tests against real Go peers, and the drivers that run those peers."""
