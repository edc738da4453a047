"""py-libp2p's helpers of programs: services that run in the background, and small functions."""
