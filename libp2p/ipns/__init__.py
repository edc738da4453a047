"""IPNS: names that are public keys, their records, and DNSLink."""
