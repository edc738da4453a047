"""Wire messages of records, generated from the .proto files beside them."""

from libp2p.records.pb.ipns_pb2 import IpnsEntry

__all__ = ["IpnsEntry"]
