"""Ways to meet the first peers."""
