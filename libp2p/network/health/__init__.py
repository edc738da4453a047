"""How well each connection does: round trips, failures, age, bytes; off unless it is asked for."""
