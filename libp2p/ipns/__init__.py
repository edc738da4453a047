"""IPNS: names that are public keys, their records, and DNSLink."""

from libp2p.exceptions import (
    DNSLinkError,
    InvalidIpnsRecord,
    InvalidName,
    InvalidPath,
    IpnsRecordExpired,
    NameNotFound,
    ResolutionError,
)
from libp2p.ipns.cache import NameCache
from libp2p.ipns.config import PublisherConfig, ResolverConfig
from libp2p.ipns.name import Name
from libp2p.ipns.path import ContentPath
from libp2p.ipns.published import PublishedRecords
from libp2p.ipns.publisher import KeySource, Published, Publisher, RepublishReport
from libp2p.ipns.resolver import Resolution, Resolver, TxtLookup
from libp2p.records.ipns_record import IpnsRecord, decode_record, make_record

__all__ = [
    "ContentPath",
    "DNSLinkError",
    "InvalidIpnsRecord",
    "InvalidName",
    "InvalidPath",
    "IpnsRecord",
    "IpnsRecordExpired",
    "KeySource",
    "Name",
    "NameCache",
    "NameNotFound",
    "Published",
    "PublishedRecords",
    "Publisher",
    "PublisherConfig",
    "RepublishReport",
    "Resolution",
    "ResolutionError",
    "Resolver",
    "ResolverConfig",
    "TxtLookup",
    "decode_record",
    "make_record",
]
