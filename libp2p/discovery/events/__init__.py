"""Where discoveries tell whom they have found."""
