"""How a program gets blocks: one, or many with a window."""
