"""Records of the DHT and who may write them: validators by namespace."""
