"""What several rooms of bitswap stand on: timers, work in steps, the ends of streams."""
