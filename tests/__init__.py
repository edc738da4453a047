"""Tests; a package, so that `tests.interop` is not taken for the programs in `interop/`."""
