"""The program of the suite ``kad-dht``."""
