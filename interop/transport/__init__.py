"""The program of the suite ``transport``."""
