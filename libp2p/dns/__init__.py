"""Host names in addresses: ``/dnsaddr``, ``/dns4``, ``/dns6``, ``/dns``, and TXT records."""

from libp2p.dns.config import DnsConfig, Nameserver
from libp2p.dns.resolver import Resolver
from libp2p.exceptions import DnsError

__all__ = ["DnsConfig", "DnsError", "Nameserver", "Resolver"]
