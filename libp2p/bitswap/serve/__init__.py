"""The server: which blocks peers want, and what they are answered."""
