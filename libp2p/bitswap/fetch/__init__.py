"""Sessions of a program: they fetch one block, or many with a window."""
