"""Host names in addresses: ``/dnsaddr``, ``/dns4``, ``/dns6``, ``/dns``, and TXT records."""
