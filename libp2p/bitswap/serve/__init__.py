"""What peers want, and how it is answered."""
