"""Bytes by keys that outlive a process, in one file."""
