"""Parts that several rooms of bitswap use: timers, work in steps, the ends of streams."""
