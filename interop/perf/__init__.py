"""The program of the suite ``perf``."""
